"""Fit the parametric law to one family."""

from pathlib import Path

from stage import stage

with stage(snakemake, measure=True) as said:
    from fitting import write_fit

    from flopline.laws.common.bootstrap_options import BootstrapOptions
    from flopline.laws.parametric import parametric_fit
    from flopline.laws.parametric.parametric_options import ParametricOptions
    from flopline.points import checkpoint_points, final_points, read_curves
    from flopline.progress import heard
    from flopline.storage import read_parquet

    study, family = snakemake.params.study, snakemake.wildcards.family
    runs = read_parquet(Path(snakemake.input.runs))
    if study["points"] == "checkpoints":
        paths = map(Path, snakemake.input.curves)
        curves = read_curves(paths, runs, family, study["loss_split"])
        points = checkpoint_points(runs, curves, family, study["loss_split"])
    else:
        points = final_points(runs, family)
    with heard(said.reached):
        result = parametric_fit.fit(
            points,
            study["targets"],
            ParametricOptions(**study["parametric"]),
            bootstrap=BootstrapOptions(**study["bootstrap"]),
            family=family,
        )
    write_fit(result, snakemake, said)
