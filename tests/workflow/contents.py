"""The results of a study as bytes, to hold one run against another."""

from __future__ import annotations

from pathlib import Path

NOT_COMPARED = {"logs", "benchmarks", ".sha256", ".solves"}
NOTES = {".digests.json", ".outputs.json", ".lock", ".jobs.lock"}


def content(folder: Path, results: str) -> dict[str, bytes]:
    """Every result below `results` of a checkout in `folder`, by its path there."""
    root = folder / results
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and path.relative_to(root).parts[0] not in NOT_COMPARED
        and path.name not in NOTES
        and not path.name.startswith(".snakemake")
    }


def different(actual: dict[str, bytes], wanted: dict[str, bytes]) -> list[str]:
    """The paths of results that differ, or that only one of two runs left."""
    return sorted(p for p in actual.keys() | wanted.keys() if actual.get(p) != wanted.get(p))
