"""Facts of runs: from a sidecar, the file name and the log itself, and how they go together.

Where several say the same fact, the run table comes first, then the sidecar, the file name, what
the study file takes from the log, and what the log's format knows by itself. They may differ by
rounding alone: a contradiction is an error that names both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd

from flopline.decoders import json_of, toml_of
from flopline.errors import FloplineError
from flopline.logs.opening import MOST_UNPACKED
from flopline.logs.reading import LogFacts, plain_columns, reach
from flopline.sources import LogFile, from_name
from flopline.study_document import SourceDocument
from flopline.twins import Once, Twice, yaml_once
from flopline.written_numbers import parse_number, why_no_number

Fact = str | float
"""A fact of a run: text where it is one of TEXT_FACTS."""

TEXT_FACTS: Final = ("run", "family", "log", "seed", "split")
"""Facts that are text, all others being numbers."""

DIGITS: Final = 4
"""Significant digits that two values of one fact must share at least."""

MOST_DIGITS: Final = 12
"""Significant digits beyond which numbers differ by their arithmetic alone."""

_COUNTED_BY: Final = {"total": "params_total", "non_embedding": "params_nonembedding"}
"""Which count of a log is `params` under a convention."""


def wanted_from_log(source: SourceDocument) -> tuple[str, ...]:
    """The names of facts that the study file takes from the log itself."""
    plain, _ = plain_columns(source.get("runs", {}).get("from_log") or {})
    return tuple(map(str, plain.values()))


def own_facts(
    source: SourceDocument,
    file: LogFile,
    run: str,
    log_facts: LogFacts,
    root: Path,
    study: str,
) -> dict[str, Fact]:
    """The facts of one run from everything but the run table, under our names.

    `file` is {run, path, sidecar?} and `run` one of the runs that it holds.

    Returns a number or a text by name, without those that nothing says.
    Raises FloplineError, naming the study file `study` or the file in question, for a fact that is
    not there, is no number, or is said in two ways.
    """
    values: dict[str, tuple[Fact, str]] = {}
    for name, value, place in _all_facts(source, file, run, log_facts, root, study):
        if name == "run":
            continue
        known = values.setdefault(name, (value, place))
        if disagree(known[0], value):
            raise FloplineError(
                f"{file['path']}: {name} of run '{run}' is {_text(known[0])} by {known[1]} and "
                f"{_text(value)} by {place}: correct one, or name it in one place only."
            )
    return {name: value for name, (value, _) in values.items()}


def laid_over(
    first: pd.Series, second: pd.Series, runs: pd.Series, name: str, table: str
) -> pd.Series:
    """The run table's values of fact `name`, where it has none those of the logs; by run.

    Raises FloplineError naming the run and both values where they contradict each other.
    """
    both = first.notna().to_numpy() & second.notna().to_numpy()
    for run, one, other in zip(runs[both], first[both], second[both], strict=True):
        if disagree(one, other):
            raise FloplineError(
                f"{table}: {name} of run '{run}' is {_text(one)}, but its log (or the log's name "
                f"or sidecar) says {_text(other)}: correct one, leave it out of "
                "source.runs.columns, or set `from_log: false` in source.runs."
            )
    return first.where(first.notna(), second)


def completed(runs: pd.DataFrame, convention: str | None) -> pd.DataFrame:
    """Run facts with what follows from others: params from its count, horizons from steps.

    `params` is the log's total or non-embedding count, as the study's `params_convention` says.
    """
    out = runs.copy()
    count = _COUNTED_BY.get(convention or "")
    if count in out and "params" in out:
        out["params"] = out["params"].fillna(out[count])
    if {"horizon_tokens", "horizon_steps", "batch_tokens"} <= set(out.columns):
        planned = out["horizon_steps"] * out["batch_tokens"]
        out["horizon_tokens"] = out["horizon_tokens"].fillna(planned)
    return out


def disagree(one: object, other: object) -> bool:
    """Whether two values of one fact differ by more than rounding.

    Numbers are compared to the digits of the one with fewer, but to DIGITS at least.
    """
    if not isinstance(one, int | float) or not isinstance(other, int | float):
        return str(one) != str(other)
    if not (math.isfinite(one) and math.isfinite(other)):
        return one != other
    digits = max(DIGITS, min(_digits(one), _digits(other), MOST_DIGITS))
    shorter = min((one, other), key=_digits)
    last = 10.0 ** (math.floor(math.log10(abs(shorter))) - digits + 1) if shorter else 0.0
    return abs(one - other) > 0.500001 * last


def _all_facts(
    source: SourceDocument,
    file: LogFile,
    run: str,
    log_facts: LogFacts,
    root: Path,
    study: str,
) -> Iterator[tuple[str, Fact, str]]:
    """Name, value and place of every fact that something says of a run; one may come twice.

    Raises FloplineError for a fact that is not where the study says, or is no number.
    """
    runs = source.get("runs", {})
    decimal = runs.get("decimal", ".")
    if "sidecar" in file:
        content = read_sidecar(root / file["sidecar"])
        place = f"the sidecar {file['sidecar']}"
        columns, factors = plain_columns(runs["sidecar"]["columns"])
        for name, key in columns.items():
            value = reach(content, str(key))
            if value is None:
                raise FloplineError(
                    f"{file['sidecar']} has no '{key}' (source.runs.sidecar.columns.{name} in "
                    f"{study}): add it or correct the key."
                )
            yield name, _value(name, value, factors, place, decimal), place
    place = f"the file name {file['path']}"
    for name, text in from_name(source, file["path"], study).items():
        yield name, _value(name, text, {}, place, decimal), place
    from_log = runs.get("from_log")
    if from_log is False:
        return
    place = "the log itself"
    stated = {**log_facts.logged.get("", {}), **log_facts.logged.get(run, {})}
    columns, factors = plain_columns(from_log or {})
    for name, key in columns.items():
        if key not in stated:
            if "split" in file:
                continue  # the log of another split may say it
            some = ", ".join(sorted(map(str, stated))[:30])
            raise FloplineError(
                f"{file['path']} does not say '{key}' (source.runs.from_log.{name} in {study}); "
                f"it says: {some or 'nothing of itself'}."
            )
        of_log = source.get("decimal", ".")
        value = _value(name, stated[key], factors, f"{place} ('{key}')", of_log, "source")
        yield name, value, place
    for name, value in {**log_facts.known.get("", {}), **log_facts.known.get(run, {})}.items():
        if name not in columns:
            yield name, value, place


def read_sidecar(path: Path) -> Any:
    """The content of a JSON, TOML or YAML file.

    Raises FloplineError when it is missing or none of them.
    """
    toml = path.suffix.lower() == ".toml"
    try:
        if path.stat().st_size > MOST_UNPACKED:
            raise FloplineError(
                f"{path} (source.runs.sidecar) holds more than {MOST_UNPACKED:,} bytes: take what "
                "is asked of it into a run table."
            )
        text = path.read_text(encoding="utf-8-sig")
        # YAML reads 1e9 as text, JSON as a number; every JSON number is one.
        if path.suffix.lower() == ".json":
            return json_of(text, object_pairs_hook=Once(None))
        if toml:
            return toml_of(text)
        return yaml_once(text, str(path))
    except Twice as twice:
        raise twice.at(str(path)) from None
    except FileNotFoundError:
        raise FloplineError(
            f"{path} (source.runs.sidecar) does not exist: restore it, correct its path, which "
            "counts from the folder of the log, or take its log out."
        ) from None
    except OSError as error:
        raise FloplineError(f"{path} (source.runs.sidecar) cannot be read: {error}.") from None
    except ValueError as error:
        line = getattr(error, "line", None)
        raise FloplineError(
            f"{path} is {'no TOML' if toml else 'neither JSON nor YAML'} that can be read: "
            f"{f'in line {line} ' if line else ''}{error}."
        ) from None


def _value(
    name: str,
    value: Any,
    factors: Mapping[str, float],
    place: str,
    decimal: str,
    option: str = "source.runs",
) -> Fact:
    """The value of a fact as a number in units of one, or as text where it is one of TEXT_FACTS.

    `option` is the part of the study file that says how its numbers are written.

    Raises FloplineError, naming its `place`, where it is no number.
    """
    if name in TEXT_FACTS:
        return str(value)
    parsed = parse_number(value, decimal)
    if not math.isfinite(parsed):
        why = why_no_number(value, decimal, option)
        raise FloplineError(f"{place} says {name} is {str(value)[:60]!r}, {why}.")
    return parsed * factors.get(name, 1.0)


def _digits(value: float) -> int:
    mantissa = f"{value:.14e}".split("e")[0].replace(".", "").lstrip("-")
    return len(mantissa.rstrip("0"))


def _text(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, int | float) else str(value)
