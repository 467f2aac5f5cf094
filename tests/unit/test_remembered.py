"""What is remembered from one run of a stage to the next: found by all that it depends on."""

from __future__ import annotations

import importlib
import json
import pkgutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import flopline
from flopline import remembered as memory
from flopline.audit.family_audits import audit_family
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.options import OptionGroup, StudyOptions
from flopline.remembered import (
    FUNCTIONS,
    Function,
    Solves,
    key_of,
    machine,
    remembered,
    remembering,
)
from flopline.remembered_tables import Unknown, taken_apart
from tests.builders.audited_family import OPTIONS, TARGETS, evidence

SALT = ["code", "machine"]


@dataclass(frozen=True, slots=True)
class Pair:
    """An argument and a result with arrays in it."""

    one: Any
    other: Any


CALLS: list[object] = []


@remembered(Pair)
def halves(values: Any, about: Any = None) -> Pair:
    CALLS.append(about)
    return Pair(np.asarray(values) / 2.0, (about, [np.asarray(values).T]))


OURS = FUNCTIONS.pop(f"{__name__}.halves")
"""Ours alone, apart from those of the library."""


@pytest.fixture(autouse=True)
def no_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its classes count as those of the library, whose code is in the salt.
    monkeypatch.setattr(memory, "LIBRARIES", ("flopline", __name__.partition(".")[0]))
    CALLS.clear()


def run(path: Path, call: Callable[[], Any], salt: list[str] = SALT) -> tuple[Any, Solves]:
    """What a call returns with the memory of a file, which is written afterwards."""
    solves = Solves.read(path, salt)
    with remembering(solves):
        result = call()
    solves.write()
    return result, solves


