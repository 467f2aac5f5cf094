"""Draw the envelope figure of one family."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from flopline.figures.envelope_figure import envelope
    from flopline.figures.style import literal, save
    from flopline.schema import split_label
    from flopline.storage import read_json, read_parquet

    study, family = snakemake.params.study, snakemake.wildcards.family
    split = study["envelope"]["split"] or study["loss_split"]
    label = study["loss_label"] if split == study["loss_split"] else split_label(split)
    figure = envelope(
        read_json(Path(snakemake.input.fit)),
        read_parquet(Path(snakemake.input.frontier)),
        read_parquet(Path(snakemake.input.curves)),
        family_label=literal(study["families"][family]),
        target_flops=study["targets"][0],
        loss_label=literal(label),
        draws=read_parquet(Path(snakemake.input.draws)),
        width=snakemake.params.width,
        synthetic=snakemake.params.synthetic,
    )
    save(figure, Path(snakemake.output.svg).with_suffix(""))
    said.append("svg, png, pdf")
