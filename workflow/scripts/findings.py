"""The findings of an audit as files: one JSON, and its tables as Parquet beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flopline.atomic import writing
from flopline.audit.finding import Finding
from flopline.storage import write_json, write_parquet


def write_findings(findings: Sequence[Finding], path: Path, tables: Path) -> None:
    """Write all findings to `path` and each of their tables into the new folder `tables`."""
    with writing(tables):
        tables.mkdir()
    for finding in findings:
        for name, table in finding.tables.items():
            write_parquet(table, tables / f"{finding.audit}.{name}.parquet")
    contents = [{**f.to_json(), "tables": list(f.tables)} for f in findings]
    write_json(contents, path)