def laid(value: Any) -> Any:
    """All of a value that may count: types, bits and where they lie."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.strides, value.tobytes(order="A")
    if isinstance(value, tuple | list):
        return type(value), [laid(part) for part in value]
    if is_dataclass(value):
        return type(value), [laid(getattr(value, one.name)) for one in fields(value)]
    return type(value), repr(value)


NUMBERS = st.one_of(
    arrays.arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 4))),
    arrays.arrays(np.int64, st.integers(1, 5)),
)


@settings(deadline=None, max_examples=60)
@given(NUMBERS, st.one_of(st.floats(), st.integers(), st.text(), st.booleans(), st.none()))
def test_the_same_arguments_find_what_was_made(values: Any, about: Any) -> None:
    first = Solves(Path("job"), "salt")
    with remembering(first):
        made = halves(values, about)
    second = Solves(Path("job"), "salt", first.used)
    with remembering(second):
        found = halves(values.copy(), about=about)
    assert (first.made, first.found, second.made, second.found) == (1, 0, 0, 1)
    assert laid(found) == laid(made)
    assert laid(made.one) == laid(halves(values, about).one)


def steps(value: Any) -> Iterator[Any]:
    """The value with the smallest change in each of its parts in turn."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f":
            moved = np.nextafter(value, np.inf)
            moved[~np.isfinite(value)] = 0.0
        elif value.dtype.kind == "b":
            moved = ~value
        else:
            moved = value + 1
        for place in {0, value.size // 2, value.size - 1} if value.size else ():
            changed = value.copy(order="K")
            changed.flat[place] = moved.flat[place]
            yield changed
        if value.dtype.kind == "f":
            yield np.zeros_like(value, np.float32)
        yield value[None]
        if value.ndim > 1 and min(value.shape) > 1:
            yield value.copy(order="C" if value.flags.f_contiguous else "F")
        yield value[:-1] if value.shape and value.size else np.ones(1)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
        yield float(value)
    elif isinstance(value, float):
        yield float(np.nextafter(value, np.inf)) if np.isfinite(value) else 0.0
    elif isinstance(value, str):
        yield f"{value} "
    elif value is None:
        yield 0.0
    elif isinstance(value, type):
        yield Pair
    elif isinstance(value, tuple | list):
        yield type(value)([*value, 1])
        for place, part in enumerate(value):
            for changed in steps(part):
                yield type(value)([*value[:place], changed, *value[place + 1 :]])
    elif isinstance(value, dict):
        for name, part in value.items():
            for changed in steps(part):
                yield {**value, name: changed}
    elif isinstance(value, Enum):
        yield from (other for other in type(value) if other is not value)
    elif isinstance(value, pd.Series | pd.DataFrame):
        table = value.to_frame(value.name or "") if isinstance(value, pd.Series) else value
        others = [table.rename(columns={table.columns[0]: "other"}), table.iloc[:-1]]
        others.append(table.set_axis(np.arange(7, 7 + len(table)), axis=0))
        for name in table if len(table) else ():
            values = table[name].to_numpy()
            other = next(steps(values)) if values.dtype.kind in "biuf" else "other"
            others.append(table.assign(**{name: other}))
        for other in others:
            yield other if table is value else other.iloc[:, 0]
    elif isinstance(value, OptionGroup):
        yield BootstrapOptions(draws=3)
    elif isinstance(value, StudyOptions):
        yield value.but(BootstrapOptions(draws=3))
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            for changed in steps(getattr(value, one.name)):
                yield replace(value, **{one.name: changed})


TABLES = [
    pd.DataFrame({"n": np.array([], np.int64)}),
    pd.DataFrame({"n": [1, 2], "x": [0.1, np.nan], "ok": [True, False], "run": ["a", None]}),
    pd.DataFrame({"x": [1.0, 2.0, 3.0]}, index=pd.Index([4, 2, 9], name="row")).iloc[::2],
    pd.DataFrame({"x": np.zeros(2, np.float32)}, index=["a", "b"]),
    pd.DataFrame({"of": pd.Categorical(["b", "a", None], ["b", "a"], ordered=True)}),
    pd.DataFrame({"of": pd.Series(["b", None, 1.5, True], dtype=object)}),
    pd.DataFrame({"run": pd.array(["b", None], dtype="string")}),
    pd.Series([1, 2], name="n"),
    pd.Series(["ä", ""], index=pd.RangeIndex(2, 6, 2)),
]


@pytest.mark.parametrize("table", TABLES)
def test_tables_are_found_as_they_were_made(tmp_path: Path, table: Any) -> None:
    def call() -> Any:
        return halves(np.ones(2), table).other[0]

    (made, _), (found, solves) = (run(tmp_path / "job", call) for _ in range(2))
    assert (len(CALLS), solves.found) == (1, 1)
    same = pd.testing.assert_series_equal
    if isinstance(table, pd.DataFrame):
        same = pd.testing.assert_frame_equal  # type: ignore[assignment]
    for other in (made, found):
        same(other, table, check_exact=True, check_freq=True)
    keys = [key_of(OURS, (each,), {}, "s") for each in [table, *steps(table)] if len(table)]
    assert len({*keys}) == len(keys)


@pytest.mark.parametrize(
    "odd",
    [
        pd.DataFrame({"at": pd.to_datetime(["2020-01-01"])}),
        pd.DataFrame(),
        pd.DataFrame({1: [0.5]}),
        pd.DataFrame({"n": pd.array([1, None], dtype="Int64")}),
        pd.DataFrame({"n": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)])),
        pd.DataFrame([[1]], columns=pd.Index(["n"], name="of")),
    ],
)
def test_tables_of_another_make_are_not_remembered(odd: Any) -> None:
    with pytest.raises(Unknown):
        taken_apart(odd)


@remembered(with_parts=True)
def sum_of_halves(values: Any, more: float) -> float:
    return float(halves(values).one.sum()) + more


OURS_WITH_PARTS = FUNCTIONS.pop(f"{__name__}.sum_of_halves")


def test_what_a_result_was_made_of_is_kept_with_it(tmp_path: Path) -> None:
    for more, made in ((1.0, 2), (1.0, 0), (1.0, 0), (2.0, 1)):
        result, solves = run(tmp_path / "job", lambda more=more: sum_of_halves(np.ones(2), more))
        assert (result, solves.made) == (1 + more, made)
    assert len(CALLS) == 1


@settings(deadline=None, max_examples=60)
@given(NUMBERS, st.one_of(st.floats(), st.integers(), st.text(), st.booleans(), st.none()))
def test_the_smallest_change_of_an_argument_finds_nothing(values: Any, about: Any) -> None:
    whole = Pair(values, [about, (1, 2)])
    keys = [key_of(OURS, (), {"values": v}, "s") for v in (whole, *steps(whole))]
    assert len({*keys}) > 4
    assert keys.count(keys[0]) == 1


