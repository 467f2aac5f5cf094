"""Mutated logs, tables, sidecars and study files: read, or refused in one sentence, and soon.

`make test` looks at as many as some seconds allow, `make slow` at 100,000 logs and 8,400 studies,
and prints how many they were and what came of them.
What comes of a seed and a number is always the same: `check(seeds()[NAME], ...)` makes it again. An
input that fails is put into tests/fixtures/fuzz, in the folder of its seed, and stays there.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import count
from pathlib import Path

import pytest

from flopline.decoders import Undecodable, json_of
from flopline.errors import MOST_LETTERS, FloplineError
from flopline.logs.key_values import parsed
from flopline.logs.readers import read_log
from flopline.tables import column_map, read_table
from tests.builders.fuzzed import (
    CORPUS,
    SLOWEST,
    SOUND,
    Case,
    Hangs,
    check,
    check_all,
    prepared,
    seeds,
)
from tests.builders.fuzzed_studies import check_study, study_seeds
from tests.builders.mutations import SIGNS
from tests.builders.refusals import refused

SECONDS, TURNS = 4.0, 2
"""What `make test` spends on logs, in so many turns side by side, and on studies once."""

LOGS, STUDIES = 100_000, 8_400
"""Inputs of `make slow`."""

BATCH = 40

SEEDS = seeds()
STUDY_SEEDS = study_seeds()
OF_CORPUS = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


def shown(wrong: Mapping[tuple[str, int], Exception]) -> dict[tuple[str, int], str]:
    """The seeds and numbers of inputs that break, with what came of them in words."""
    return {at: f"{type(error).__name__}: {error}"[:300] for at, error in wrong.items()}


def tally(inputs: int, wrong: Collection[Exception]) -> dict[str, int]:
    """What came of some inputs, for the lines below all tests: those of all seeds are added."""
    hangs = sum(isinstance(error, Hangs) for error in wrong)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "inputs": inputs,
        "tracebacks and lost rows": len(wrong) - hangs,
        f"hangs over {SLOWEST:.0f} s": hangs,
        "most memory of a process [MB]": most // (1 << 20 if sys.platform == "darwin" else 1 << 10),
    }


@pytest.mark.parametrize("path", OF_CORPUS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_failed_is_read_or_refused(path: Path, tmp_path: Path) -> None:
    seed = SEEDS[path.parent.name.replace("__", "/")]
    prepared(seed, tmp_path)
    check(seed, path.read_bytes(), tmp_path)


@pytest.mark.parametrize("turn", range(TURNS))
def test_mutated_logs_are_read_or_refused(turn: int, tmp_path: Path) -> None:
    def cases() -> Iterator[Case]:
        order = sorted(SEEDS, key=lambda name: name[::-1])  # formats and their seeds, mixed
        for number in count(turn, TURNS):
            for place, name in enumerate(order):
                folder = tmp_path / str(place)
                if number == turn:
                    prepared(SEEDS[name], folder)
                yield Case(SEEDS[name], number, folder)
                if time.perf_counter() - began > SECONDS:
                    return

    began = time.perf_counter()
    assert not shown(check_all(cases()))


def test_mutated_studies_are_loaded_or_refused(tmp_path: Path) -> None:
    began = time.perf_counter()
    for number in count():
        for name, seed in STUDY_SEEDS.items():
            outcome = check_study(seed.input(number), tmp_path)
            assert number or outcome == SOUND, name
        if time.perf_counter() - began > SECONDS:
            return


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEDS)
def test_many_mutated_logs_are_read_or_refused(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    prepared(SEEDS[name], tmp_path)
    wrong: dict[tuple[str, int], Exception] = {}
    firsts = range(0, -(-LOGS // len(SEEDS)), BATCH)
    for first in firsts:
        numbers = range(first, first + BATCH)
        wrong |= check_all(Case(SEEDS[name], number, tmp_path) for number in numbers)
    record_property("mutated logs", tally(len(firsts) * BATCH, wrong.values()))
    assert not shown(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDY_SEEDS)
def test_many_mutated_studies_are_loaded_or_refused(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    wrong: dict[tuple[str, int], Exception] = {}
    numbers = range(-(-STUDIES // len(STUDY_SEEDS)))
    for number in numbers:
        try:
            check_study(STUDY_SEEDS[name].input(number), tmp_path)
        except Exception as error:
            wrong[name, number] = error
    record_property("mutated studies", tally(len(numbers), wrong.values()))
    assert not shown(wrong)


def test_a_line_takes_time_in_proportion_to_its_length() -> None:
    for sign in SIGNS:
        line = "step: 1 loss " + sign.decode() * (10_000 // len(sign))
        began = time.perf_counter()
        parsed(1, f"{line} x")
        assert time.perf_counter() - began < 2, sign


def test_a_sentence_that_quotes_without_end_keeps_its_place_and_its_mend() -> None:
    message = str(FloplineError(f"a.csv, line 7: {'x' * 10_000} is no number: correct it."))
    assert len(message) <= MOST_LETTERS + 3
    assert message.startswith("a.csv, line 7: xxx")
    assert message.endswith("xxx is no number: correct it.")


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5_000, "{", b"\xff\xff"])
def test_what_json_cannot_decode_is_one_kind_of_error(text: str | bytes) -> None:
    with pytest.raises(Undecodable):
        json_of(text)


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_a_column_line_that_nobody_asks_for_does_no_harm(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"runs.{ending}"
    mark = {"csv": ",", "tsv": "\t", "jsonl": ""}[ending]
    text = mark.join(["run", "line", "n"]) + "\n" + mark.join(["a", "r1", "7"]) + "\n"
    path.write_text(text if mark else '{"run": "a", "line": "r1", "n": 7}\n')
    table, _ = read_table(path)
    mapped = column_map(table, {"run": "run", "params": "n"}, path, "source").rows
    assert mapped.to_dict("records") == [{"line": 2 if mark else 1, "run": "a", "params": 7.0}]


@pytest.mark.parametrize("format_name", ["csv", "jsonl"])
def test_a_column_that_is_named_as_the_numbers_of_lines_is_refused(
    format_name: str, tmp_path: Path
) -> None:
    path = tmp_path / f"run.{format_name}"
    path.write_text({"csv": "line,loss\n7,3\n", "jsonl": '{"line": 7, "loss": 3}\n'}[format_name])
    refused(lambda: read_log(path, {"step": "line", "loss": "loss"}), "column 'line'", "rename it")
    table, _ = read_table(path)
    refused(lambda: column_map(table, {"run": "line"}, path, "source"), "column 'line'")


def test_half_a_letter_is_replaced() -> None:
    assert json_of(r'{"a\ud800": ["\ud83d\ude00", "\udc00b"]}') == {
        "a\ufffd": ["\U0001f600", "\ufffdb"]
    }
