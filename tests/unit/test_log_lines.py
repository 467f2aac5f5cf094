"""Lines of text logs: what ends one, which phase counts, and that nothing goes uncounted."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flopline.drafting.survey import survey
from flopline.errors import FloplineError
from flopline.facts import read_sidecar
from flopline.logs.formats import FORMATS
from flopline.logs.readers import read_log, sniffed
from flopline.logs.reading import Reading
from flopline.sources import pattern_mistakes, patterns_of
from flopline.tables import read_table, run_facts

HEADER = "  seq_length ...................................... 1024\n"
TEXTS = {
    "llmc": "s:0 tel:11.0\ns:0 trl:10.5\ns:5 trl:9.0\ns:10 trl:8.0\n",
    "nanogpt": "iter 0: loss 10.0, time 1.0ms\niter 5: loss 9.0, time 1.0ms\n"
    "step 10: train loss 8.0, val loss 8.1\n",
    "modded_nanogpt": "step:0/10 val_loss:10.8 train_time:0ms step_avg:nanms\n"
    "step:5/10 train_loss:9.0 train_time:5ms step_avg:1.0ms\n",
    "torchtitan": "x - INFO - step: 1 loss: 12.2 tps: 5\nx - INFO - step: 5 loss: 9.2 tps: 5\n",
    "megatron": HEADER + "".join(
        f" iteration {s}/ 100 | consumed samples: {64 * s} | lm loss: {10 - s / 10} | "
        "number of nan iterations: 0 |\n" for s in (1, 5, 10)
    ),
    "jsonl": "".join(json.dumps({"step": s, "loss": 10 - s / 10}) + "\n" for s in (0, 5, 10)),
    "csv": "step,loss\n0,10.0\n5,9.5\n10,9.0\n",
    "trainer": "iteration: 1 / 10 | consumed_tokens: 1.02K | lm_loss: 11.2 | lr: 3e-06\n"
    "iteration: 10 / 10 | consumed_tokens: 10.2K | lm_loss: 9.2 | lr: 3e-06\n",
    "lines": "".join(f"step {s} | loss: {10 - s / 10} | norm 1\n" for s in (0, 5, 10)),
    "pattern": "at 0: 10.0\nat 5: 9.5\nat 10: 9.0\n",
}  # fmt: skip
PATTERNS = patterns_of({"pattern": r"^at (?P<step>\d+): (?P<loss>\S+)"})
COLUMNS = {"step": "step", "loss": "loss"}


def read(path: Path, text: str | bytes, name: str, **wish: Any) -> Reading:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    columns = None if FORMATS[name].columns.of_format else COLUMNS
    return read_log(path, columns, name, PATTERNS, **wish)


def rows(reading: Reading) -> list[list[Any]]:
    table = reading.rows[["step", "loss", "line"]].astype(object)
    return table.where(table.notna(), None).to_numpy().tolist()


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_a_carriage_return_ends_a_line(tmp_path: Path, name: str, end: str) -> None:
    plain = read(tmp_path / "a.out", TEXTS[name], name)
    other = read(tmp_path / "b.out", TEXTS[name].replace("\n", end), name)
    assert rows(plain) == rows(other)
    assert len(plain.rows) >= 2
    assert plain.rows_in == other.rows_in
    assert plain.facts.known == other.facts.known


@pytest.mark.parametrize("name", [name for name in TEXTS if not FORMATS[name].described_by])
def test_bars_before_and_between_records_hide_none(tmp_path: Path, name: str) -> None:
    """A bar that redraws itself leaves its text on the line, up to a carriage return."""
    if name in ("csv", "jsonl"):
        text = TEXTS[name]
    else:
        text = "".join(f" 12%|#   | 3/100\r{line}\n" for line in TEXTS[name].splitlines())
    path = tmp_path / ("a.csv" if name == "csv" else "a.out")
    path.write_text(text, newline="")
    assert sniffed(path) == name
    reading = read_log(path, None if FORMATS[name].columns.of_format else COLUMNS)
    assert len(reading.rows) == len(read(tmp_path / "b.out", TEXTS[name], name).rows)


@pytest.mark.parametrize("name", TEXTS)
def test_a_byte_order_mark_is_skipped(tmp_path: Path, name: str) -> None:
    marked = codecs.BOM_UTF8 + TEXTS[name].encode()
    assert rows(read(tmp_path / "a.out", marked, name)) == rows(
        read(tmp_path / "b.out", TEXTS[name], name)
    )
    if not FORMATS[name].described_by:
        (tmp_path / f"c.{name}").write_bytes(marked)
        assert sniffed(tmp_path / f"c.{name}") == name


def test_a_byte_order_mark_is_skipped_in_tables_and_sidecars(tmp_path: Path) -> None:
    line = '{"run": "a", "params": 5, "tokens": 7, "loss": 3.0}\n'
    (tmp_path / "runs.jsonl").write_bytes(codecs.BOM_UTF8 + line.encode() + line.encode())
    table, unparsed = read_table(tmp_path / "runs.jsonl")
    assert (len(table), unparsed) == (2, [])
    for ending, text in (("json", '{"n": 5}'), ("yaml", "n: 5\n")):
        (tmp_path / f"x.{ending}").write_bytes(codecs.BOM_UTF8 + text.encode())
        assert read_sidecar(tmp_path / f"x.{ending}") == {"n": 5}


@pytest.mark.parametrize("cut", ['{"run": "b", "par', "[1]", '"b"'])
def test_a_broken_line_of_a_run_table_is_told(tmp_path: Path, cut: str) -> None:
    lines = ['{"run": "a", "params": 5}', cut, '{"run": "c", "params": 6}']
    (tmp_path / "runs.jsonl").write_text("\n".join(lines) + "\n")
    source = {"runs": {"table": "runs.jsonl", "columns": {"run": "run", "params": "params"}}}
    with pytest.raises(FloplineError, match=r"runs\.jsonl, line 2: .*a run would lack its facts"):
        run_facts(source, tmp_path)


TWO = [
    ("at 0: 10.0 at 5: 9.5\n", [{"pattern": r"at (?P<step>\d+): (?P<loss>\S+)"}]),
    (
        "step 3 train 2.5 val 2.6\n",
        [
            {"pattern": r"step (?P<step>\d+) train (?P<loss>\S+)", "split": "train"},
            {"pattern": r"val (?P<loss>\S+)", "split": "val"},
        ],
    ),
]


@pytest.mark.parametrize(("text", "patterns"), TWO)
def test_a_second_match_in_a_line_is_counted(
    tmp_path: Path, text: str, patterns: list[dict[str, str]]
) -> None:
    (tmp_path / "a.out").write_text(text)
    reading = read_log(tmp_path / "a.out", None, "pattern", patterns)
    assert len(reading.rows) == 1
    assert reading.dropped[["line", "reason"]].to_numpy().tolist() == [[1, "second_in_line"]]
    assert reading.rows_in == 2


def test_patterns_that_fit_one_record_are_one_match(tmp_path: Path) -> None:
    (tmp_path / "a.out").write_text("step 3 val loss 2.6 done\n")
    patterns = [
        {"pattern": r"step (?P<step>\d+) val loss (?P<loss>\S+)", "split": "val"},
        {"pattern": r"step (?P<step>\d+) \S+ loss (?P<loss>\S+)", "split": "train"},
    ]
    reading = read_log(tmp_path / "a.out", None, "pattern", patterns)
    assert reading.rows_in == 1
    assert reading.rows["split"].tolist() == ["val"]


OF_LINES = [name for name, entry in FORMATS.items() if entry.of_lines]


@pytest.mark.parametrize("name", OF_LINES)
def test_a_study_may_name_the_phase_that_counts(tmp_path: Path, name: str) -> None:
    text = TEXTS[name]
    undivided = read(tmp_path / "a.out", text, name)
    several = f"begin base\n{text}begin tuning\n{text}"
    base = read(tmp_path / "b.out", several, name, phase={"from": "base$", "to": "tuning$"})
    assert rows(base)
    assert [row[:2] for row in rows(base)] == [row[:2] for row in rows(undivided)]
    assert [row[2] - 1 for row in rows(base)] == [row[2] for row in rows(undivided)]
    until = read(tmp_path / "c.out", text + "== end ==\n" + text, name, phase={"to": "== end =="})
    assert rows(until) == rows(undivided)
    after = read(tmp_path / "d.out", several, name, phase={"from": "tuning"})
    assert [row[:2] for row in rows(after)] == [row[:2] for row in rows(undivided)]
    with pytest.raises(FloplineError, match=r"source\.phase\.from 'never' fits no line"):
        read(tmp_path / "e.out", text, name, phase={"from": "never"})


def test_phases_are_for_text_and_regular(tmp_path: Path) -> None:
    pd.DataFrame({"loss": [3.0]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(FloplineError, match="parquet, which has no lines of text to part"):
        read_log(tmp_path / "a.parquet", {"loss": "loss"}, phase={"from": "x"})
    (mistake,) = pattern_mistakes({"phase": {"from": "("}})
    assert "source.phase.from '(' is no regular expression" in mistake


def test_a_survey_counts_what_carriage_returns_part(tmp_path: Path) -> None:
    (tmp_path / "a.out").write_text(TEXTS["nanogpt"].replace("\n", "\r"), newline="")
    (group,) = survey(tmp_path, tmp_path).groups
    assert (group.format, group.rows) == ("nanogpt", 4)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("nanogpt", "tokens per iteration will be: ,"),
        ("nanogpt", "number of parameters: 1.2.3M"),
        ("torchtitan", "Model toy size: , total parameters"),
        ("modded_nanogpt", "step:1/10 val_loss:9.8 train_time:1.2.3ms step_avg:1ms"),
    ],
)
def test_a_spoilt_number_beside_the_losses_says_nothing(
    name: str, line: str, tmp_path: Path
) -> None:
    text = {"torchtitan": "INFO - step: 1  loss: 6.0  memory: 1.0GiB  tps: 1\n", **TEXTS}[name]
    (tmp_path / "a.log").write_text(text + line + "\n")
    reading = read_log(tmp_path / "a.log", format_name=name)
    assert reading.rows_in >= 1
    assert "batch_tokens" not in reading.facts.known.get("", {})


def test_a_spoilt_estimate_of_megatron_s_size_is_no_size(tmp_path: Path) -> None:
    row = " iteration 1/ 10 | consumed samples: 8 | lm loss: 9.5E+00 |\n"
    for text, params in (("1.2.3", None), ("1.25", 1.25e9), ("7", 7e9)):
        log = tmp_path / f"{text}.log"
        log.write_text(f"estimated model parameters: {text}\n{row}")
        known = read_log(log, format_name="megatron").facts.known.get("", {})
        assert known.get("params_total") == (None if params is None else pytest.approx(params))
