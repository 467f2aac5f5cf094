"""Audit the fits of one family: why to believe them, and what it costs if they are wrong."""

from pathlib import Path

from stage import stage

with stage(snakemake, measure=True) as said:
    from findings import write_findings
    from fitting import stored_fit

    from flopline.audit.audit_options import AuditOptions
    from flopline.audit.family_audits import Evidence, audit_family
    from flopline.audit.judges import JUDGES, SURFACE
    from flopline.cleaning_options import CleaningOptions
    from flopline.laws.common.bootstrap_options import BootstrapOptions
    from flopline.laws.spec import spec_of
    from flopline.options import StudyOptions
    from flopline.points import MOST_ROWS, SCHEDULE, fitted_to, read_curves
    from flopline.progress import heard
    from flopline.storage import read_parquet

    study, family, inputs = snakemake.params.study, snakemake.params.family, snakemake.input
    laws, shards = snakemake.params.laws, [Path(path) for path in inputs.curves]
    runs = read_parquet(Path(inputs.runs))
    runs = runs[runs["family"] == family].reset_index(drop=True)
    specs = [spec_of(law) for law in dict.fromkeys([*laws, *JUDGES])]
    groups = (AuditOptions, BootstrapOptions, CleaningOptions, *(spec.model for spec in specs))
    points = {spec.name: fitted_to(spec, runs, shards, study, family) for spec in specs}
    of_study = points[SURFACE.name]
    planned = ["run", *(c for c in snakemake.params.facts if c not in of_study)]
    files = {name: path for name, path in inputs.items() if isinstance(path, str)}
    evidence = Evidence(
        family,
        of_study.merge(runs[planned], on="run", how="left"),
        runs,
        read_curves(shards, runs, family, None, MOST_ROWS, SCHEDULE),
        {law: stored_fit(law, files) for law in laws},
        points,
    )
    with heard(said.reached):
        findings = audit_family(
            evidence,
            StudyOptions.read(study, groups),
            study["targets"],
            params_convention=study["params_convention"],
            flops_convention=study["flops_convention"],
        )
    write_findings(findings, Path(snakemake.output.findings), Path(snakemake.output.tables))
    verdicts = [finding.verdict for finding in findings]
    said += [f"{verdicts.count(v)} {v}" for v in ("fine", "mind", "refuse") if v in verdicts]
