# Publication figures, each as SVG and what else the study wants: a rule for every one that the registry lists.

from flopline.figures.registry import FIGURES
from flopline.figures.spec import chosen, figure_module
from flopline.laws.spec import spec_module
from flopline.numbers import flops_label
from running.outlines import outlines

# The page shows the SVG.
FIGURE_FORMATS = ("svg", *dict.fromkeys(STUDY["figures"]["formats"]))
try:
    DRAWN = [
        figure
        for figure in outlines(FIGURES, LIBRARY)
        if figure.is_drawn(STUDY["laws"], STUDY["families"])
    ]
except FloplineError as mistake:
    sys.exit(f"flopline: {mistake}")


def needed(figure):
    """The results that a figure is made of, by kind: see Needs in flopline/figures/spec.py."""
    needs, laws = figure.needs, STUDY["laws"]
    files = {
        "fits": [stated_files(law)["fit"] for law in chosen(needs.fits, laws)],
        "draws": [stated_files(law)["draws"] for law in chosen(needs.draws, laws)],
        "tables": [
            path
            for of_laws, table in (name.split(".") for name in needs.tables)
            for law in chosen([of_laws], laws)
            for path in [stated_files(law, table)[table]]
        ],
        "frontiers": [
            stated_files(law, spec_of(law).frontier.table)[spec_of(law).frontier.table]
            for law in laws * needs.frontiers
        ],
        "findings": needs.of_audit * FINDINGS[:1],
        "finding_tables": needs.of_audit * FINDINGS[1:],
    }
    if not figure.per_family:
        files = {
            kind: expand(paths, family=STUDY["families"], allow_missing=True)
            for kind, paths in files.items()
        }
    files |= {
        "runs": needs.runs * ["results/{study}/clean/runs.parquet"],
        "dropped": needs.dropped * ["results/{study}/clean/dropped.parquet"],
        "curves": needs.curves * CLEAN_CURVES,
        "decision": (needs.decision or needs.unseen)
        * ["results/{study}/decision.json"],
    }
    files["finding_tables"] = ancient(files["finding_tables"])
    return {kind: paths for kind, paths in files.items() if paths}


def figure_files(figure):
    """A figure in every format, and what is said of it."""
    of_family = "results/{study}/figures/{family}"
    folder = of_family if figure.per_family else "results/{study}/figures"
    return {end: f"{folder}/{figure.name}.{end}" for end in (*FIGURE_FORMATS, "json")}


def all_figures(*ends):
    """The files of all figures that have one of these ends, in the order of the page."""
    return [
        path
        for figure in DRAWN
        for end in ends
        for path in expand(
            figure_files(figure)[end],
            study=STUDY["name"],
            **({"family": STUDY["families"]} if figure.per_family else {}),
        )
    ]


def in_engine_report(figure):
    """Its SVG, to stand in Snakemake's own report."""
    return report(
        figure_files(figure)["svg"],
        caption="../report/captions/figure.rst",
        category=figure.section.category,
        labels=shown_as(figure.name),
    )


for figure in DRAWN:
    of_family = ".{family}" if figure.per_family else ""
    late = figure.needs.of_decision or not figure.per_family

    rule:
        name:
            f"figure_{figure.name}"
        input:
            **needed(figure),
        output:
            **figure_files(figure) | {"svg": in_engine_report(figure)},
        log:
            f"results/{{study}}/logs/figure_{figure.name}{of_family}.log",
        # On a cluster those of the end go with the rules of which the profiles say so.
        group:
            gathered("end" if late else "family")
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=grows(1000),
            runtime=grows(10),
        params:
            figure=figure.name,
            about=figure.about.replace("{target}", flops_label(STUDY["targets"][0])),
            study=options(*figure.options),
            width=STUDY["figures"]["width"],
            synthetic=SYNTHETIC,
            code=code(
                "figure.py",
                figure_module(figure.name),
                *(SPECS if figure.needs.every_law else map(spec_module, figure.laws)),
            ),
        script:
            "../scripts/figure.py"
