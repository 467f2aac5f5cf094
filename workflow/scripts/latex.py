"""Write the tables of a study as LaTeX."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from flopline.outputs.latex_tables import latex_tables
    from flopline.storage import read_json, read_parquet, write_text

    study, inputs = snakemake.params.study, snakemake.input
    fits = {family: {} for family in study["families"]}
    for fit in map(read_json, map(Path, inputs.fits)):
        fits[fit["family"]][fit["law"]] = fit
    tables = latex_tables(
        study["title"],
        read_parquet(Path(inputs.decision)),
        fits,
        read_parquet(Path(inputs.runs)),
        study["families"],
        synthetic=snakemake.params.synthetic,
    )
    for name, table in tables.items():
        write_text(table, Path(snakemake.output[name]))
    said.append(f"{len(tables) - 1} tables")
