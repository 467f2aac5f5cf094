"""One JSON document a run: metrics as lists side by side, by index, or as a list of records.

That is how people dump the history of a run: `{"val": {"iter": [...], "loss": [...]}}`, W&B's
`run.history()` written by pandas (`{"loss": {"0": 9.1, ...}}`) or as records, Keras' `History`.
Lists of one object stand side by side; several objects are read one after another. Columns are
called by their place in the document, with dots; a position that all objects with a loss have by
the same name has this name, too. A list of pairs, `"val_loss": [[100, 5.1], ...]`, and an object of
lists x and y are steps and losses. Everything else in the document are facts, and so are columns
that stay the same. A list of objects that are no rows of a curve, or an object of them by name, is
a table of runs.
"""

from __future__ import annotations

import math
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
from flopline.logs.long_table import CALLED
from flopline.logs.opening import HEAD, read_bytes
from flopline.logs.reading import (
    PLACE,
    LogFacts,
    Raw,
    Wish,
    as_cell,
    column_names,
    columns_in,
    reach,
)
from flopline.written_numbers import parse_number

RUN: Final = "run"
"""The column that names a run by its place in an object of runs."""

_BEGIN: Final = re.compile(
    rb"\s{0,4095}(?:\{\s*[\"}]|\[\s*"
    rb"(?:[\[{\"\]]|true|false|null|-?(?:NaN|Infinity|[\d.eE+-]+\s*[,\]])))"
)
"""How an object or a list begins; a line of another log may, too, begin with a bracket."""
_SEVERAL_LINES: Final = re.compile(rb"\s*\{[^\n]*\}[^\S\n]*\n\s*\{")
_LISTS: Final = re.compile(
    rb"\"\s*:\s*\[\s*\[?\s*-?[\dN\"{n]|^\s*\[\s*\{|\{\s*\"0\"\s*:|^\s*\{\s*\"[^\"]*\"\s*:\s*\{"
)
_LOSS: Final = re.compile(rb"loss|bpb|bpc|ppl|perplexity", re.IGNORECASE)
STEP: Final = "step"
LOSS: Final = "loss"
"""What those are called that stand in pairs, or as x and y."""


@dataclass(frozen=True, slots=True)
class MetricGroup:
    """Metrics that stand side by side: `columns` by their names in the document, `at` its place."""

    at: str
    columns: Mapping[str, Sequence[Any]]


def sniff(path: Path, head: bytes) -> bool:
    """Whether it is one JSON document that holds lists of numbers, a loss among them."""
    document = likely_document(path, head)
    return has_losses(document) or _has_losses(records(document))


def likely_document(path: Path, head: bytes) -> Any:
    """The content of a file that is likely one document with losses; None of any other."""
    if not _BEGIN.match(head) or FORMATS["jsonl"].ends(path.name):
        return None
    # Lines of JSON are told by the first two; a document that is none, or holds no list, by a look.
    if _SEVERAL_LINES.match(head) or not _LISTS.search(head) or not _LOSS.search(head):
        return None
    try:
        return json_of(head if len(head) < HEAD else read_bytes(path))
    except Undecodable:
        return None


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """The objects that hold a wanted loss; `line` counts their rows from 1.

    Raises FloplineError for what is no whole JSON, and for columns of one object that differ in
    length, since no one can say which values belong together.
    """
    text = read_bytes(path).decode("utf-8-sig", errors="replace")
    if not text.strip():
        return
    document = document_of(path, text)
    say(document, wish, facts, "", path)
    metrics = groups(document)
    if not metrics and (found := _rows_of_runs(document)):
        yield _as_rows(found, wish)
        return
    yield curve(path, metrics, wish)


def document_of(path: Path, text: str) -> Any:
    """The content of a file, with NaN as text, since in a table it would stand for an absent loss.

    Raises FloplineError for what is no whole JSON.
    """
    try:
        return json_of(text, parse_constant=str)
    except Undecodable as error:
        raise no_document(path, error) from None


