"""Read the raw files of one shard, a run at a time."""

from pathlib import Path

from stage import stage

with stage(snakemake) as summary:
    import pandas as pd

    from flopline.ingesting import FACTS, FILES, RAW_CURVES, ingest_runs
    from flopline.numbers import count
    from flopline.schema import DROPPED, conform
    from flopline.storage import RowGroups, write_parquet
    from running.raw_digests import demand_unchanged

    study, out, runs, rows = snakemake.params.study, snakemake.output, [], 0
    with (
        RowGroups(Path(out.curves), RAW_CURVES) as curves,
        RowGroups(Path(out.dropped), DROPPED) as dropped,
    ):
        files = snakemake.params.files
        for raw in ingest_runs(study, files, Path.cwd()):
            curves.write(raw.curves)
            dropped.write(raw.dropped)
            runs.append(raw.runs)
            rows += len(raw.curves)
            summary.counted(len(runs), len({file["run"] for file in files}), "runs")
        demand_unchanged(files, Path.cwd())
    files = conform(pd.concat(runs) if runs else pd.DataFrame(), FACTS | FILES)
    write_parquet(files, Path(out.runs))
    summary.append(f"{count(files['run'].nunique(), 'run')}, {count(rows, 'row')}")
