# The page that the lab reads, the answer first, and the appendix with everything behind it.

# Drawn in the interactive panels, besides the draws of every law.
PANEL_TABLES = [
    path
    for law, tables in (
        ("isoflop", ("vertices", "profiles")),
        ("parametric", ("points",)),
    )
    if law in STUDY["laws"]
    for table in tables
    for path in stated(table, [law])
]


# The methods as text, and for a paper as LaTeX and BibTeX.
METHODS = ("txt", "tex", "bib")
# What lies beside the page: path, name, what it is.
DOWNLOADS = [
    ("appendix.html", "appendix.html", "all other figures, every table, methods"),
    ("decision.csv", "decision.csv", "every law at every target, every digit"),
    (
        f"{STUDY['name']}-review.zip",
        "for reviewers",
        "page, tables, figures, fits and cleaned runs in one zip, with digests",
    ),
    ("latex/tables.tex", "latex/", "tables for a paper"),
    ("methods/methods.txt", "methods/", "the methods as text, LaTeX and BibTeX"),
]


rule report:
    input:
        table="results/{study}/decision.parquet",
        verdict="results/{study}/decision.json",
        fits=stated("fit", STUDY["laws"]),
        draws=stated("draws", STUDY["laws"]),
        estimators=stated("estimators", STUDY["laws"]),
        tables=PANEL_TABLES,
        figures=all_figures("svg"),
        words=all_figures("json"),
        runs="results/{study}/clean/runs.parquet",
        dropped="results/{study}/clean/dropped.parquet",
        notes="results/{study}/clean/notes.json",
        audits=AUDITS,
        audit_tables=ancient(AUDIT_TABLES),
    output:
        **{end: f"results/{{study}}/methods/methods.{end}" for end in METHODS},
        page=report(
            "results/{study}/report.html",
            caption="../report/captions/decision.rst",
            category="Decision",
            labels=shown_as("report"),
        ),
        appendix=report(
            "results/{study}/appendix.html",
            caption="../report/captions/appendix.rst",
            category="Decision",
            labels=shown_as("appendix"),
        ),
    log:
        "results/{study}/logs/report.log",
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
        downloads=DOWNLOADS,
        template=files_digest(TEMPLATE_FILES),
        code=code(
            "report.py",
            *SPECS,
            *[module_of(spec_of(law).methods) for law in STUDY["laws"]],
        ),
    script:
        "../scripts/report.py"
