# Publication figures, each as SVG, PNG and PDF.

FIGURE_FORMATS = ("svg", "png", "pdf")
FIGURES = per_family(
    "results/{study}/figures/{family}/{figure}.{format}",
    figure=[law for law in ("isoflop", "envelope") if law in STUDY["laws"]],
    format=FIGURE_FORMATS,
)
if "parametric" in STUDY["laws"]:
    FIGURES += [
        f"results/{STUDY['name']}/figures/surface.{format}" for format in FIGURE_FORMATS
    ]
LOSS_FIGURES = (
    *(["contours"] if "parametric" in STUDY["laws"] else []),
    "losscompute",
)
FIGURES += per_family(
    "results/{study}/figures/{family}/{figure}.{format}",
    figure=LOSS_FIGURES,
    format=FIGURE_FORMATS,
)
# One family has nothing to be compared with.
OF_THE_STUDY = (*(["families"] if len(STUDY["families"]) > 1 else []), "cleaning")
FIGURES += [
    f"results/{STUDY['name']}/figures/{figure}.{format}"
    for figure in OF_THE_STUDY
    for format in FIGURE_FORMATS
]
AUDIT_FIGURES = ("ladder", "identifiability", "stakes")
if AUDITS:
    FIGURES += per_family(
        "results/{study}/figures/{family}/{figure}.{format}",
        figure=AUDIT_FIGURES,
        format=FIGURE_FORMATS,
    )


rule figure_isoflop:
    input:
        **law_files("isoflop"),
    output:
        **figure_files("results/{study}/figures/{family}/isoflop", "isoflop", "Laws"),
    log:
        "results/{study}/logs/figure_isoflop.{family}.log",
    benchmark:
        "results/{study}/benchmarks/figure_isoflop.{family}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        study=options("families", "targets", "loss_label"),
        width=STUDY["figures"]["width"],
        synthetic=SYNTHETIC,
        code=code("figure_isoflop.py"),
    script:
        "../scripts/figure_isoflop.py"


rule figure_envelope:
    input:
        **law_files("envelope"),
    output:
        **figure_files("results/{study}/figures/{family}/envelope", "envelope", "Laws"),
    log:
        "results/{study}/logs/figure_envelope.{family}.log",
    benchmark:
        "results/{study}/benchmarks/figure_envelope.{family}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        study=options("families", "targets", "loss_split", "loss_label", "envelope"),
        width=STUDY["figures"]["width"],
        synthetic=SYNTHETIC,
        code=code("figure_envelope.py"),
    script:
        "../scripts/figure_envelope.py"


rule figure_surface:
    input:
        fits=per_family("results/{study}/fits/{family}/parametric.json"),
        points=per_family("results/{study}/fits/{family}/parametric.points.parquet"),
    output:
        **figure_files("results/{study}/figures/surface", "surface", "Laws"),
    log:
        "results/{study}/logs/figure_surface.log",
    benchmark:
        "results/{study}/benchmarks/figure_surface.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        study=options("families", "loss_label", "figures"),
        width=STUDY["figures"]["width"],
        synthetic=SYNTHETIC,
        code=code("figure_surface.py"),
    script:
        "../scripts/figure_surface.py"


rule figure_loss:
    input:
        fits=expand("results/{{study}}/fits/{{family}}/{law}.json", law=STUDY["laws"]),
        draws=expand(
            "results/{{study}}/fits/{{family}}/{law}.draws.parquet", law=STUDY["laws"]
        ),
        # What each law's L(C) is held against, in the order of the laws.
        frontiers=[
            path
            for law in STUDY["laws"]
            for path in law_tables(law, spec_of(law).frontier.table).values()
        ],
    output:
        **several_figures(LOSS_FIGURES, "Laws"),
    log:
        "results/{study}/logs/figure_loss.{family}.log",
    benchmark:
        "results/{study}/benchmarks/figure_loss.{family}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        study=options("families", "targets", "loss_label"),
        width=STUDY["figures"]["width"],
        synthetic=SYNTHETIC,
        code=code("figure_loss.py", *SPECS),
    script:
        "../scripts/figure_loss.py"


rule figure_families:
    input:
        fits=per_family("results/{study}/fits/{family}/{law}.json", law=STUDY["laws"]),
        draws=per_family(
            "results/{study}/fits/{family}/{law}.draws.parquet", law=STUDY["laws"]
        ),
        runs="results/{study}/clean/runs.parquet",
        decision="results/{study}/decision.json",
    output:
        **figure_files("results/{study}/figures/families", "families", "Laws"),
    log:
        "results/{study}/logs/figure_families.log",
    benchmark:
        "results/{study}/benchmarks/figure_families.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        study=options("families", "targets", "loss_label"),
        width=STUDY["figures"]["width"],
        synthetic=SYNTHETIC,
        code=code("figure_families.py", *SPECS),
    script:
        "../scripts/figure_families.py"


rule figure_cleaning:
    input:
        runs="results/{study}/clean/runs.parquet",
        dropped="results/{study}/clean/dropped.parquet",
        curves=CLEAN_CURVES,
    output:
        **figure_files("results/{study}/figures/cleaning", "cleaning", "Data"),
    log:
        "results/{study}/logs/figure_cleaning.log",
    benchmark:
        "results/{study}/benchmarks/figure_cleaning.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        study=options("families"),
        width=STUDY["figures"]["width"],
        synthetic=SYNTHETIC,
        code=code("figure_cleaning.py"),
    script:
        "../scripts/figure_cleaning.py"


rule figure_audit:
    input:
        **law_tables("parametric", "points"),
        findings="results/{study}/audit/{family}/findings.json",
        tables="results/{study}/audit/{family}/tables",
        fits=expand("results/{{study}}/fits/{{family}}/{law}.json", law=STUDY["laws"]),
        draws=expand(
            "results/{{study}}/fits/{{family}}/{law}.draws.parquet", law=STUDY["laws"]
        ),
        runs="results/{study}/clean/runs.parquet",
        decision="results/{study}/decision.json",
    output:
        **several_figures(AUDIT_FIGURES, "Audit"),
    log:
        "results/{study}/logs/figure_audit.{family}.log",
    benchmark:
        "results/{study}/benchmarks/figure_audit.{family}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        study=options("families", "targets", "loss_label"),
        width=STUDY["figures"]["width"],
        synthetic=SYNTHETIC,
        code=code("figure_audit.py", *SPECS),
    script:
        "../scripts/figure_audit.py"
