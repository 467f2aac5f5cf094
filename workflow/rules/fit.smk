# Each law is fitted to each family on its own; points and bootstrap draws stand side by side.


rule fit_envelope:
    input:
        runs="results/{study}/clean/runs.parquet",
        curves=CLEAN_CURVES,
    output:
        **law_files("envelope"),
    log:
        "results/{study}/logs/fit_envelope.{family}.log",
    cache: SHARED
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        family=family_of,
        study=options("loss_split", "targets", "bootstrap", "envelope"),
        code=code("fit_envelope.py"),
    script:
        "../scripts/fit_envelope.py"


rule fit_isoflop:
    input:
        runs="results/{study}/clean/runs.parquet",
    output:
        **law_files("isoflop"),
    log:
        "results/{study}/logs/fit_isoflop.{family}.log",
    cache: SHARED
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(30),
    params:
        family=family_of,
        study=options("targets", "bootstrap", "isoflop"),
        code=code("fit_isoflop.py"),
    script:
        "../scripts/fit_isoflop.py"


rule fit_parametric:
    input:
        runs="results/{study}/clean/runs.parquet",
        curves=CLEAN_CURVES if STUDY["points"] == "checkpoints" else [],
    output:
        **law_files("parametric"),
    log:
        "results/{study}/logs/fit_parametric.{family}.log",
    cache: SHARED
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(60),
    params:
        family=family_of,
        study=options("loss_split", "points", "targets", "bootstrap", "parametric"),
        code=code("fit_parametric.py"),
    script:
        "../scripts/fit_parametric.py"
