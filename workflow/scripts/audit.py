"""Audit the fits of one family: why to believe them, and what it costs if they are wrong."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from flopline.audit.stage import audit_family
    from flopline.storage import read_json, read_parquet, write_json, write_parquet

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
    tables = Path(snakemake.output.tables)
    tables.mkdir()
    for finding in findings:
        for name, table in finding.tables.items():
            write_parquet(table, tables / f"{finding.audit}.{name}.parquet")
    write_json([finding.to_json() for finding in findings], Path(snakemake.output.findings))
    verdicts = [finding.verdict for finding in findings]
    said += [f"{verdicts.count(v)} {v}" for v in ("fine", "mind", "refuse") if v in verdicts]
