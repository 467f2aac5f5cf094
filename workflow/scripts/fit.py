"""Fit one law to one family."""

from pathlib import Path

from stage import stage

with stage(snakemake) as summary:
    from fitting import write_fit
    from solved import solves_of

    from flopline.errors import FloplineError
    from flopline.laws.common.bootstrap_options import BootstrapOptions
    from flopline.laws.common.not_fitted import not_fitted
    from flopline.laws.spec import spec_of
    from flopline.points import fitted_to
    from flopline.progress import heard
    from flopline.remembered import remembering
    from flopline.schema import KEPT
    from flopline.storage import read_parquet
    from flopline.units import demand_reach

    study, family = snakemake.params.study, snakemake.params.family
    spec = spec_of(snakemake.params.law)
    runs = read_parquet(Path(snakemake.input.runs))
    most = float(runs.loc[runs["status"] == KEPT, "flops"].max())
    demand_reach(most, study["targets"], study["file"], snakemake.params.open_counts)
    points = fitted_to(spec, runs, map(Path, snakemake.input.curves), study, family)
    targets, bootstrap = study["targets"], BootstrapOptions(**study["bootstrap"])
    solves = solves_of(snakemake)
    try:
        with heard(summary.reached), remembering(solves):
            result = spec.fitted(
                points,
                targets,
                spec.model(**study[spec.name]),
                bootstrap=bootstrap,
                family=family,
            )
    except FloplineError as reason:
        # The other laws go on; where there are none the decision says so.
        result = not_fitted(spec, targets, str(reason), points=points, draws=bootstrap.draws)
    write_fit(result, snakemake, summary)
    solves.write()
