# Each shard's rows become clean curves and dropped rows; then all runs become one table.

from flopline.cleaning_options import RowOptions

# Only these decide about rows; the others set whole runs aside, once all are together.
ROW_OPTIONS = list(RowOptions.model_fields)


rule clean:
    input:
        curves="results/{study}/curves/{shard}.parquet",
        dropped="results/{study}/curves/{shard}.dropped.parquet",
        runs="results/{study}/curves/{shard}.runs.parquet",
        # A change to it counts by the rows of the shard's own runs, see `facts` below.
        run_table=[ancient(RUN_TABLE["path"])] if RUN_TABLE else [],
    output:
        curves="results/{study}/clean/curves/{shard}.parquet",
        dropped="results/{study}/clean/shards/{shard}.dropped.parquet",
        runs="results/{study}/clean/shards/{shard}.runs.parquet",
    log:
        "results/{study}/logs/clean.{shard}.log",
    cache: SHARED
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(60),
    params:
        facts=lambda wildcards: RAW.facts[int(wildcards.shard)],
        # Handed to the job, yet no reason to run: what depends on input is none to Snakemake.
        run_table=lambda wildcards, input: RUN_TABLE,
        study={
            **options(
                "file",
                "source",
                "loss_split",
                "params_convention",
                "flops_convention",
            ),
            "cleaning": {name: STUDY["cleaning"][name] for name in ROW_OPTIONS},
        },
        code=code("clean.py", *run_table_readers(raw_source(STUDY))),
    script:
        "../scripts/clean.py"


rule gather:
    input:
        runs=[
            f"results/{{study}}/clean/shards/{shard}.runs.parquet" for shard in SHARDS
        ],
        dropped=[
            f"results/{{study}}/clean/shards/{shard}.dropped.parquet"
            for shard in SHARDS
        ],
        run_table=[RUN_TABLE["path"]] if RUN_TABLE else [],
    output:
        runs="results/{study}/clean/runs.parquet",
        dropped="results/{study}/clean/dropped.parquet",
        notes="results/{study}/clean/notes.json",
    log:
        "results/{study}/logs/gather.log",
    cache: SHARED
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        run_table=RUN_TABLE,
        study={
            **options(
                "file",
                "source",
                "loss_split",
                "loss_unit",
                "flops_convention",
                "exclude",
                "held_out",
                "cleaning",
            ),
            "families": list(STUDY["families"]),
        },
        code=code("gather.py", *run_table_readers(raw_source(STUDY))),
    script:
        "../scripts/gather.py"
