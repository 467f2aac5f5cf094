"""Simulate the runs of a study and write their raw logs and run table."""

from pathlib import Path

from stage import stage

with stage(snakemake) as summary:
    from flopline.simulation import curve, planned_runs, run_table
    from flopline.storage import write_text

    settings = snakemake.params.simulation
    runs = planned_runs(settings)
    table = Path(snakemake.output.table)
    logs = table.with_name("logs")
    for former in set(logs.glob("*.jsonl")) - {logs / f"{run.run}.jsonl" for run in runs}:
        former.unlink()
    for run in runs:
        rows = curve(settings, run).to_json(orient="records", lines=True, double_precision=15)
        write_text(rows, logs / f"{run.run}.jsonl")
    write_text(run_table(runs).to_csv(index=False, lineterminator="\n"), table)
    summary.append(f"{len(runs):,} runs, {len(runs) * settings['rows']:,} rows, all synthetic")
