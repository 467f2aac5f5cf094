"""Draw the loss surfaces of all families side by side."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from flopline.figures.style import literal, save
    from flopline.figures.surface_figure import Panel, surface
    from flopline.storage import read_json, read_parquet

    study = snakemake.params.study
    panels = [
        Panel(literal(study["families"][fit["family"]]), read_parquet(Path(points)), fit)
        for fit, points in zip(
            map(read_json, map(Path, snakemake.input.fits)), snakemake.input.points, strict=True
        )
    ]
    figure = surface(
        panels,
        loss_label=literal(study["loss_label"]),
        show_surface=study["figures"]["fitted_surface"],
        width=snakemake.params.width,
        synthetic=snakemake.params.synthetic,
    )
    save(figure, Path(snakemake.output.svg).with_suffix(""))
    said.append("svg, png, pdf")
