"""Put every law side by side at every target budget."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from flopline.decision import decide
    from flopline.schema import KEPT
    from flopline.storage import read_json, read_parquet, write_json, write_parquet

    study = snakemake.params.study
    fits = {family: {} for family in snakemake.params.families}
    for fit in map(read_json, map(Path, snakemake.input.fits)):
        fits[fit["family"]][fit["law"]] = fit
    runs = read_parquet(Path(snakemake.input.runs))
    largest = runs[runs["status"] == KEPT].groupby("family")["flops"].max()
    table, verdict = decide(fits, study["targets"], largest.to_dict())
    table["synthetic"] = verdict["synthetic"] = snakemake.params.synthetic
    write_parquet(table, Path(snakemake.output.table))
    table.to_csv(snakemake.output.csv, index=False, lineterminator="\n")
    write_json(verdict, Path(snakemake.output.verdict))
    said.append(f"{len(table)} lines")
