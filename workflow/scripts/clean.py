"""Clean the rows of all shards."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    import pandas as pd

    from flopline.clean import clean
    from flopline.ingest import Ingested
    from flopline.schema import KEPT
    from flopline.storage import read_parquet, write_json, write_parquet
    from flopline.tables import run_facts

    def shards(paths):
        """The tables at `paths`, one below the other."""
        return pd.concat([read_parquet(Path(path)) for path in paths], ignore_index=True)

    raw = Ingested(*(shards(snakemake.input[part]) for part in ("curves", "dropped", "runs")))
    study = {**snakemake.params.study, "families": snakemake.params.families}
    facts = run_facts(study["source"], Path.cwd()) if snakemake.params.run_table else None
    result = clean(raw, facts, study)
    write_parquet(result.runs, Path(snakemake.output.runs))
    write_parquet(result.curves, Path(snakemake.output.curves))
    write_parquet(result.dropped, Path(snakemake.output.dropped))
    write_json(list(result.notes), Path(snakemake.output.notes))
    kept = int((result.runs["status"] == KEPT).sum())
    said.append(f"{kept:,} of {len(result.runs):,} runs kept, {len(result.dropped):,} rows dropped")
