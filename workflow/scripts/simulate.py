"""Simulate the runs of a study and write their raw logs and run table."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from flopline.simulate import curve, planned_runs, run_table

    settings = snakemake.params.simulation
    runs = planned_runs(settings)
    table = Path(snakemake.output.table)
    logs = table.with_name("logs")
    for former in set(logs.glob("*.jsonl")) - {logs / f"{run.run}.jsonl" for run in runs}:
        former.unlink()
    for run in runs:
        curve(settings, run).to_json(
            logs / f"{run.run}.jsonl", orient="records", lines=True, double_precision=15
        )
    run_table(runs).to_csv(table, index=False, lineterminator="\n")
    said.append(f"{len(runs):,} runs, {len(runs) * settings['rows']:,} rows, all synthetic")
