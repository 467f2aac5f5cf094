"""The file of a sealed forecast: JSON whose last key is the digest of all others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from flopline import __version__
from flopline.atomic import replacing
from flopline.decoders import json_of
from flopline.errors import FloplineError
from flopline.forecast.one_run import RunForecast
from flopline.hashing import hash_file
from flopline.laws.common.fit_result import plain
from flopline.loss_units import stated_unit, words
from flopline.places import INSTALLED, LIBRARY
from flopline.schema import KEPT
from flopline.sealed.future_runs import FutureRun
from flopline.study_document import StudyDocument

FORMAT: Final = "flopline-forecast"
VERSION: Final = 1
SHORT: Final = 12
"""Hex digits of a run's digest: enough to notice a change."""
FACTS: Final = ("family", "params", "tokens", "flops", "loss")
"""What a run's digest holds."""
COMPARED: Final = ("loss_unit", "loss_split", "params_convention", "flops_convention")
"""Keys of `holds` that must not change between a forecast and the run that is held against it."""


@dataclass(frozen=True, slots=True)
class SealedRun:
    """One run of a sealed file: what is to be trained, its forecast, and the warnings about it."""

    run: FutureRun
    forecast: RunForecast
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed file as it was read: where it lies, and what a judge needs of it."""

    path: str
    date: str
    holds: Mapping[str, Any]
    runs: Mapping[str, str]
    sealed_runs: Sequence[SealedRun]


def sealed_document(
    study: StudyDocument,
    sealed_runs: Sequence[SealedRun],
    runs: pd.DataFrame,
    inputs: Mapping[str, str],
    date: str,
    *,
    synthetic: bool = False,
) -> dict[str, Any]:
    """What a sealed file holds, ready for `document_text`.

    `runs` are those of the study, of which the kept ones of the families forecast count; `inputs`
    are digests of files by path; `date` is YYYY-MM-DD.

    Returns:
        The document with its seal, as JSON will hold it.
    """
    families = {item.run.family for item in sealed_runs}
    digests = run_digests(runs[(runs["status"] == KEPT) & runs["family"].isin(families)])
    document = {
        "format": FORMAT,
        "version": VERSION,
        "study": study["name"],
        "title": study["title"],
        "synthetic": synthetic,
        "date": date,
        "flopline": {"version": __version__, "code": code_digest()},
        "holds": holds_of(study),
        "inputs": {
            "files": dict(sorted(inputs.items())),
            "runs": {
                "number": len(digests),
                "sha256": _sha256(json.dumps(digests)),
                "of": digests,
            },
        },
        "forecasts": [_forecast_json(item) for item in sealed_runs],
    }
    return {**document, "seal": _seal(document)}


def document_text(document: Mapping[str, Any]) -> str:
    """The bytes of a sealed file as text."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_sealed(document: Mapping[str, Any], path: Path) -> None:
    """Write a sealed file. Raises FloplineError where one is there: it is never written over."""
    if path.exists():
        raise FloplineError(
            f"{path} is sealed already and is never written over: name another file with "
            "--file path/to/file.json (of make: FILE=path/to/file.json)."
        )
    with replacing(path) as part:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(document_text(document), encoding="utf-8")


def read_sealed(path: Path) -> Sealed:
    """A sealed file. Raises FloplineError for what is none, or was changed since it was sealed."""
    try:
        document = json_of(path.read_text(encoding="utf-8"))
        is_one = isinstance(document, dict) and document["format"] == FORMAT
    except FileNotFoundError:
        raise FloplineError(
            f"{path} does not exist: name a file that make forecast wrote."
        ) from None
    except (OSError, ValueError, KeyError):
        is_one = False
    if not is_one:
        raise FloplineError(
            f"{path} is no sealed forecast: take it out of the folder, or restore it with git."
        )
    if document.get("version") != VERSION:
        raise FloplineError(
            f"{path} has version {document.get('version')} of the format, and this Flopline reads "
            f"version {VERSION}: judge it with the Flopline that wrote it."
        )
    seal = document.pop("seal", None)
    if seal != _seal(document):
        raise FloplineError(
            f"{path} was changed after it was sealed: restore it as it was committed (git log "
            f"-- {path})."
        )
    return Sealed(
        str(path),
        str(document["date"]),
        document["holds"],
        document["inputs"]["runs"]["of"],
        [_forecast_of(entry) for entry in document["forecasts"]],
    )


def holds_of(study: StudyDocument) -> dict[str, str | None]:
    """What a forecast holds for: which loss, in which unit, of params and FLOPs counted how."""
    reporting = study.get("reporting", {})
    return {
        "loss_unit": words(stated_unit(study)),
        "loss_split": study["loss_split"],
        "loss_label": study["loss_label"],
        "tokenizer": reporting.get("tokenizer"),
        "evaluation": reporting.get("evaluation"),
        "params_convention": study["params_convention"],
        "flops_convention": study["flops_convention"],
    }


def run_digests(runs: pd.DataFrame) -> dict[str, str]:
    """A short digest of the FACTS of each of `runs` by name, in the order of the names."""
    table = runs.sort_values("run", kind="stable")
    facts = zip(*(table[name].tolist() for name in FACTS), strict=True)
    digests = (_sha256(json.dumps(row))[:SHORT] for row in facts)
    return dict(zip(table["run"].astype(str), digests, strict=True))


def file_digests(paths: Iterable[Path], root: Path) -> dict[str, str]:
    """sha256 of files by their path below `root`."""
    return {path.relative_to(root).as_posix(): hash_file(path) for path in paths}


def code_digest() -> str:
    """sha256 over the library's own files, in the order of their paths, wherever it lies."""
    total = hashlib.sha256()
    files = [*LIBRARY.rglob("*.py"), *LIBRARY.rglob("*.toml")]
    for path in sorted(path for path in files if INSTALLED not in path.parents):
        total.update(f"{path.relative_to(LIBRARY).as_posix()} {hash_file(path)}\n".encode())
    return total.hexdigest()


def _forecast_json(item: SealedRun) -> dict[str, Any]:
    run, forecast = item.run, item.forecast
    entry: dict[str, Any] = plain(
        {
            "run": run.name,
            "family": run.family,
            "params": run.params,
            "tokens": run.tokens,
            "flops": forecast.flops,
            "target_flops": run.target_flops,
            "line": forecast.line,
            "loss": {k: v for k, v in forecast.loss().to_json().items() if k != "at_bound"},
            "ln_loss": {
                "distribution": "student_t",
                "centre": forecast.centre,
                "scale": forecast.scale,
                "df": forecast.df,
            },
            "largest_flops": forecast.largest_flops,
            "warnings": list(item.warnings),
        }
    )
    return entry


def _forecast_of(entry: Mapping[str, Any]) -> SealedRun:
    ln_loss = entry["ln_loss"]
    forecast = RunForecast(
        entry["line"],
        entry["flops"],
        entry["largest_flops"],
        ln_loss["centre"],
        ln_loss["scale"],
        ln_loss["df"],
    )
    run = FutureRun(entry["run"], entry["family"], entry["params"], entry["tokens"])
    return SealedRun(run, forecast, entry["warnings"])


def _seal(document: Mapping[str, Any]) -> str:
    return _sha256(document_text(document))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
