"""Fit the envelope law to one family."""

from pathlib import Path

from stage import stage

with stage(snakemake, measure=True) as said:
    from fitting import write_fit

    from flopline.laws.common.bootstrap_options import BootstrapOptions
    from flopline.laws.envelope import envelope_fit
    from flopline.laws.envelope.envelope_options import EnvelopeOptions
    from flopline.points import MOST_ROWS, read_curves, training_curves
    from flopline.progress import heard
    from flopline.storage import read_parquet

    study, family = snakemake.params.study, snakemake.wildcards.family
    runs = read_parquet(Path(snakemake.input.runs))
    options = EnvelopeOptions(**study["envelope"])
    split = options.split or study["loss_split"]
    paths = map(Path, snakemake.input.curves)
    curves = read_curves(paths, runs, family, split, MOST_ROWS)
    with heard(said.reached):
        result = envelope_fit.fit(
            training_curves(runs, curves, family, split),
            study["targets"],
            options,
            bootstrap=BootstrapOptions(**study["bootstrap"]),
            family=family,
        )
    write_fit(result, snakemake, said)
