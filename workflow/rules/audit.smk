# Why to believe the fits: a held-out ladder, what the runs can tell, what a wrong size costs.

# Where the tables are read the findings are too, which hold their digests: see scripts/findings.py.
FINDINGS = [
    "results/{study}/audit/{family}/findings.json",
    "results/{study}/audit/{family}/tables",
]
AUDITS, AUDIT_TABLES = map(per_family, FINDINGS)
# Those that are fitted and those by which they are judged.
AUDITED = list(dict.fromkeys([*STUDY["laws"], *JUDGES]))
# All that the fits left, named apart.
FITS = {
    f"{law}_{name}": path
    for law in STUDY["laws"]
    for name, path in law_files(law).items()
}


rule audit:
    input:
        **FITS,
        runs="results/{study}/clean/runs.parquet",
        curves=CLEAN_CURVES,
    # Of the laws that of the surface, of the form that the ladder prefers.
    output:
        **(stated_files(SURFACE_LAW) if SURFACE_LAW else {}),
        findings=FINDINGS[0],
        tables=directory(FINDINGS[1]),
    log:
        "results/{study}/logs/audit.{family}.log",
    cache: SHARED
    group:
        gathered("family")
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
            "loss_unit",
            "params_convention",
            "flops_convention",
            "bootstrap",
            "cleaning",
            "audit",
            *AUDITED,
        ),
        laws=list(STUDY["laws"]),
        facts=["budget_flops", "params_total", "params_nonembedding"],
        code=code("audit.py", *[m for law in AUDITED for m in fit_modules(law)]),
    script:
        "../scripts/audit.py"
