# Every law side by side at every target budget, and one recommended line.


rule decide:
    input:
        runs="results/{study}/clean/runs.parquet",
        fits=per_family("results/{study}/fits/{family}/{law}.json", law=STUDY["laws"]),
        estimators=per_family(
            "results/{study}/fits/{family}/{law}.estimators.parquet", law=STUDY["laws"]
        ),
        audits=AUDITS,
    output:
        table="results/{study}/decision.parquet",
        csv="results/{study}/decision.csv",
        verdict="results/{study}/decision.json",
    log:
        "results/{study}/logs/decide.log",
    benchmark:
        "results/{study}/benchmarks/decide.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        families=list(STUDY["families"]),
        study=options("targets"),
        synthetic=SYNTHETIC,
        code=code("decide.py"),
    script:
        "../scripts/decide.py"
