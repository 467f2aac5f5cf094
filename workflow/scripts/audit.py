"""Audit the fits of one family: why to believe them, and what it costs if they are wrong."""

from pathlib import Path

from stage import stage

with stage(snakemake, measure=True) as said:
    from findings import write_findings

    from flopline.audit.audit_options import AuditOptions
    from flopline.audit.family_audits import Evidence, audit_family
    from flopline.cleaning_options import CleaningOptions
    from flopline.laws.common.bootstrap_options import BootstrapOptions
    from flopline.laws.envelope.envelope_options import EnvelopeOptions
    from flopline.laws.isoflop.isoflop_options import IsoflopOptions
    from flopline.laws.parametric.parametric_options import ParametricOptions
    from flopline.options import StudyOptions
    from flopline.points import (
        MOST_ROWS,
        SCHEDULE,
        checkpoint_points,
        final_points,
        read_curves,
        training_curves,
    )
    from flopline.progress import heard
    from flopline.storage import read_json, read_parquet

    study, family = snakemake.params.study, snakemake.wildcards.family
    options = StudyOptions.read(
        study,
        (
            *(AuditOptions, BootstrapOptions, CleaningOptions),
            *(EnvelopeOptions, IsoflopOptions, ParametricOptions),
        ),
    )
    shards = [Path(path) for path in snakemake.input.curves]
    inputs = {name: Path(path) for name, path in snakemake.input.items() if name != "curves"}

    def table(name):
        """The input called `name`, None where the study does not fit its law."""
        return read_parquet(inputs[name]) if name in inputs else None

    runs = read_parquet(inputs["runs"])
    runs = runs[runs["family"] == family].reset_index(drop=True)
    if study["points"] == "checkpoints":
        curves = read_curves(shards, runs, family, study["loss_split"])
        points = checkpoint_points(runs, curves, family, study["loss_split"])
    else:
        points = final_points(runs, family)
    planned = ["run", *(c for c in snakemake.params.facts if c not in points)]
    envelope_curves = None
    if "envelope_estimators" in inputs:
        split = options.of(EnvelopeOptions).split or study["loss_split"]
        curves = read_curves(shards, runs, family, split, MOST_ROWS)
        envelope_curves = training_curves(runs, curves, family, split)
    estimators = {
        law: table(f"{law}_estimators")
        for law in snakemake.params.laws
        if f"{law}_estimators" in inputs
    }
    of_budgets = {
        law: (read_json(inputs[f"{law}_fit"]), read_parquet(inputs[f"{law}_draws"]))
        for law in snakemake.params.laws
        if f"{law}_fit" in inputs
    }
    evidence = Evidence(
        family,
        points.merge(runs[planned], on="run", how="left"),
        runs,
        read_curves(shards, runs, family, None, MOST_ROWS, SCHEDULE),
        envelope_curves,
        read_json(inputs["fit"]) if "fit" in inputs else None,
        table("draws"),
        table("variants"),
        table("vertices"),
        table("profiles"),
        estimators,
        of_budgets,
    )
    with heard(said.reached):
        findings = audit_family(
            evidence,
            options,
            study["targets"],
            params_convention=study["params_convention"],
            flops_convention=study["flops_convention"],
        )
    write_findings(findings, Path(snakemake.output.findings), Path(snakemake.output.tables))
    verdicts = [finding.verdict for finding in findings]
    said += [f"{verdicts.count(v)} {v}" for v in ("fine", "mind", "refuse") if v in verdicts]
