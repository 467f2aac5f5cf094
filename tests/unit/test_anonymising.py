"""Small cases made of logs: names go, numbers stay, and the copy is read as the log is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from flopline.anonymising import anonymised, known_words, read_alike
from flopline.cli.program import main
from flopline.errors import FloplineError
from tests.conftest import ROOT

LOGS = ROOT / "tests/fixtures/logs"
OF_NOBODY = {"README.md", "make.py", "source.yaml", "expected.json"}
TEXTS = sorted(
    path
    for path in LOGS.rglob("*")
    if path.suffix in {".log", ".out", ".txt", ".csv", ".tsv", ".jsonl", ".json"}
    and path.name not in OF_NOBODY
)


@pytest.mark.parametrize("log", TEXTS, ids=lambda path: str(path.relative_to(LOGS)))
def test_every_kind_of_log_is_read_as_before(log: Path, tmp_path: Path) -> None:
    made = anonymised(log)
    copy = tmp_path / log.name
    copy.write_text(made.text, encoding="utf-8")
    outcome = read_alike(log, copy, made.lines)
    assert outcome.alike, outcome.sentence


def test_names_addresses_and_paths_go_and_numbers_stay(tmp_path: Path) -> None:
    log = tmp_path / "job.out"
    log.write_text(
        "Acme Zorblatt cluster, host gpu-17.acme-internal.net 10.3.4.17\n"
        "wandb: https://wandb.ai/acme/zorblatt/runs/1a2b?token=s3cret\n"
        "ada.l@acme.com reads /home/ada/Zorblatt/data_v2/corpus.jsonl\n"
        "path /home/ada/secret loss=3.5\n"
        "step 100 | loss 3.25 | ZORBLATT_lr 3e-4 | zorblatt 2.00kit\n"
    )
    text = anonymised(log).text
    for name in ("acme", "zorblatt", "ada", "s3cret", "10.3.4.17", "home", "corpus"):
        assert name not in text.lower(), (name, text)
    for kept in ("step 100 | loss 3.25", "loss=3.5", "lr 3e-4", "2.00kit", ".jsonl"):
        assert kept in text, text
    # The same word is the same, in its own case.
    words = re.findall(r"word[a-z]+|WORD[A-Z]+", text)
    assert len({word.lower() for word in words}) < len(words)
    assert "WORD" in text


def test_no_number_comes_in(tmp_path: Path) -> None:
    log = tmp_path / "job.out"
    log.write_text(" ".join(f"nameof{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(100)))
    assert not re.search(r"\d", anonymised(log).text)


def test_words_of_formats_are_known_and_names_are_not() -> None:
    assert {"iteration", "loss", "tokens"} <= known_words()
    assert not {"acme", "ada", "nobody"} & known_words()


def test_only_the_first_lines_and_kept_words(tmp_path: Path) -> None:
    log = tmp_path / "job.out"
    log.write_text("zorblatt 1\n" * 50)
    made = anonymised(log, 3, ["Zorblatt"])
    assert (made.text, made.lines) == ("zorblatt 1\n" * 3, 3)


def test_binary_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FloplineError, match="is no file: name one log"):
        anonymised(tmp_path)
    with pytest.raises(FloplineError, match="is binary"):
        anonymised(LOGS / "parquet/toy.parquet")


def test_the_command_writes_nothing_over(tmp_path: Path) -> None:
    log, out = LOGS / "jsonl/toy.jsonl", tmp_path / "case/toy.jsonl"
    first = CliRunner().invoke(main, ["anonymise", str(log), str(out)])
    assert first.exit_code == 0, first.output
    assert "It is read as the log is: jsonl, 15 rows." in first.output
    again = CliRunner().invoke(main, ["anonymise", str(log), str(out)])
    assert (again.exit_code, "nothing is written over" in again.output) == (1, True)


def test_what_no_format_reads_is_no_success(tmp_path: Path) -> None:
    """A README was `anonymised` with exit code 0."""
    log, out = tmp_path / "README.md", tmp_path / "case.md"
    log.write_text("# Our sweep\n\nSome words of ours.\n")
    made = CliRunner().invoke(main, ["anonymise", str(log), str(out)])
    assert (made.exit_code, out.is_file()) == (1, True)
    assert "README.md is no log: no format here reads it" in made.output
