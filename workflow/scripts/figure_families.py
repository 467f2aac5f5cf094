"""Draw the families side by side: loss over compute, and the compute multiplier between them."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from flopline.figures.families_figure import families
    from flopline.figures.style import literal, save
    from flopline.schema import KEPT
    from flopline.storage import read_json, read_parquet

    study, inputs = snakemake.params.study, snakemake.input
    fits, draws = ({family: {} for family in study["families"]} for _ in range(2))
    # Fits and draws are listed in one order: every law of every family.
    for fit, drawn in zip(map(read_json, map(Path, inputs.fits)), inputs.draws, strict=True):
        fits[fit["family"]][fit["law"]] = fit
        draws[fit["family"]][fit["law"]] = read_parquet(Path(drawn))
    runs = read_parquet(Path(inputs.runs))
    flops = runs[runs["status"] == KEPT].groupby("family")["flops"]
    spans = {f: (float(flops.min()[f]), float(flops.max()[f])) for f in study["families"]}
    figure = families(
        fits,
        draws,
        read_json(Path(inputs.decision))["families"],
        spans,
        labels={name: literal(label) for name, label in study["families"].items()},
        target_flops=study["targets"][0],
        loss_label=literal(study["loss_label"]),
        width=snakemake.params.width,
        synthetic=snakemake.params.synthetic,
    )
    save(figure, Path(snakemake.output.svg).with_suffix(""))
    said.append("svg, png, pdf")
