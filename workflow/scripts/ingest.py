"""Read the raw files of one shard."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from flopline.ingest import ingest
    from flopline.storage import write_parquet

    result = ingest(snakemake.params.study, snakemake.params.files, Path.cwd())
    write_parquet(result.curves, Path(snakemake.output.curves))
    write_parquet(result.dropped, Path(snakemake.output.dropped))
    write_parquet(result.runs, Path(snakemake.output.runs))
    said.append(f"{len(result.runs):,} runs, {len(result.curves):,} rows")