def say(document: Any, wish: Wish, facts: LogFacts, run: str, path: Path) -> None:
    """Note the wanted facts that a document says of a run, also by columns that stay the same."""
    constant = constants(groups(document))
    for name in wish.facts:
        value = reach(document, name)
        value = constant.get(name) if value is None else value
        if value is not None and not isinstance(value, list | dict):
            facts.say_once(run, name, value, path)


def curve(path: Path, metrics: Sequence[MetricGroup], wish: Wish, first: int = 0) -> Raw:
    """The rows of one run's metrics; `first` are the rows that stand before them in the file."""
    shared = _shared(metrics)
    names = list(dict.fromkeys([*shared, *(n for g in metrics for n in g.columns), PLACE]))
    columns = wish.columns or {}
    losses = columns_in(columns.get("loss", []))
    wanted = [name for name in column_names(columns) if name in names]
    rows: list[dict[str, object]] = []
    line = first
    for group in metrics:
        length = max(map(len, group.columns.values()), default=0)
        here = {PLACE: range(1, length + 1), **group.columns}
        here |= {name: here[full] for name in shared if (full := _joined(group.at, name)) in here}
        if any(name in here for name in losses):
            rows += _rows(path, {name: here[name] for name in wanted if name in here}, line)
        line += length
    return Raw(pd.DataFrame(rows, columns=[*wanted, "line"], dtype=object), names=names)


def _as_rows(found: Sequence[Mapping[str, Any]], wish: Wish) -> Raw:
    """The records of a table of runs as rows."""
    names = list(dict.fromkeys(name for record in found for name in record))
    wanted = [name for name in wish.names if name in names]
    rows = [
        {**{name: as_cell(record.get(name)) for name in wanted}, "line": place}
        for place, record in enumerate(found, start=1)
    ]
    return Raw(pd.DataFrame(rows, columns=[*wanted, "line"], dtype=object), names=names)


def read_runs(path: Path, data: bytes) -> tuple[pd.DataFrame, list[int]]:
    """A table of runs, see `tables.read_table`; empty where the document holds no records."""
    found = _rows_of_runs(document_of(path, data.decode("utf-8-sig", errors="replace")))
    names = list(dict.fromkeys(name for record in found for name in record))
    rows = [[as_cell(record.get(name)) for name in names] for record in found]
    table = pd.DataFrame(rows, columns=names, dtype=object)
    return table.assign(line=pd.RangeIndex(1, len(table) + 1).astype("int64")), []


def records(document: Any) -> list[dict[str, Any]]:
    """The records of a table of runs, flat; of an object of them each has its name as `run`."""
    return [record for record in _named_records(document) if record]


def _rows_of_runs(document: Any) -> list[dict[str, Any]]:
    """The records of a table of runs; of a document of one finished run what it says of it."""
    own = _scalars(document) if isinstance(document, dict) and not groups(document) else {}
    return records(document) or ([own] if own else [])


def _named_records(document: Any) -> list[dict[str, Any]]:
    if isinstance(document, list):
        if len(document) > 1 and all(isinstance(record, dict) for record in document):
            return [_scalars(record) for record in document]
        return []
    if not isinstance(document, dict):
        return []
    inner = list(document.values())
    if len(inner) > 1 and all(isinstance(record, dict) for record in inner):
        named = [{RUN: name, **_scalars(record)} for name, record in document.items()]
        return named if all(len(record) > 1 for record in named) else []
    # Lists beside much else may be results of one run on several sets.
    return _named_records(inner[0]) if len(inner) == 1 else []


def _scalars(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flattened(record).items() if not isinstance(value, list)}


def _has_losses(found: Sequence[Mapping[str, Any]]) -> bool:
    """Whether most records hold a number that is named like a loss."""
    with_loss = sum(
        any(isinstance(v, int | float) and is_loss(n.rpartition(".")[2]) for n, v in one.items())
        for one in found
    )
    return with_loss > len(found) / 2


def has_losses(document: Any) -> bool:
    """Whether one of a document's lists is named like a loss."""
    return any(is_loss(name.rpartition(".")[2]) for g in groups(document) for name in g.columns)


def constants(metrics: Sequence[MetricGroup]) -> dict[str, object]:
    """What columns say that hold one and the same number throughout."""
    out: dict[str, object] = {}
    for group in metrics:
        for name, values in group.columns.items():
            if len(values) > 1 and isinstance(values[0], int | float) and len({*values}) == 1:
                out[name] = values[0]
    return out


