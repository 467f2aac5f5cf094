"""The findings of an audit as files: one JSON, and its tables as Parquet beside it.

The JSON has the digest of each table: a folder has none by which Snakemake could tell whether it is
the same as before, and who reads the tables is made anew when the JSON is another.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flopline.atomic import writing
from flopline.audit.finding import Finding
from flopline.hashing import hash_file
from flopline.storage import write_json, write_parquet


def write_findings(findings: Sequence[Finding], path: Path, tables: Path) -> None:
    """Write all findings to `path` and each of their tables into the new folder `tables`."""
    with writing(tables):
        tables.mkdir()
    contents = []
    for finding in findings:
        digests = {}
        for name, table in finding.tables.items():
            file = tables / f"{finding.audit}.{name}.parquet"
            write_parquet(table, file)
            digests[name] = hash_file(file)
        contents.append({**finding.to_json(), "tables": digests})
    write_json(contents, path)
