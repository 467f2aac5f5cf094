"""Draw what the laws of one family say of the loss: contours of the surface, loss over compute."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from flopline.figures.contours_figure import contours
    from flopline.figures.losscompute_figure import losscompute
    from flopline.figures.style import literal, save
    from flopline.laws.isoflop.isoflop_law import LAW as ISOFLOP
    from flopline.laws.parametric.parametric_law import LAW as PARAMETRIC
    from flopline.storage import read_json, read_parquet

    study, family = snakemake.params.study, snakemake.wildcards.family
    fits = {fit["law"]: fit for fit in map(read_json, map(Path, snakemake.input.fits))}
    # Fits, draws and frontiers are listed law by law.
    draws, seen = (
        dict(zip(fits, map(read_parquet, map(Path, paths)), strict=True))
        for paths in (snakemake.input.draws, snakemake.input.frontiers)
    )
    minima, points = (seen.get(law.name) for law in (ISOFLOP, PARAMETRIC))
    common = {
        "family_label": literal(study["families"][family]),
        "target_flops": study["targets"][0],
        "loss_label": literal(study["loss_label"]),
        "width": snakemake.params.width,
        "synthetic": snakemake.params.synthetic,
    }
    figures = {"losscompute": losscompute(fits, draws, seen=seen, **common)}
    if points is not None:
        nominal = None if minima is None else minima["nominal_flops"]
        figures["contours"] = contours(
            fits[PARAMETRIC.name],
            points,
            budgets=None if nominal is None else nominal.fillna(minima["budget_flops"]),
            draws=draws[PARAMETRIC.name],
            **common,
        )
    for name, figure in figures.items():
        save(figure, Path(snakemake.output[f"{name}_svg"]).with_suffix(""))
    said.append(f"{len(figures)} figures as svg, png, pdf")
