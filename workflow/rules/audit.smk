# Why to believe the fits: a held-out ladder, what the runs can tell, what a wrong size costs.

AUDITS = per_family("results/{study}/audit/{family}/findings.json")
if "parametric" not in STUDY["laws"]:
    AUDITS = []  # every audit asks the loss surface


rule audit:
    input:
        runs="results/{study}/clean/runs.parquet",
        **law_files("parametric"),
        **(law_files("isoflop", "vertices", "profiles") if "isoflop" in STUDY["laws"] else {}),
    output:
        findings="results/{study}/audit/{family}/findings.json",
        tables=directory("results/{study}/audit/{family}/tables"),
    params:
        study=options("targets", "bootstrap", "isoflop", "parametric", "audit"),
        code=code("audit.py"),
    log:
        "results/{study}/logs/audit.{family}.log",
    benchmark:
        "results/{study}/benchmarks/audit.{family}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    conda:
        "../../environment.yml"
    script:
        "../scripts/audit.py"