def no_document(path: Path, error: Undecodable) -> FloplineError:
    """What is said of a file that should be one document of JSON and cannot be read."""
    line = f", line {error.line}," if error.line else ""
    return FloplineError(f"{path}{line} is no complete JSON ({error}): copy it again.")


def run_facts(path: Path) -> dict[str, object]:
    """What a document says of its run besides its lists, by dotted names."""
    document = json_of(read_bytes(path).decode("utf-8-sig", errors="replace"))
    return facts_of_run(document)


def facts_of_run(document: Any) -> dict[str, object]:
    """What a document says besides its lists, and by columns that stay the same."""
    flat = flattened(document)
    said = {name: value for name, value in flat.items() if not isinstance(value, list)}
    return {**constants(groups(document)), **said}


def groups(document: Any) -> list[MetricGroup]:
    """The metrics of a document, object by object, in its order."""
    return [group for group in _groups(document, "") if group.columns]


def _groups(content: Any, at: str) -> Iterator[MetricGroup]:
    if isinstance(content, list):
        if len(content) > 1 and all(isinstance(record, dict) for record in content):
            if metrics := _by_metric(content):
                yield from metrics
                return
            names = dict.fromkeys(name for record in content for name in flattened(record))
            flat = [flattened(record) for record in content]
            if not any(_is_position(name) for name in names):
                return  # results of several sets, say, and not the rows of one curve
            columns = {_joined(at, n): [record.get(n) for record in flat] for n in names}
            yield MetricGroup(at, {name: c for name, c in columns.items() if _of_values(c)})
        return
    if not isinstance(content, dict):
        return
    points = _points(content) if is_loss(at) else None
    if points is not None:
        yield _with_steps(_joined(at, LOSS), *points)
        return
    columns = {}
    for name, value in content.items():
        pairs = _pairs(value) if is_loss(name) else None
        if pairs is not None:
            yield _with_steps(_joined(at, name), *pairs)
        elif isinstance(value, list) and value and _of_values(value):
            columns[_joined(at, name)] = value
        elif _is_indexed(value):
            columns[_joined(at, name)] = list(value.values())
        else:
            yield from _groups(value, _joined(at, name))
    yield MetricGroup(at, columns)


def _by_metric(records: Sequence[Mapping[str, Any]]) -> list[MetricGroup]:
    """The metrics of records with the name, the step and the value of one each; else none."""
    keys = {}
    for ours in ("metric", "value", "step"):
        called = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in records[0]}
        keys[ours] = next((called[name] for name in CALLED[ours] if name in called), "")
    if not all(keys.values()) or any(is_loss(name) for name in records[0]):
        return []
    of_name: dict[str, tuple[list[Any], list[Any]]] = {}
    for record in records:
        steps, values = of_name.setdefault(str(record.get(keys["metric"])), ([], []))
        value = record.get(keys["value"])
        number = parse_number(value)
        steps.append(record.get(keys["step"]))
        values.append(value if math.isnan(number) else number)
    return [_with_steps(name, *both) for name, both in of_name.items()]


def _with_steps(name: str, steps: Sequence[Any], losses: Sequence[Any]) -> MetricGroup:
    return MetricGroup("", {STEP: steps, name: losses})


def _pairs(value: Any) -> tuple[list[Any], list[Any]] | None:
    """The first and the second of each pair of numbers in a list; None of any other."""
    if not isinstance(value, list) or not value:
        return None
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        return None
    firsts, seconds = [pair[0] for pair in value], [pair[1] for pair in value]
    return (firsts, seconds) if _of_values(firsts) and _of_values(seconds) else None


def _points(content: Mapping[str, Any]) -> tuple[list[Any], list[Any]] | None:
    """The lists x and y of an object, as trackers export the points of a scalar."""
    x, y = content.get("x"), content.get("y")
    if not (isinstance(x, list) and isinstance(y, list) and len(x) == len(y) > 0):
        return None
    return (x, y) if _of_values(x) and _of_values(y) else None


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
