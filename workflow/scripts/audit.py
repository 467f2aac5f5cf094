"""Audit the fits of one family: why to believe them, and what it costs if they are wrong."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from findings import write_findings

    from flopline.audit.stage import Evidence, audit_family
    from flopline.points import (
        LOGGED,
        MOST_ROWS,
        checkpoint_points,
        final_points,
        read_curves,
        training_curves,
    )
    from flopline.storage import read_json, read_parquet

    study, family = snakemake.params.study, snakemake.wildcards.family
    inputs = dict(snakemake.input.items())
    shards = list(map(Path, snakemake.input.curves))

    def table(name):
        """The input called `name`, None where the study does not fit its law."""
        return read_parquet(Path(inputs[name])) if name in inputs else None

    runs = table("runs")
    runs = runs[runs["family"] == family].reset_index(drop=True)
    if study["points"] == "checkpoints":
        curves = read_curves(shards, runs, family, study["loss_split"])
        points = checkpoint_points(runs, curves, family, study["loss_split"])
    else:
        points = final_points(runs, family)
    planned = ["run", *(c for c in snakemake.params.facts if c not in points)]
    envelope_curves = None
    if "envelope_estimators" in inputs:
        split = study["envelope"]["split"] or study["loss_split"]
        curves = read_curves(shards, runs, family, split, MOST_ROWS)
        envelope_curves = training_curves(runs, curves, family, split)
    estimators = {
        law: table(f"{law}_estimators")
        for law in snakemake.params.laws
        if f"{law}_estimators" in inputs
    }
    findings = audit_family(
        Evidence(
            family,
            points.merge(runs[planned], on="run", how="left"),
            runs,
            read_curves(shards, runs, family, None, MOST_ROWS, LOGGED),
            envelope_curves,
            read_json(Path(inputs["fit"])) if "fit" in inputs else None,
            table("draws"),
            table("vertices"),
            table("profiles"),
            estimators,
        ),
        study,
        study["targets"],
    )
    write_findings(findings, Path(snakemake.output.findings), Path(snakemake.output.tables))
    verdicts = [finding.verdict for finding in findings]
    said += [f"{verdicts.count(v)} {v}" for v in ("fine", "mind", "refuse") if v in verdicts]
