"""One JSON document a run: metrics as lists side by side, by index, or as a list of records.

That is how people dump the history of a run: `{"val": {"iter": [...], "loss": [...]}}`, W&B's
`run.history()` written by pandas (`{"loss": {"0": 9.1, ...}}`) or as records, Keras' `History`.
Lists of one object stand side by side; several objects are read one after another. Columns are
called by their place in the document, with dots; a position that all objects with a loss have by
the same name has this name, too. Everything else in the document are facts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from flopline.decoders import Undecodable, json_of
from flopline.errors import FloplineError
from flopline.logs.formats import FORMATS
from flopline.logs.key_values import POSITIONS, is_loss, leaves
from flopline.logs.opening import HEAD, read_bytes
from flopline.logs.reading import LogFacts, Raw, Wish, as_cell, column_names, columns_in, reach

_BEGIN: Final = re.compile(
    rb"\s{0,4095}(?:\{\s*[\"}]|\[\s*"
    rb"(?:[\[{\"\]]|true|false|null|-?(?:NaN|Infinity|[\d.eE+-]+\s*[,\]])))"
)
"""How an object or a list begins; a line of another log may, too, begin with a bracket."""
_SEVERAL_LINES: Final = re.compile(rb"\s*\{[^\n]*\}[^\S\n]*\n\s*\{")
_LISTS: Final = re.compile(rb"\"\s*:\s*\[\s*-?[\dN\"{n]|^\s*\[\s*\{|\{\s*\"0\"\s*:")


@dataclass(frozen=True, slots=True)
class MetricGroup:
    """Metrics that stand side by side: `columns` by their names in the document, `at` its place."""

    at: str
    columns: Mapping[str, Sequence[Any]]


def sniff(path: Path, head: bytes) -> bool:
    """Whether it is one JSON document that holds lists of numbers, a loss among them."""
    if not _BEGIN.match(head) or FORMATS["jsonl"].ends(path.name):
        return False
    # Lines of JSON are told by the first two; a document that is none, or holds no list, by a look.
    if _SEVERAL_LINES.match(head) or not _LISTS.search(head) or b"oss" not in head.lower():
        return False
    try:
        document = json_of(head if len(head) < HEAD else read_bytes(path))
    except Undecodable:
        return False
    return any(is_loss(name.rpartition(".")[2]) for g in groups(document) for name in g.columns)


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """The objects that hold a wanted loss; `line` counts their rows from 1.

    Raises FloplineError for what is no whole JSON, and for columns of one object that differ in
    length, since no one can say which values belong together.
    """
    text = read_bytes(path).decode("utf-8-sig", errors="replace")
    if not text.strip():
        return
    try:
        # A NaN as text, since in a table it would stand for an absent loss.
        document = json_of(text, parse_constant=str)
    except Undecodable as error:
        raise no_document(path, error) from None
    for name in wish.facts:
        value = reach(document, name)
        if value is not None and not isinstance(value, list | dict):
            facts.say("", name, value)
    metrics = groups(document)
    shared = _shared(metrics)
    names = list(dict.fromkeys([*shared, *(name for g in metrics for name in g.columns)]))
    columns = wish.columns or {}
    losses = columns_in(columns.get("loss", []))
    wanted = [name for name in column_names(columns) if name in names]
    rows: list[dict[str, object]] = []
    line = 0
    for group in metrics:
        here = dict(group.columns)
        here |= {name: here[full] for name in shared if (full := _joined(group.at, name)) in here}
        if any(name in here for name in losses):
            rows += _rows(path, {name: here[name] for name in wanted if name in here}, line)
        line += max(map(len, group.columns.values()), default=0)
    yield Raw(pd.DataFrame(rows, columns=[*wanted, "line"], dtype=object), names=names)


def no_document(path: Path, error: Undecodable) -> FloplineError:
    """What is said of a file that should be one document of JSON and cannot be read."""
    line = f", line {error.line}," if error.line else ""
    return FloplineError(f"{path}{line} is no complete JSON ({error}): copy it again.")


def run_facts(path: Path) -> dict[str, object]:
    """What a document says of its run besides its lists, by dotted names."""
    document = json_of(read_bytes(path).decode("utf-8-sig", errors="replace"))
    flat = flattened(document)
    return {name: value for name, value in flat.items() if not isinstance(value, list)}


def groups(document: Any) -> list[MetricGroup]:
    """The metrics of a document, object by object, in its order."""
    return [group for group in _groups(document, "") if group.columns]


def _groups(content: Any, at: str) -> Iterator[MetricGroup]:
    if isinstance(content, list):
        if len(content) > 1 and all(isinstance(record, dict) for record in content):
            names = dict.fromkeys(name for record in content for name in flattened(record))
            flat = [flattened(record) for record in content]
            if not any(_is_position(name) for name in names):
                return  # results of several sets, say, and not the rows of one curve
            columns = {_joined(at, n): [record.get(n) for record in flat] for n in names}
            yield MetricGroup(at, {name: c for name, c in columns.items() if _of_values(c)})
        return
    if not isinstance(content, dict):
        return
    columns = {}
    for name, value in content.items():
        if isinstance(value, list) and value and _of_values(value):
            columns[_joined(at, name)] = value
        elif _is_indexed(value):
            columns[_joined(at, name)] = list(value.values())
        else:
            yield from _groups(value, _joined(at, name))
    yield MetricGroup(at, columns)


def _is_position(name: str) -> bool:
    """Whether a key of a record says where in the run it stands."""
    last = name.rpartition(".")[2].rpartition("/")[2].lower().strip("_")
    return last in POSITIONS or "step" in last or "iter" in last


def flattened(content: Any) -> dict[str, object]:
    """What nested objects hold, by dotted names; nothing of what is no object."""
    return dict(leaves(content)) if isinstance(content, dict) else {}


def _of_values(values: Sequence[Any]) -> bool:
    plain = all(v is None or isinstance(v, int | float | str) for v in values)
    return plain and any(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _is_indexed(value: Any) -> bool:
    """Whether it is a column as pandas writes it, by the number of each row."""
    return (
        isinstance(value, dict)
        and len(value) > 1
        and list(value) == [str(place) for place in range(len(value))]
        and _of_values(list(value.values()))
    )


def _joined(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _shared(metrics: Sequence[MetricGroup]) -> list[str]:
    """Names that all objects with a loss have in common, such as that of their steps."""
    with_loss = [g for g in metrics if any(is_loss(n.rpartition(".")[2]) for n in g.columns)]
    if len(with_loss) < 2:
        return []
    own = [{n[len(g.at) + 1 :] if g.at else n for n in g.columns} for g in with_loss]
    common = set.intersection(*own)
    first = with_loss[0]
    return [n for full in first.columns if (n := full[len(first.at) + 1 :]) in common]


def _rows(path: Path, columns: Mapping[str, Sequence[Any]], line: int) -> list[dict[str, object]]:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise FloplineError(
            f"{path}: the lists that stand side by side differ in length "
            f"({', '.join(f'{name} has {n}' for name, n in lengths.items())}), so that no one can "
            "say which values belong together: leave one out of source.columns or mend the file."
        )
    cells = zip(*columns.values(), strict=True)
    return [
        {**{n: as_cell(v) for n, v in zip(columns, row, strict=True)}, "line": line + place}
        for place, row in enumerate(cells, start=1)
    ]
