# Publication figures: one file each as SVG, PNG and PDF.

FIGURE_FORMATS = ("svg", "png", "pdf")
FAMILY_FIGURES = [law for law in ("isoflop", "envelope") if law in STUDY["laws"]]
FIGURES = per_family(
    "results/{study}/figures/{family}/{figure}.{format}",
    figure=FAMILY_FIGURES,
    format=FIGURE_FORMATS,
)
if "parametric" in STUDY["laws"]:
    FIGURES += expand(
        "results/{study}/figures/surface.{format}", study=STUDY["name"], format=FIGURE_FORMATS
    )
