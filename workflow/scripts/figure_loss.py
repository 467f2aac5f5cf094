"""Draw what the laws of one family say of the loss: contours of the surface, loss over compute."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from flopline.figures.contours_figure import contours
    from flopline.figures.losscompute_figure import losscompute
    from flopline.figures.style import literal, save
    from flopline.storage import read_json, read_parquet

    study, family = snakemake.params.study, snakemake.wildcards.family
    inputs = {name: path for name, path in snakemake.input.items() if isinstance(path, str)}
    fits = {fit["law"]: fit for fit in map(read_json, map(Path, snakemake.input.fits))}
    # Fits and draws are listed law by law.
    tables = (read_parquet(Path(path)) for path in snakemake.input.draws)
    draws = dict(zip(fits, tables, strict=True))
    minima, frontier, points = (
        read_parquet(Path(inputs[name])) if name in inputs else None
        for name in ("vertices", "frontier", "points")
    )
    common = {
        "family_label": literal(study["families"][family]),
        "target_flops": study["targets"][0],
        "loss_label": literal(study["loss_label"]),
        "width": snakemake.params.width,
        "synthetic": snakemake.params.synthetic,
    }
    figures = {
        "losscompute": losscompute(
            fits, draws, minima=minima, frontier=frontier, points=points, **common
        )
    }
    if points is not None:
        nominal = None if minima is None else minima["nominal_flops"]
        figures["contours"] = contours(
            fits["parametric"],
            points,
            budgets=None if nominal is None else nominal.fillna(minima["budget_flops"]),
            draws=draws["parametric"],
            **common,
        )
    for name, figure in figures.items():
        save(figure, Path(snakemake.output[f"{name}_svg"]).with_suffix(""))
    said.append(f"{len(figures)} figures as svg, png, pdf")