def test_parts_of_arguments_are_not_taken_for_one_another() -> None:
    one, zero = np.ones(1), np.zeros(1)
    different: list[Any] = [
        *(("ab", "c"), ("a", "bc"), ["ab", "c"], "abc", ("ab",), (("ab",), "c"), {"ab": "c"}),
        *(1, 1.0, True, "1", None, 0.0, -0.0, np.float64(1.0), one, np.ones(1, np.int64)),
        *((one, zero), (zero, one), np.concatenate([one, zero]), Pair(one, zero), Pair),
    ]
    keys = {key_of(OURS, (value,), {}, "s") for value in different}
    assert len(keys) == len(different)
    assert key_of(OURS, (1,), {}, "s") != key_of(OURS, (1,), {}, "t")
    other = Function("other", OURS.plain, OURS.signature, OURS.made_of)
    assert key_of(OURS, (1,), {}, "s") != key_of(other, (1,), {}, "s")


@pytest.mark.parametrize("odd", [lambda: 1, {1, 2}, np.array(["a"]), np.array([None]), Path()])
def test_what_cannot_be_told_apart_is_not_remembered(tmp_path: Path, odd: Any) -> None:
    for _ in range(2):
        run(tmp_path / "job", lambda: halves(np.ones(2), odd))
    assert [odd, odd] == CALLS


def test_a_class_of_others_is_not_told_apart(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(memory, "LIBRARIES", ("flopline",))
    for _ in range(2):
        run(tmp_path / "job", lambda: halves(np.ones(2), Pair(1, 2)))
    assert len(CALLS) == 2


def test_what_a_caller_changes_does_not_reach_the_memory(tmp_path: Path) -> None:
    values = np.arange(6.0).reshape(2, 3)
    solves = Solves.read(tmp_path / "job", SALT)
    with remembering(solves):
        for _ in range(3):
            result = halves(values)
            assert result.one.tolist() == [[0, 0.5, 1], [1.5, 2, 2.5]]
            result.one[:] = -1
            result.other[1][0][:] = -1
            result.other[1].clear()
    solves.write()
    assert len(CALLS) == 1
    values[:] = np.arange(6.0).reshape(2, 3)
    assert run(tmp_path / "job", lambda: halves(values))[0].one[1, 2] == 2.5
    assert len(CALLS) == 1


def test_nothing_is_remembered_outside(tmp_path: Path) -> None:
    halves(np.ones(2))
    run(tmp_path / "job", lambda: halves(np.ones(2)))
    halves(np.ones(2))
    assert len(CALLS) == 3


def test_another_code_or_machine_finds_nothing(tmp_path: Path) -> None:
    for salt in (SALT, ["code"], ["codemachine"], ["code", "machine", ""]):
        assert run(tmp_path / "job", lambda: halves(np.ones(2)), salt)[1].made == 1
    assert len({*machine()}) > 8


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: content[:-5],
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"PAR1" + content,
        lambda content: content.replace(b"[[", b"[{"),
        lambda content: content + b"more",
        lambda content: content[:18] + b"\xff" * 8 + content[26:],
        *(lambda content, at=at: content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
          for at in (0, 20, 40, 150, 260, 400, -1 - 8 * 6, -60)),
    ],
)  # fmt: skip
def test_a_damaged_file_costs_time_and_no_digit(tmp_path: Path, harm: Any) -> None:
    path, values = tmp_path / "job", np.arange(6.0).reshape(2, 3)
    wanted = laid(run(path, lambda: halves(values, "a"))[0])
    content = path.read_bytes()
    path.write_bytes(harm(content))
    assert laid(run(path, lambda: halves(values, "a"))[0]) == wanted
    assert laid(run(path, lambda: halves(values, "a"))[0]) == wanted
    assert path.read_bytes()[: len(content)] == content


def test_every_flipped_bit_of_an_entry_is_seen(tmp_path: Path) -> None:
    path, values = tmp_path / "job", np.arange(2.0)
    run(path, lambda: halves(values))
    content = path.read_bytes()
    for at in range(0, len(content), 5):
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        solves = Solves.read(path, SALT)
        with remembering(solves):
            assert halves(values).one.tolist() == [0, 0.5]
        assert solves.found == 0, at


