"""Put every law and estimator side by side at every target budget, and recommend one line."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from flopline.audit.audit_options import AuditOptions
    from flopline.bearing import span_of
    from flopline.decision import decide, demand_a_fit
    from flopline.results import read_results
    from flopline.schema import KEPT
    from flopline.storage import write_json, write_parquet, write_text

    study, wildcards = snakemake.params.study, snakemake.wildcards
    results = read_results(Path("results", wildcards.study), map(Path, snakemake.input))
    demand_a_fit({family: results.families[family].fits for family in study["families"]})
    kept = results.runs[results.runs["status"] == KEPT]
    table, verdict = decide(
        {family: results.families[family] for family in study["families"]},
        study["targets"],
        study["families"],
        {str(family): span_of(runs) for family, runs in kept.groupby("family")},
        AuditOptions(**study["audit"]),
        comparable=study["comparable_losses"],
        first=study["headline_family"],
        runs=kept,
    )
    table["synthetic"] = verdict["synthetic"] = snakemake.params.synthetic
    write_parquet(table, Path(snakemake.output.table))
    write_text(table.to_csv(index=False, lineterminator="\n"), Path(snakemake.output.csv))
    write_json(verdict, Path(snakemake.output.verdict))
    said.append(f"{len(table)} lines")
