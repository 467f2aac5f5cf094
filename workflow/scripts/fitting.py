"""A fit as files: its JSON with provenance, its bootstrap draws, its tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flopline.hashing import hash_file
from flopline.laws.common.fit_result import FAILED, FitResult
from flopline.laws.parametric.stated_form import form_of
from flopline.numbers import count
from flopline.storage import write_json, write_parquet


def provenance_of(job) -> dict[str, Any]:
    """What a fit was made of: its inputs by their digests, its code, its seed."""
    return {
        "inputs": {path: hash_file(Path(path)) for path in sorted(job.input)},
        "code": job.params.code,
        "seed": job.params.study["bootstrap"]["seed"],
    }


def write_law(content: Mapping[str, Any], draws, tables: Mapping[str, Any], job) -> None:
    """Write what a law has left, its JSON `content` and its tables, to the job's outputs."""
    write_json(content, Path(job.output.fit))
    write_parquet(draws, Path(job.output.draws))
    for name, table in tables.items():
        write_parquet(table, Path(job.output[name]))


def write_fit(result: FitResult, job, summary: list[str]) -> None:
    """Write all that a fit leaves to the job's outputs and say its outcome."""
    content = {
        "family": job.wildcards.family,
        **result.to_json(),
        "provenance": provenance_of(job),
    }
    write_law(content, result.draws, result.tables, job)
    summary.append(count(result.n_runs, "run"))
    if result.status == FAILED:
        summary.append(f"FAILED: {result.message}")
    else:
        summary.append(f"{result.status}, {exponent_of(content)}")


def exponent_of(content) -> str:
    """How N grows with C by a fit, for a line of progress; by which form, of a surface."""
    a = content["parameters"]["a"]
    point, low, high = (a[end] for end in ("point", "lo95", "hi95"))
    span = "" if low is None else f" [{low:.3f}, {high:.3f}]"
    form = f" in {form_of(content).title}" if "form" in content["settings"] else ""
    return f"N ~ C^{point:.3f}{span}{form}"