def test_entries_under_each_others_keys_are_none(tmp_path: Path) -> None:
    path = tmp_path / "job"
    run(path, lambda: (halves(np.zeros(2)), halves(np.ones(2))))
    solves = Solves.read(path, SALT)
    one, other = solves.kept
    solves.kept = {one: solves.kept[other], other: solves.kept[one]}
    with remembering(solves):
        assert halves(np.ones(2)).one.tolist() == [0.5, 0.5]
    assert solves.found == 0


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file/job", tmp_path):
        assert run(path, lambda: halves(np.ones(2)))[0].one.tolist() == [0.5, 0.5]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_was_not_used_again_is_kept_as_far_as_there_is_room(
    tmp_path: Path,
) -> None:
    path = tmp_path / "job"
    for value in range(9):
        run(path, lambda value=value: halves(np.full(4, float(value))))
    size = len(next(iter(Solves.read(path, SALT).kept.values())))
    assert len(Solves.read(path, SALT).kept) == 9
    short = Solves.read(path, SALT, spare=2 * size)
    with remembering(short):
        halves(np.full(4, 3.0))
    short.write()
    kept = Solves.read(path, SALT)
    with remembering(kept):
        halves(np.full(4, 3.0))
        halves(np.full(4, 8.0))
    assert (len(kept.kept), kept.found) == (3, 2)


def test_what_a_killed_job_left_beside_goes(tmp_path: Path) -> None:
    path = tmp_path / "job"
    for _ in range(2):
        abandoned = tmp_path / ".job.4194305.part"
        abandoned.write_bytes(b"half")
        run(path, lambda: halves(np.ones(2)))
        assert [p.name for p in tmp_path.iterdir()] == ["job"]


# All that the library remembers, and what stages make of it.


class Listening(Solves):
    """Remembers, and holds the first arguments that each function was asked for."""

    def result(self, function: Function, args: Any, kwargs: Any) -> Any:
        self.asked.setdefault(function.name, (function, args, kwargs))  # type: ignore[attr-defined]
        return super().result(function, args, kwargs)


def stage(solves: Solves | None) -> list[Any]:
    """The fits of a family and its audits, as bytes."""
    from flopline.solvers.minimisation import forget

    forget()
    out: list[Any] = []
    with remembering(solves):
        known, results = evidence()
        for law, fit in ((law, results.of_law(law)) for law in results.fits):
            out += [law, repr(fit.content), fit.draws.to_csv()]
            out += [fit.tables[name].to_csv() for name in sorted(fit.tables)]
        audited = audit_family(
            known, results, OPTIONS, TARGETS, params_convention="total", flops_convention="six_nd"
        )
        for finding in audited.findings:
            out += [finding.to_json(), *(t.to_csv() for t in finding.tables.values())]
    return out


@cache
def once() -> tuple[list[Any], bytes, dict[str, Any]]:
    """What the stages leave without a memory, the file of a first run, and what it asked for."""
    from tempfile import TemporaryDirectory

    plain = stage(None)
    with TemporaryDirectory() as folder:
        solves = Listening.read(Path(folder, "job"), SALT)
        solves.asked = {}
        assert stage(solves) == plain
        assert solves.made > 20
        solves.write()
        return plain, Path(folder, "job").read_bytes(), solves.asked


def test_stages_leave_the_same_bytes_whether_found_made_or_damaged(tmp_path: Path) -> None:
    plain, content, _ = once()
    (tmp_path / "job").write_bytes(content)
    solves = Solves.read(tmp_path / "job", SALT)
    wholes = [key for key, entry in solves.kept.items() if parts_of(entry)]
    damaged = {*wholes, *[*solves.kept][::6]}
    assert len(wholes) > 10
    for key in damaged:
        solves.kept[key] = solves.kept[key][:-3] + b"\0\1\2"
    assert stage(solves) == plain
    assert solves.made == len(damaged)
    assert solves.found > 60
    solves.write()
    again = Solves.read(tmp_path / "job", SALT)
    assert stage(again) == plain
    assert again.made == 0
    assert {*again.used} == {*Solves.read(tmp_path / "job", SALT).kept}


def parts_of(entry: bytes) -> list[str]:
    """The keys of what an entry was made of."""
    (size,) = struct.unpack("<q", entry[32:40])
    parts: list[str] = json.loads(entry[40 : 40 + size])[0]
    return parts


def test_every_argument_of_what_is_remembered_is_in_the_key() -> None:
    for module in pkgutil.walk_packages(flopline.__path__, "flopline."):
        if "__main__" not in module.name:
            importlib.import_module(module.name)
    asked = once()[2]
    assert {*asked} == {*FUNCTIONS}
    for function, args, kwargs in asked.values():
        bound = function.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given_ = dict(bound.arguments)
        assert list(given_) == list(function.signature.parameters)
        key = key_of(function, (), given_, "s")
        for name, value in given_.items():
            others = list(steps(value))
            assert others, (function.name, name)
            for other in others:
                assert key_of(function, (), {**given_, name: other}, "s") != key, (function, name)
