"""Numbers as people write them, and names of digits, in every place where a study has them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.clean.cleaning_notes import notes
from flopline.clean.reasons import REASONS
from flopline.errors import FloplineError
from flopline.ingesting import FACTS, ingest
from flopline.logs.readers import read_log
from flopline.tables import run_facts
from flopline.written_numbers import (
    has_doubtful_comma,
    parse_number,
    parse_plain,
    parse_seconds,
    why_no_number,
)

COLUMNS = {"step": "step", "tokens": "tokens", "loss": "loss"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,300,000", 1.3e6), ("1,300", 1.3e3), ("12,345.5", 12345.5), ("1_300_000", 1.3e6),
        ("93.2K", 93_200), ("1.2B", 1.2e9), ("5.4 M", 5.4e6), ("1e19", 1e19), ("5.", 5),
        (".5", 0.5), ("-3", -3), ("123456789012M", 1.23456789012e17),
    ],
)  # fmt: skip
def test_a_comma_parts_groups_of_three(text: str, value: float) -> None:
    assert parse_number(text) == value
    assert not has_doubtful_comma(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("5,4M", 5.4e6), ("1,3e9", 1.3e9), ("0,5", 0.5), ("12,5", 12.5), (",5", 0.5), ("0,500", 0.5)],
)
def test_any_other_comma_is_a_doubt_until_the_study_says(text: str, value: float) -> None:
    assert math.isnan(parse_number(text))
    assert has_doubtful_comma(text)
    assert parse_number(text, ",") == value
    assert not has_doubtful_comma(text, ",")


@pytest.mark.parametrize("text", ["1,30,000", "1,2,3", "1234,567", "1,300,00", "1_30", "1,300_000"])
def test_groups_of_other_lengths_are_no_number(text: str) -> None:
    assert math.isnan(parse_number(text))


def test_with_decimal_commas_a_point_parts_thousands() -> None:
    assert parse_number("1.300.000,5", ",") == 1_300_000.5
    assert parse_number("1.300", ",") == 1300
    assert math.isnan(parse_number("1.5", ","))
    assert math.isnan(parse_number("1,300,000", ","))


def test_units_are_those_of_the_column() -> None:
    assert parse_seconds("250ms") == 0.25
    assert parse_seconds("12.5 s") == 12.5
    assert math.isnan(parse_seconds("3M"))
    assert math.isnan(parse_plain("3.2M"))


@given(st.integers(-(10**17), 10**17))
def test_what_is_written_with_separators_is_read_to_the_digit(number: int) -> None:
    for text in (f"{number:,}", f"{number:_}", str(number)):
        assert parse_number(text) == float(number)
    assert parse_number(f"{number:,}".replace(",", "."), ",") == float(number)


def text_logs(folder: Path, tokens: list[str]) -> dict[str, Path]:
    """One log in several formats, its tokens written as given."""
    rows = [{"step": i, "tokens": t, "loss": 3 - i} for i, t in enumerate(tokens)]
    header = "step\ttokens\tloss\n"
    lines = {
        "jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "tsv": header + "".join("\t".join(map(str, row.values())) + "\n" for row in rows),
        "out": "".join(f"at {r['step']} seen {r['tokens']} loss {r['loss']}\n" for r in rows),
    }
    for ending, text in lines.items():
        (folder / f"log.{ending}").write_text(text)
    return {ending: folder / f"log.{ending}" for ending in lines}


def read(path: Path, **wish: Any) -> Any:
    if path.suffix != ".out":
        return read_log(path, COLUMNS, **wish)
    pattern = r"at (?P<step>\d+) seen (?P<tokens>\S+) loss (?P<loss>\S+)"
    return read_log(path, None, "pattern", [{"pattern": pattern}], **wish)


def test_rows_of_every_format_read_what_facts_read(tmp_path: Path) -> None:
    for path in text_logs(tmp_path, ["4,194,304", "93.2K", "1.2B"]).values():
        reading = read(path)
        assert reading.rows["tokens"].tolist() == [4_194_304, 93_200, 1.2e9]
        assert reading.rounded == reading.rows["line"][1]
    for path in text_logs(tmp_path, ["4,194,304", "8,388,608"]).values():
        assert read(path).rounded is None


def test_a_decimal_comma_in_a_row_is_dropped_by_its_own_reason(tmp_path: Path) -> None:
    for path in text_logs(tmp_path, ["1,5M", "2.5M", "oops"]).values():
        dropped = read(path).dropped
        assert dropped["reason"].tolist() == ["doubtful_comma", "not_a_number"]
        assert read(path, decimal=",").rows["tokens"].tolist() == [1.5e6]
    assert "decimal: ','" in REASONS["doubtful_comma"]


def test_commas_of_two_kinds_in_one_table_lead_to_no_false_mend(tmp_path: Path) -> None:
    """Before, 3,565 was said to have no groups of three, and the mend for it broke 45,643,546."""
    path = tmp_path / "log.tsv"
    path.write_text("step\ttokens\tloss\n0\t45,643,546\t3,565\n1\t7\t2,8\n")
    assert read(path).dropped["reason"].tolist() == ["comma_in_loss", "doubtful_comma"]
    assert read(path, decimal=",").dropped["reason"].tolist() == ["comma_of_thousands"]
    path.write_text("step\ttokens\tloss\n0\t45,643,546\t3.565\n")  # as the first one mends it
    assert read(path).rows[["tokens", "loss"]].to_numpy().tolist() == [[45_643_546, 3.565]]
    path.write_text("step\ttokens\tloss\n0\t45643546\t3,565\n")  # and the second
    assert read(path, decimal=",").rows["loss"].tolist() == [3.565]
    assert "write it without them" in why_no_number("45,643,546", ",")


def test_a_decimal_point_where_the_study_says_a_comma_has_its_own_mend(tmp_path: Path) -> None:
    for path in text_logs(tmp_path, ["1,5M", "2.5M", "oops"]).values():
        dropped = read(path, decimal=",").dropped
        assert dropped["reason"].tolist() == ["doubtful_point", "not_a_number"]
    assert "take `decimal: ','` out of source" in REASONS["doubtful_point"]
    assert "take `decimal: ','` out" in why_no_number("2.5", ",")


def study(source: dict[str, Any]) -> dict[str, Any]:
    return {"file": "study.yaml", "source": source, "loss_split": "val"}


def test_a_table_of_runs_reads_them_too_and_says_what_is_rounded(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text(
        'run, params ,tokens,loss\na,5.4M,"1,300,000,000",3.2\nb,5400000,1.3B,3.1\nc,1,2,3\n'
    )
    columns = {"run": "run", "params": "params", "tokens": "tokens", "loss": "loss"}
    source = {"kind": "table", "columns": columns}
    files = [{"run": "", "path": "runs.csv", "sha256": "x"}]
    raw = ingest(study(source), files, tmp_path)
    assert raw.curves["tokens"].tolist() == [1.3e9, 1.3e9, 2]
    runs = raw.runs.set_index("run")
    assert runs["params"].tolist() == [5.4e6, 5.4e6, 1]
    assert runs["rounded"].fillna("").tolist() == ["runs.csv, line 2", "runs.csv, line 3", ""]


FIRST_ROWS = ("late", "clock_reset", "negative_lr", "beyond_int64")


def test_a_note_says_where_counts_are_rounded() -> None:
    runs = pd.DataFrame({"run": ["a", "b"], "rounded": ["x.csv, line 2", None]})
    for name in (
        "tokens_from",
        "source",
        "misread",
        "converted",
        "repeats",
        "begins",
        "begun_anew",
        *FIRST_ROWS,
    ):
        runs[name] = pd.Series([None, None], dtype="string")
    runs["spikes"], runs["status"], runs["flops_over_six_nd"] = 0, "kept", 1.0
    runs["given_over_six_nd"] = 1.0
    runs["family"], runs["params"], runs["tokens"], runs["loss"] = "dense", 1e7, 2e8, 3.0
    options = {"spikes": "keep", "bad_rows": "error"}
    sentences = notes(runs, {"cleaning": options, "flops_convention": "six_nd"})
    assert len(sentences) == 1
    assert sentences[0].startswith("in 1 run counts are written with K, M, B or T and so rounded")
    assert "x.csv, line 2" in sentences[0]


def test_a_decimal_comma_in_a_fact_names_its_line_and_the_option(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text('run,params\na,"1,300,000"\nb,"5,4M"\n')
    source = {"runs": {"table": "runs.csv", "columns": {"run": "run", "params": "params"}}}
    with pytest.raises(FloplineError, match=r"runs\.csv, line 3: params is '5,4M', .*decimal: ','"):
        run_facts(source, tmp_path)
    (tmp_path / "runs.csv").write_text('run,params\na,"1.300.000"\nb,"5,4M"\n')
    facts = run_facts({"runs": {**source["runs"], "decimal": ","}}, tmp_path)
    assert facts["params"].tolist() == [1.3e6, 5.4e6]


NAMES = ["1", "17171717171717171", "1717171717000000001", "29", "99999999999999999999"]


def names_files(folder: Path) -> dict[str, Path]:
    """Rows of runs that are called by digits, and one row of no run, which makes floats of all."""
    rows = [f'{{"id": {name}, "step": 1, "loss": 3.0}}\n' for name in NAMES]
    (folder / "log.jsonl").write_text('{"note": "begin"}\n' + "".join(rows))
    ids = pa.array([None, *map(int, NAMES[:-1])], pa.int64())
    table = {"id": ids, "step": [1] * len(ids), "loss": [3.0] * len(ids)}
    pq.write_table(pa.table(table), folder / "log.parquet")
    lines = "".join(f"{name},1,3.0\n" for name in NAMES)
    (folder / "log.csv").write_text(f"id,step,loss\n{lines}")
    return {ending: folder / f"log.{ending}" for ending in ("jsonl", "parquet", "csv")}


def test_names_of_digits_stay_as_they_stand(tmp_path: Path) -> None:
    columns = {"run": "id", "step": "step", "loss": "loss"}
    for ending, path in names_files(tmp_path).items():
        run_names = read_log(path, columns).rows["run"].tolist()
        assert run_names == (NAMES[:-1] if ending == "parquet" else NAMES), ending


def test_names_of_runs_of_a_table_are_digits_too(tmp_path: Path) -> None:
    lines = [{"id": int(n), "n": 10, "d": 5, "loss": 3.0, "seed": 2**62 + 1} for n in NAMES]
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    columns = {"run": "id", "params": "n", "tokens": "d", "loss": "loss", "seed": "seed"}
    files = [{"run": "", "path": "runs.jsonl", "sha256": "x"}]
    raw = ingest(study({"kind": "table", "columns": columns}), files, tmp_path)
    assert sorted(raw.runs["run"]) == sorted(NAMES)
    assert raw.runs["seed"].tolist() == [str(2**62 + 1)] * len(NAMES)
    assert FACTS["seed"] == "string"


def test_names_that_were_written_as_floats_stay_as_written(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(
        '{"id": 1.0, "loss": 3.0}\n{"id": 1.10, "loss": 3.0}\n{"id": "1", "loss": 3.0}\n'
    )
    rows = read_log(path, {"run": "id", "loss": "loss"}).rows
    assert rows["run"].tolist() == ["1.0", "1.10", "1"]


def test_names_whose_digits_are_lost_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pd.DataFrame({"id": [1.717171717e18, 2.0], "loss": [3.0, 2.0]}).to_parquet(path)
    with pytest.raises(FloplineError, match=r"column 'id' are floating-point numbers.*as text"):
        read_log(path, {"run": "id", "loss": "loss"})


@pytest.mark.parametrize("zero", ["-0", "-0.0", "-0e5"])
def test_minus_nought_is_nought_on_every_path(tmp_path: Path, zero: str) -> None:
    columns = {"tokens": "tokens", "loss": "loss", "lr": "lr"}
    record = f'{{"tokens": 10, "loss": 3.5, "lr": {zero}}}\n'
    files = {
        "quick.jsonl": record + record.replace(zero, "0.5"),
        "slow.jsonl": record + record.replace("3.5", "NaN"),
        "text.jsonl": record.replace(zero, f'"{zero}"'),
        "table.csv": f"tokens,loss,lr\n10,3.5,{zero}\n",
        "lines.log": f"step 1 tokens 10 loss 3.5 lr {zero}\nstep 2 tokens 20 loss 3 lr 0.5\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.write_text(text)
        first = read_log(path, columns).rows["lr"].iloc[0]
        assert first == 0
        assert not np.signbit(first), name
