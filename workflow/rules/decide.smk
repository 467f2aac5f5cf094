# Every law side by side at every target budget, and one recommended line.

# Only of a study that asks anything beside its targets.
ANSWERS = (
    {"questions": "results/{study}/questions.csv"}
    if any(STUDY["questions"].values())
    else {}
)


rule decide:
    input:
        runs="results/{study}/clean/runs.parquet",
        fits=stated("fit", STUDY["laws"]),
        estimators=stated("estimators", STUDY["laws"]),
        draws=stated("draws", STUDY["laws"]),
        audits=AUDITS,
        audit_tables=ancient(AUDIT_TABLES),
    output:
        **ANSWERS,
        table="results/{study}/decision.parquet",
        csv=report(
            "results/{study}/decision.csv",
            caption="../report/captions/decision_table.rst",
            category="Decision",
            labels=shown_as("table"),
        ),
        verdict="results/{study}/decision.json",
    log:
        "results/{study}/logs/decide.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        study=options(
            "families",
            "targets",
            "audit",
            "comparable_losses",
            "headline_family",
            "loss_split",
            "loss_unit",
            "questions",
        ),
        synthetic=SYNTHETIC,
        code=code("decide.py", *SPECS),
    script:
        "../scripts/decide.py"
