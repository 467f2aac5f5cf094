"""Draw the audit's figures of one family: the ladder, what the runs can tell, what is at stake."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from findings import read_findings

    from flopline.figures.audit import audit_figures
    from flopline.figures.style import literal, save
    from flopline.schema import KEPT
    from flopline.storage import read_json, read_parquet

    study, family, inputs = snakemake.params.study, snakemake.wildcards.family, snakemake.input
    fits = {fit["law"]: fit for fit in map(read_json, map(Path, inputs.fits))}
    # Fits and draws are listed law by law.
    draws = dict(zip(fits, (read_parquet(Path(path)) for path in inputs.draws), strict=True))
    runs = read_parquet(Path(inputs.runs))
    points = None
    if "points" in inputs.keys():  # noqa: SIM118 - a named list, not a mapping
        points = read_parquet(Path(inputs.points))
    figures = audit_figures(
        read_findings(Path(inputs.findings)),
        fits,
        draws,
        runs[(runs["family"] == family) & (runs["status"] == KEPT)],
        points,
        read_json(Path(inputs.decision)),
        family=family,
        family_label=literal(study["families"][family]),
        target_flops=study["targets"][0],
        loss_label=literal(study["loss_label"]),
        width=snakemake.params.width,
        synthetic=snakemake.params.synthetic,
    )
    for name, figure in figures.items():
        save(figure, Path(snakemake.output[f"{name}_svg"]).with_suffix(""))
    said.append(f"{len(figures)} figures as svg, png, pdf")
