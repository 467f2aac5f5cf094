# What others take away: the tables for a paper, and all that a reviewer needs in one zip.

LATEX = {
    name: f"results/{{study}}/latex/{name}.tex"
    for name in ("decision", "exponents", "parameters", "runs", "tables")
}


rule latex:
    input:
        decision="results/{study}/decision.parquet",
        fits=stated("fit", STUDY["laws"]),
        runs="results/{study}/clean/runs.parquet",
    output:
        **LATEX,
    log:
        "results/{study}/logs/latex.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        study=options("title", "families", "loss_unit"),
        synthetic=SYNTHETIC,
        code=code("latex.py", *SPECS),
    script:
        "../scripts/latex.py"


rule review:
    input:
        page="results/{study}/report.html",
        appendix="results/{study}/appendix.html",
        table="results/{study}/decision.csv",
        verdict="results/{study}/decision.json",
        latex=list(LATEX.values()),
        methods=[f"results/{{study}}/methods/methods.{end}" for end in METHODS],
        figures=all_figures(*FIGURE_FORMATS[1:] or FIGURE_FORMATS),
        # The published form of the surface beside the law of the study.
        fits=dict.fromkeys(
            per_family("results/{study}/fits/{family}/{law}.json", law=STUDY["laws"])
            + stated("fit", STUDY["laws"])
        ),
        audits=AUDITS,
        runs="results/{study}/clean/runs.parquet",
        dropped="results/{study}/clean/dropped.parquet",
    output:
        zip="results/{study}/{study}-review.zip",
    log:
        "results/{study}/logs/review.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        study=STUDY,
        synthetic=SYNTHETIC,
        run_table=RUN_TABLE,
        code=code("review.py", *SPECS),
    script:
        "../scripts/review.py"
