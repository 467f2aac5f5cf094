# Why to believe the fits: a held-out ladder, what the runs can tell, what a wrong size costs.

AUDITS = per_family("results/{study}/audit/{family}/findings.json")
if "parametric" not in STUDY["laws"]:
    AUDITS = []  # every audit asks the loss surface


rule audit:
    input:
        **law_files("parametric"),
        **law_tables("isoflop", "vertices", "profiles"),
        runs="results/{study}/clean/runs.parquet",
    output:
        findings="results/{study}/audit/{family}/findings.json",
        tables=directory("results/{study}/audit/{family}/tables"),
    log:
        "results/{study}/logs/audit.{family}.log",
    benchmark:
        "results/{study}/benchmarks/audit.{family}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(30),
    params:
        study=options("targets", "bootstrap", "isoflop", "parametric", "audit"),
        code=code("audit.py"),
    script:
        "../scripts/audit.py"
