"""Fit the isoflop law to one family."""

from pathlib import Path

from stage import stage

from flopline.laws.isoflop import isoflop_fit

with stage(snakemake, measure=True) as said:
    from fitting import write_fit

    from flopline.laws.isoflop import isoflop_fit
    from flopline.points import final_points
    from flopline.progress import heard
    from flopline.storage import read_parquet

    study, family = snakemake.params.study, snakemake.wildcards.family
    settings = study["isoflop"]
    with heard(said.reached):
        result = isoflop_fit.fit(
            final_points(read_parquet(Path(snakemake.input.runs)), family),
            study["targets"],
            budgets=settings["budgets"],
            budget_tolerance=settings["budget_tolerance"],
            min_sizes=settings["min_sizes"],
            quality=settings["quality"],
            draws=study["bootstrap"]["draws"],
            seed=study["bootstrap"]["seed"],
            method=study["bootstrap"]["method"],
            family=family,
        )
    write_fit(result, snakemake, said)
