"""Write the tables of a study as LaTeX."""

from pathlib import Path

from stage import stage

with stage(snakemake) as summary:
    from flopline.outputs.latex_tables import latex_tables
    from flopline.results import read_results
    from flopline.storage import write_text

    study, wildcards = snakemake.params.study, snakemake.wildcards
    results = read_results(Path("results", wildcards.study), map(Path, snakemake.input))
    tables = latex_tables(
        study["title"],
        results.lines,
        {family: results.families[family].fits for family in study["families"]},
        results.runs,
        study["families"],
        synthetic=snakemake.params.synthetic,
        loss_unit=study["loss_unit"],
    )
    for name, table in tables.items():
        write_text(table, Path(snakemake.output[name]))
    summary.append(f"{len(tables) - 1} tables")
