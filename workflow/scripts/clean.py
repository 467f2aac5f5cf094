"""Clean the rows of one shard, some runs at a time."""

from pathlib import Path

from stage import stage

with stage(snakemake) as summary:
    import pandas as pd

    from flopline.clean.batches import clean_batches
    from flopline.clean.run_facts import with_facts
    from flopline.clean.tally import SHARD_RUNS
    from flopline.numbers import count
    from flopline.schema import CURVES, DROPPED, conform
    from flopline.storage import RowGroups, read_parquet, row_groups, write_parquet
    from flopline.tables import run_facts
    from running.raw_digests import demand_unchanged

    study, raw, out = snakemake.params.study, snakemake.input, snakemake.output
    facts = run_facts(study["source"], Path.cwd()) if raw.run_table else None
    demand_unchanged([snakemake.params.run_table] if raw.run_table else [], Path.cwd())
    raw_runs = read_parquet(Path(raw.runs))
    runs = with_facts(raw_runs, facts, study)
    unread = read_parquet(Path(raw.dropped), categories=True)
    tallied, rows, lost = [], 0, 0
    with (
        RowGroups(Path(out.curves), CURVES) as curves,
        RowGroups(Path(out.dropped), DROPPED) as dropped,
    ):
        for batch in clean_batches(row_groups(Path(raw.curves)), unread, raw_runs, runs, study):
            curves.write(batch.curves)
            dropped.write(batch.dropped)
            tallied.append(batch.runs)
            rows, lost = rows + len(batch.curves), lost + len(batch.dropped)
            summary.counted(sum(map(len, tallied)), len(runs), "runs")
    table = pd.concat(tallied) if tallied else pd.DataFrame()
    write_parquet(conform(table, SHARD_RUNS), Path(out.runs))
    summary.append(f"{count(len(runs), 'run')}, {count(rows, 'row')} kept, {lost:,} dropped")
