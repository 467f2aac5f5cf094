"""Audit the fits of one family: why to believe them, and what it costs if they are wrong."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from findings import write_findings

    from flopline.audit.stage import audit_family
    from flopline.storage import read_json, read_parquet

    study, inputs = snakemake.params.study, snakemake.input
    planned = read_parquet(Path(inputs.runs))[["run", "budget_flops"]]
    isoflop = None
    if "vertices" in inputs.keys():  # noqa: SIM118 - a named list, not a mapping
        isoflop = (read_parquet(Path(inputs.vertices)), read_parquet(Path(inputs.profiles)))
    findings = audit_family(
        read_json(Path(inputs.fit)),
        read_parquet(Path(inputs.draws)),
        read_parquet(Path(inputs.points)).merge(planned, on="run", how="left"),
        isoflop,
        study,
        study["targets"],
        snakemake.wildcards.family,
    )
    write_findings(findings, Path(snakemake.output.findings), Path(snakemake.output.tables))
    verdicts = [finding.verdict for finding in findings]
    said += [f"{verdicts.count(v)} {v}" for v in ("fine", "mind", "refuse") if v in verdicts]
