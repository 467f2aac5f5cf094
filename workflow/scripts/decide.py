"""Put every law and estimator side by side at every target budget, and recommend one line."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from findings import read_findings

    from flopline.audit.audit_options import AuditOptions
    from flopline.decision import FamilyEvidence, decide
    from flopline.schema import KEPT
    from flopline.storage import read_json, read_parquet, write_json, write_parquet, write_text

    study, inputs = snakemake.params.study, snakemake.input
    fits, estimators, draws = ({family: {} for family in study["families"]} for _ in range(3))
    # Fits, estimators and draws are listed in one order: every law of every family.
    for fit, lines, drawn in zip(inputs.fits, inputs.estimators, inputs.draws, strict=True):
        result = read_json(Path(fit))
        family, law = result["family"], result["law"]
        fits[family][law] = result
        estimators[family][law] = read_parquet(Path(lines))
        draws[family][law] = read_parquet(Path(drawn))
    audits = {path.parent.name: read_findings(path) for path in map(Path, inputs.audits)}
    runs = read_parquet(Path(inputs.runs))
    compute = runs[runs["status"] == KEPT].groupby("family")["flops"]
    largest, smallest = compute.max(), compute.min()
    evidence = {
        family: FamilyEvidence(
            fits[family],
            estimators[family],
            float(largest[family]),
            draws[family],
            audits.get(family, []),
            float(smallest[family]),
        )
        for family in study["families"]
    }
    options = AuditOptions(**study["audit"])
    table, verdict = decide(evidence, study["targets"], study["families"], options)
    table["synthetic"] = verdict["synthetic"] = snakemake.params.synthetic
    write_parquet(table, Path(snakemake.output.table))
    write_text(table.to_csv(index=False, lineterminator="\n"), Path(snakemake.output.csv))
    write_json(verdict, Path(snakemake.output.verdict))
    said.append(f"{len(table)} lines")
