"""Mutated logs, tables, sidecars and study files: read, or refused in one sentence, and soon.

`make test` looks at as many as some seconds allow, `make slow` at 100,000 logs and 8,400 studies.
What comes of a seed and a number is always the same: `check(seeds()[NAME], ...)` makes it again. An
input that fails is put into tests/fixtures/fuzz, in the folder of its seed, and stays there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import pytest

from flopline.decoders import Undecodable, json_of
from flopline.errors import MOST_LETTERS, FloplineError
from flopline.logs.key_values import parsed
from flopline.logs.readers import read_log
from flopline.tables import column_map, read_table
from tests.builders.fuzzed import CORPUS, SOUND, Case, check, check_all, prepared, seeds
from tests.builders.fuzzed_studies import check_study, study_seeds
from tests.builders.mutations import SIGNS
from tests.builders.refusals import refused

SECONDS = 3.0
"""What `make test` spends on logs, and half of it again on studies."""

LOGS, STUDIES = 100_000, 8_400
"""Inputs of `make slow`."""

BATCH = 40

SEEDS = seeds()
STUDY_SEEDS = study_seeds()
OF_CORPUS = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


def broken(cases: Iterable[Case]) -> dict[tuple[str, int], str]:
    """The seeds and numbers of inputs that break, with what came of them."""
    return {at: f"{type(e).__name__}: {e}"[:300] for at, e in check_all(cases).items()}


@pytest.mark.parametrize("path", OF_CORPUS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_failed_is_read_or_refused(path: Path, tmp_path: Path) -> None:
    seed = SEEDS[path.parent.name.replace("__", "/")]
    prepared(seed, tmp_path)
    check(seed, path.read_bytes(), tmp_path)


def test_mutated_logs_are_read_or_refused(tmp_path: Path) -> None:
    def cases() -> Iterator[Case]:
        order = sorted(SEEDS, key=lambda name: name[::-1])  # formats and their seeds, mixed
        for number in count():
            for place, name in enumerate(order):
                folder = tmp_path / str(place)
                if not number:
                    prepared(SEEDS[name], folder)
                yield Case(SEEDS[name], number, folder)
                if time.perf_counter() - began > SECONDS:
                    return

    began = time.perf_counter()
    assert not broken(cases())


def test_mutated_studies_are_loaded_or_refused(tmp_path: Path) -> None:
    began = time.perf_counter()
    for number in count():
        for name, seed in STUDY_SEEDS.items():
            outcome = check_study(seed.input(number), tmp_path)
            assert number or outcome == SOUND, name
        if time.perf_counter() - began > SECONDS / 2:
            return


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEDS)
def test_many_mutated_logs_are_read_or_refused(name: str, tmp_path: Path) -> None:
    prepared(SEEDS[name], tmp_path)
    for first in range(0, -(-LOGS // len(SEEDS)), BATCH):
        numbers = range(first, first + BATCH)
        assert not broken(Case(SEEDS[name], number, tmp_path) for number in numbers)


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDY_SEEDS)
def test_many_mutated_studies_are_loaded_or_refused(name: str, tmp_path: Path) -> None:
    for number in range(-(-STUDIES // len(STUDY_SEEDS))):
        check_study(STUDY_SEEDS[name].input(number), tmp_path)


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
