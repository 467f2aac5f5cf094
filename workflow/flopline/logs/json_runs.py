"""One JSON document of several runs, each with its curve and what is known of it.

That is how sweeps are dumped: `{"small": {"n_params": 1e6, "log": [{"step": 1, "loss": 9.1}]}}`,
or a list of such objects. Within a run it is read as a document of the format json, with the
columns called by their place in the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from flopline.logs import json_document
from flopline.logs.formats import SPLITS
from flopline.logs.json_document import RUN, facts_of_run, flattened, groups, has_losses
from flopline.logs.opening import read_bytes
from flopline.logs.reading import LogFacts, PlainColumn, Raw, Wish

_NAMES: Final = ("run", "run_name", "run_id", "name", "id", "model", "model_name")
"""Keys by which runs of a list are named, if each is another."""


def sniff(path: Path, head: bytes) -> bool:
    """Whether it is one JSON document of several runs with a curve and a number each."""
    return bool(runs_of(json_document.likely_document(path, head)))


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """The rows of all runs, one run after the other; `line` counts them from 1.

    Raises FloplineError for what is no whole JSON.
    """
    text = read_bytes(path).decode("utf-8-sig", errors="replace")
    if not text.strip():
        return
    columns: dict[str, PlainColumn] = {**(wish.columns or {}), RUN: RUN}
    first = 0
    for run, content in runs_of(json_document.document_of(path, text)).items():
        json_document.say(content, wish, facts, run, path)
        metrics = groups(content)
        raw = json_document.curve(path, metrics, wish, first)
        first += sum(max(map(len, group.columns.values())) for group in metrics)
        yield Raw(raw.table.assign(**{RUN: run}), raw.unparsed, [RUN, *raw.names], columns)


def run_facts(path: Path) -> dict[str, object]:
    """What every run of a document says of itself, with the values of the first."""
    document = json_document.document_of(
        path, read_bytes(path).decode("utf-8-sig", errors="replace")
    )
    said = [facts_of_run(content) for content in runs_of(document).values()]
    common = set.intersection(*map(set, said)) if said else set()
    return {name: value for name, value in said[0].items() if name in common} if said else {}


def runs_of(document: Any) -> dict[str, Any]:
    """The runs of a document by name; none where it holds no several runs.

    A run has a curve, and beside it a number that says something of it: objects with curves alone
    may as well be its splits.
    """
    if isinstance(document, list):
        runs = _named(document)
    elif isinstance(document, dict):
        runs = {str(name): content for name, content in document.items()}
    else:
        return {}
    if len(runs) > 1 and all(map(_is_run, runs.values())) and runs.keys().isdisjoint(SPLITS):
        return runs
    if isinstance(document, list):
        return {}
    inner = [runs_of(value) for value in runs.values() if isinstance(value, list | dict)]
    several = [one for one in inner if one]
    return several[0] if len(several) == 1 else {}


def _named(contents: list[Any]) -> dict[str, Any]:
    """The objects of a list by a key that tells them apart, else by their number."""
    if not all(isinstance(content, dict) for content in contents):
        return {}
    for key in _NAMES:
        names = [content.get(key) for content in contents]
        if all(isinstance(n, str | int) for n in names) and len({*map(str, names)}) == len(names):
            return dict(zip(map(str, names), contents, strict=True))
    return {str(number): content for number, content in enumerate(contents, start=1)}


def _is_run(content: Any) -> bool:
    """Whether an object holds a curve of losses and, outside of lists, a number."""
    if not isinstance(content, dict) or not has_losses(content):
        return False
    numbers = (v for v in flattened(content).values() if isinstance(v, int | float))
    return any(not isinstance(number, bool) for number in numbers)
