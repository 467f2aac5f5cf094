"""Draw the isoFLOP figure of one family."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from flopline.figures.isoflop_figure import isoflop
    from flopline.figures.style import literal, save
    from flopline.storage import read_json, read_parquet

    study, family = snakemake.params.study, snakemake.wildcards.family
    figure = isoflop(
        read_json(Path(snakemake.input.fit)),
        read_parquet(Path(snakemake.input.vertices)),
        read_parquet(Path(snakemake.input.profiles)),
        family_label=literal(study["families"][family]),
        target_flops=study["targets"][0],
        loss_label=literal(study["loss_label"]),
        draws=read_parquet(Path(snakemake.input.draws)),
        estimators=read_parquet(Path(snakemake.input.estimators)),
        width=snakemake.params.width,
        synthetic=snakemake.params.synthetic,
    )
    save(figure, Path(snakemake.output.svg).with_suffix(""))
    said.append("svg, png, pdf")
