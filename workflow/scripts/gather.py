"""Make one table of the runs of all shards, and one of all dropped rows."""

from pathlib import Path

from stage import stage

with stage(snakemake) as summary:
    import pandas as pd

    from flopline.clean.cleaning_notes import odd_runs, set_aside
    from flopline.clean.gathering import gather, stop_at_mistakes
    from flopline.clean.magnitudes import doubtful_ratio
    from flopline.numbers import count
    from flopline.schema import DROPPED, KEPT
    from flopline.storage import RowGroups, read_parquet, row_groups, write_json, write_parquet
    from flopline.tables import run_facts
    from running.raw_digests import demand_unchanged

    study, out, lost = snakemake.params.study, snakemake.output, 0
    table = snakemake.params.run_table
    facts = run_facts(study["source"], Path.cwd()) if table else None
    demand_unchanged([table] if table else [], Path.cwd())
    tallied = pd.concat(map(read_parquet, map(Path, snakemake.input.runs)))
    with RowGroups(Path(out.dropped), DROPPED) as dropped:
        for shard in map(Path, snakemake.input.dropped):
            for rows in row_groups(shard):
                stop_at_mistakes(rows, tallied, study)
                dropped.write(rows)
                lost += len(rows)
    runs, notes = gather(tallied, facts, study)
    write_parquet(runs, Path(out.runs))
    write_json(notes, Path(out.notes))
    kept = int((runs["status"] == KEPT).sum())
    for doubt in filter(None, [doubtful_ratio(runs, study), *odd_runs(runs)]):
        summary.append(f"warning: {doubt}")
    summary.append(
        f"{kept:,} of {count(len(runs), 'run')} kept{set_aside(runs)}, {count(lost, 'row')} dropped"
    )
