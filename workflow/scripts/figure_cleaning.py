"""Draw what cleaning kept and what it left out."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from flopline.figures.cleaning_figure import cleaning
    from flopline.figures.style import save
    from flopline.points import last_steps
    from flopline.storage import read_parquet

    study, inputs = snakemake.params.study, snakemake.input
    dropped = read_parquet(Path(inputs.dropped))
    figure = cleaning(
        read_parquet(Path(inputs.runs)),
        dropped,
        last_steps(map(Path, inputs.curves), dropped),
        labels=study["families"],
        width=snakemake.params.width,
        synthetic=snakemake.params.synthetic,
    )
    save(figure, Path(snakemake.output.svg).with_suffix(""))
    said.append("svg, png, pdf")
