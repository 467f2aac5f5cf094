"""Fit the isoflop law to one family."""

from pathlib import Path

from stage import stage

with stage(snakemake, measure=True) as said:
    from fitting import write_fit

    from flopline.laws.common.bootstrap_options import BootstrapOptions
    from flopline.laws.isoflop import isoflop_fit
    from flopline.laws.isoflop.isoflop_options import IsoflopOptions
    from flopline.points import final_points
    from flopline.progress import heard
    from flopline.storage import read_parquet

    study, family = snakemake.params.study, snakemake.wildcards.family
    with heard(said.reached):
        result = isoflop_fit.fit(
            final_points(read_parquet(Path(snakemake.input.runs)), family),
            study["targets"],
            IsoflopOptions(**study["isoflop"]),
            bootstrap=BootstrapOptions(**study["bootstrap"]),
            family=family,
        )
    write_fit(result, snakemake, said)
