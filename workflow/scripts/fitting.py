"""A fit as files: its JSON with provenance, its bootstrap draws, its tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from flopline.hashing import hash_file
from flopline.laws.common.fit_result import FAILED, FitResult, StoredFit
from flopline.laws.spec import spec_of
from flopline.storage import read_json, read_parquet, write_json, write_parquet


class Tables(Mapping[str, pd.DataFrame]):
    """Tables by name, each read when it is asked for the first time."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self.paths = paths
        self.read: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self.read:
            self.read[name] = read_parquet(self.paths[name])
        return self.read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


def stored_fit(law: str, inputs: Mapping[str, str]) -> StoredFit:
    """What the fit of a law left, from inputs of a job that are called `<law>_<file>`."""
    tables = {name: Path(inputs[f"{law}_{name}"]) for name in spec_of(law).tables}
    content, draws = Path(inputs[f"{law}_fit"]), Path(inputs[f"{law}_draws"])
    return StoredFit(read_json(content), read_parquet(draws), Tables(tables))


def write_fit(result: FitResult, job, said: list[str]) -> None:
    """Write all that a fit leaves to the job's outputs and say its outcome."""
    provenance = {
        "inputs": {path: hash_file(Path(path)) for path in sorted(job.input)},
        "code": job.params.code,
        "seed": job.params.study["bootstrap"]["seed"],
    }
    content = {"family": job.wildcards.family, **result.to_json(), "provenance": provenance}
    write_json(content, Path(job.output.fit))
    write_parquet(result.draws, Path(job.output.draws))
    for name, table in result.tables.items():
        write_parquet(table, Path(job.output[name]))
    said.append(f"{result.n_runs:,} runs")
    if result.status == FAILED:
        said.append(f"FAILED: {result.message}")
    else:
        a = result.parameters["a"]
        said.append(f"{result.status}, N ~ C^{a.point:.3f} [{a.lo95:.3f}, {a.hi95:.3f}]")
