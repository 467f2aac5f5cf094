"""Fit the envelope law to one family."""

from pathlib import Path

from stage import stage

from flopline.laws.envelope import envelope_fit

with stage(snakemake, measure=True) as said:
    from fitting import write_fit

    from flopline.laws.envelope import envelope_fit
    from flopline.points import MOST_ROWS, read_curves, training_curves
    from flopline.progress import heard
    from flopline.storage import read_parquet

    study, family = snakemake.params.study, snakemake.wildcards.family
    runs = read_parquet(Path(snakemake.input.runs))
    settings = study["envelope"]
    split = settings["split"] or study["loss_split"]
    paths = map(Path, snakemake.input.curves)
    curves = read_curves(paths, runs, family, split, MOST_ROWS)
    with heard(said.reached):
        result = envelope_fit.fit(
            training_curves(runs, curves, family, split),
            study["targets"],
            bins=settings["bins"],
            smoothing_steps=settings["smoothing_steps"],
            frontier=settings["frontier"],
            only_schedule_end=settings["only_schedule_end"],
            loss_floor=settings["loss_floor"],
            draws=study["bootstrap"]["draws"],
            seed=study["bootstrap"]["seed"],
            family=family,
        )
    write_fit(result, snakemake, said)
