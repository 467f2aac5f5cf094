# Raw files, in whatever form, become one shape of table; each shard holds a stable set of runs.


from flopline.loss_units import fitted_splits


rule ingest:
    input:
        logs=lambda wildcards: RAW.read_by(int(wildcards.shard)),
    output:
        curves="results/{study}/curves/{shard}.parquet",
        dropped="results/{study}/curves/{shard}.dropped.parquet",
        runs="results/{study}/curves/{shard}.runs.parquet",
    log:
        "results/{study}/logs/ingest.{shard}.log",
    cache: SHARED
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(30),
    params:
        files=lambda wildcards: RAW.by_shard[int(wildcards.shard)],
        study={
            **options("file", "source", "loss_split", "loss_unit"),
            "fitted_splits": fitted_splits(STUDY),
        },
        code=code("ingest.py", *readers_of(raw_source(STUDY))),
    script:
        "../scripts/ingest.py"
