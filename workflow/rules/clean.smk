# All shards become three tables: runs, curves, and every row that was dropped, with its reason.


rule clean:
    input:
        curves=[f"results/{{study}}/curves/{shard}.parquet" for shard in SHARDS],
        dropped=[
            f"results/{{study}}/curves/{shard}.dropped.parquet" for shard in SHARDS
        ],
        runs=[f"results/{{study}}/curves/{shard}.runs.parquet" for shard in SHARDS],
        run_table=[RUN_TABLE["path"]] if RUN_TABLE else [],
    output:
        runs="results/{study}/clean/runs.parquet",
        curves="results/{study}/clean/curves.parquet",
        dropped="results/{study}/clean/dropped.parquet",
        notes="results/{study}/clean/notes.json",
    log:
        "results/{study}/logs/clean.log",
    benchmark:
        "results/{study}/benchmarks/clean.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        run_table=RUN_TABLE,
        families=list(STUDY["families"]),
        study=options(
            "file", "source", "loss_split", "flops_convention", "exclude", "cleaning"
        ),
        code=code("clean.py"),
    script:
        "../scripts/clean.py"
