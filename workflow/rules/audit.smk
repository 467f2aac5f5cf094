# Why to believe the fits: a held-out ladder, what the runs can tell, what a wrong size costs.

FINDINGS = [
    "results/{study}/audit/{family}/findings.json",
    "results/{study}/audit/{family}/tables",
]
AUDITS = per_family(FINDINGS[0])
# One table of estimators per law, named apart.
ESTIMATORS = {
    f"{law}_estimators": path
    for law in STUDY["laws"]
    for path in law_tables(law, "estimators").values()
}

# What these laws say of runs that no fit has seen.
OF_BUDGETS = {
    f"{law}_{name}": path
    for law in ("envelope", "isoflop")
    for name, path in law_fit(law).items()
    if STUDY["held_out"]
}


rule audit:
    input:
        **law_fit("parametric"),
        **law_tables("parametric", "variants"),
        **OF_BUDGETS,
        **law_tables("isoflop", "vertices", "profiles"),
        **ESTIMATORS,
        runs="results/{study}/clean/runs.parquet",
        curves=CLEAN_CURVES,
    output:
        findings=FINDINGS[0],
        tables=directory(FINDINGS[1]),
    log:
        "results/{study}/logs/audit.{family}.log",
    cache: SHARED
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        family=family_of,
        study=options(
            "targets",
            "points",
            "loss_split",
            "params_convention",
            "flops_convention",
            "bootstrap",
            "cleaning",
            "envelope",
            "isoflop",
            "parametric",
            "audit",
        ),
        laws=list(STUDY["laws"]),
        facts=["budget_flops", "params_total", "params_nonembedding"],
        code=code("audit.py"),
    script:
        "../scripts/audit.py"
