"""Reading JSON lines and tables: every row is kept or named."""

from __future__ import annotations

import codecs
import gzip
import json
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.errors import FloplineError
from flopline.logs.readers import read_log
from flopline.tables import read_table

COLUMNS: dict[str, Any] = {"step": "step", "tokens": "tokens", "loss": "loss"}


def read(folder: Path, text: str | bytes, columns: dict[str, Any] = COLUMNS) -> Any:
    path = folder / "log.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_log(path, columns)


def line(step: int, loss: Any, **more: Any) -> str:
    return json.dumps({"step": step, "tokens": 10 * step, "loss": loss, **more}) + "\n"


def test_rows_and_lines(tmp_path: Path) -> None:
    reading = read(tmp_path, line(1, 3.0) + line(2, 2.5))
    assert reading.rows["loss"].tolist() == [3.0, 2.5]
    assert reading.rows["line"].tolist() == [1, 2]
    assert reading.dropped.empty


def test_blank_lines_do_not_shift_the_count(tmp_path: Path) -> None:
    reading = read(tmp_path, "\n" + line(1, 3.0) + "\n\n" + line(2, 2.5) + "{broken\n")
    assert reading.rows["line"].tolist() == [2, 5]
    assert reading.dropped["line"].tolist() == [6]
    assert reading.dropped["reason"].tolist() == ["not_parsed"]


def test_nan_is_kept_for_cleaning_and_null_is_no_loss(tmp_path: Path) -> None:
    reading = read(tmp_path, line(1, math.nan) + line(2, None) + line(3, math.inf) + line(4, 2.0))
    assert reading.rows["line"].tolist() == [1, 3, 4]
    assert math.isnan(reading.rows["loss"][0])
    assert reading.rows["loss"][1] == math.inf
    assert reading.dropped[["line", "reason"]].to_numpy().tolist() == [[2, "no_loss"]]


def test_null_without_any_nan_in_the_file(tmp_path: Path) -> None:
    reading = read(tmp_path, line(1, 2.0) + line(2, None))
    assert reading.rows["line"].tolist() == [1]
    assert reading.dropped["reason"].tolist() == ["no_loss"]


def test_numbers_as_text_are_numbers_and_other_text_is_not(tmp_path: Path) -> None:
    reading = read(tmp_path, line(1, "2.5") + line(2, "nan") + line(3, "oops") + line(4, 1.0))
    assert reading.rows["line"].tolist() == [1, 2, 4]
    assert reading.rows["loss"][0] == 2.5
    assert reading.dropped[["line", "reason"]].to_numpy().tolist() == [[3, "not_a_number"]]


def test_one_column_per_split(tmp_path: Path) -> None:
    columns = {"step": "step", "tokens": "tokens", "loss": {"train": "loss", "val": "eval"}}
    reading = read(tmp_path, line(1, 3.0) + line(2, 2.0, eval=2.2), columns)
    assert sorted(reading.rows[["split", "line", "loss"]].to_numpy().tolist()) == [
        ["train", 1, 3.0],
        ["train", 2, 2.0],
        ["val", 2, 2.2],
    ]


def test_nested_columns_on_both_paths(tmp_path: Path) -> None:
    columns = {"loss": "metrics.loss", "tokens": "tokens"}
    good = '{"tokens": 1, "metrics": {"loss": 2.0}}\n'
    assert read(tmp_path, good, columns).rows["loss"].tolist() == [2.0]
    assert read(tmp_path, good + "{cut", columns).rows["loss"].tolist() == [2.0]


def test_bad_bytes_survive(tmp_path: Path) -> None:
    reading = read(tmp_path, line(1, 3.0).encode() + b'{"loss": "\xff\xfe"\n' + b"\x00\x01\n")
    assert len(reading.rows) == 1
    assert reading.dropped["reason"].tolist() == ["not_parsed", "not_parsed"]


def test_unknown_column_is_named_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(FloplineError, match=r"no column 'x' \(source.columns.loss.*step, tokens"):
        read(tmp_path, line(1, 2.0), COLUMNS | {"loss": "x"})


def test_cut_gzip_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress(line(1, 2.0).encode() * 1000)[:-20])
    with pytest.raises(FloplineError, match="ends in the middle"):
        read_log(path, COLUMNS)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_log_may_lack_a_column_that_is_optional_and_no_other(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"log.{ending}"
    table = pd.DataFrame({"tokens": [10, 20], "loss": [3.0, 2.0]})
    if ending == "parquet":
        table.to_parquet(path)
    elif ending == "csv":
        table.to_csv(path, index=False)
    else:
        table.to_json(path, orient="records", lines=True)
    columns = {"step": "_step", "tokens": "tokens", "loss": "loss"}
    reading = read_log(path, columns, optional=["step", "tokens"])
    assert reading.rows["tokens"].tolist() == [10.0, 20.0]
    assert "step" not in reading.rows or reading.rows["step"].isna().all()
    for optional in ([], ["tokens"]):
        with pytest.raises(FloplineError, match="has no column '_step'"):
            read_log(path, columns, optional=optional)


def test_unknown_format_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.out"
    path.write_text("iteration 5 loss 3.2\n")
    with pytest.raises(FloplineError, match="no known log format"):
        read_log(path, COLUMNS)


values = st.one_of(
    st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=5),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers()),
)  # fmt: skip


@given(st.lists(st.one_of(st.fixed_dictionaries({"loss": values, "tokens": values}), values)))
def test_no_row_is_lost(tmp_path_factory: pytest.TempPathFactory, records: list[Any]) -> None:
    text = "".join(json.dumps(record) + "\n" for record in records)
    path = tmp_path_factory.mktemp("fuzz") / "log.jsonl"
    path.write_text(text)
    lines = sum(1 for part in text.split("\n") if part.strip())
    try:
        reading = read_log(path, {"loss": "loss", "tokens": "tokens"})
    except FloplineError as error:
        refusal = str(error)
        assert "has no column" in refusal
        return
    assert reading.rows_in == lines
    assert len(set(reading.rows["line"]) | set(reading.dropped["line"])) == lines


fine = st.fixed_dictionaries(
    {"loss": st.none() | st.floats(0.1, 9), "step": st.none() | st.integers(0, 2**70),
     "split": st.none() | st.sampled_from(["train", "val"]), "eval": st.none() | st.floats(1, 2)}
)  # fmt: skip


@given(
    st.lists(fine, min_size=1, max_size=20),
    st.sampled_from(["loss", {"train": "loss", "val": "eval"}]),
    st.booleans(),
)
def test_fast_and_careful_parsing_agree(
    tmp_path_factory: pytest.TempPathFactory, records: list[Any], loss: Any, splits: bool
) -> None:
    columns = {"loss": loss, "step": "step"}
    if splits and isinstance(loss, str):
        columns["split"] = "split"
    path = tmp_path_factory.mktemp("both") / "log.jsonl"
    text = "".join(json.dumps(record) + "\n" for record in records)
    path.write_text(text)
    fast = read_log(path, columns)
    # A blank line at the top is read line by line and shifts the count by one.
    path.write_text("\n" + text)
    careful = read_log(path, columns)
    for one, other in ((fast.rows, careful.rows), (fast.dropped, careful.dropped)):
        shifted = one.assign(line=one["line"] + 1)[list(other.columns)].astype(object)
        same = shifted.isna() & other.isna()
        pd.testing.assert_frame_equal(
            shifted.mask(same, -1.0), other.astype(object).mask(same, -1.0), check_dtype=False
        )


def test_long_lines_and_huge_numbers(tmp_path: Path) -> None:
    long = line(1, 2.5, note="x" * 3_000_000)
    huge = '{"step": 3, "loss": 1, "tokens": 1' + 400 * "0" + "}\n"
    reading = read(tmp_path, long + line(2, 2.0) + huge)
    assert reading.rows["step"].tolist() == [1, 2, 3]
    assert reading.rows["tokens"].tolist()[2] == math.inf


def test_many_blocks_are_read_in_order(tmp_path: Path) -> None:
    reading = read(tmp_path, "".join(line(step, 2.0 + 1 / step) for step in range(1, 40_001)))
    assert reading.rows["step"].tolist() == list(range(1, 40_001))
    assert reading.rows["line"].tolist() == list(range(1, 40_001))


@pytest.mark.parametrize("odd", ["[1, 2]", "3", '"text"', "null", "{}", " {}", "{"])
def test_lines_that_are_no_objects_crash_nothing(tmp_path: Path, odd: str) -> None:
    """Arrow's own reader may crash on some of them, so that they must never reach it."""
    reading = read(tmp_path, line(1, 3.0) + odd + "\n" + line(2, 2.5))
    assert reading.rows["line"].tolist() == [1, 3]
    assert reading.rows_in == 3


@given(st.binary(max_size=400))
def test_any_bytes_give_rows_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "log.jsonl"
    path.write_bytes(data)
    try:
        reading = read_log(path, COLUMNS, "jsonl")
    except FloplineError as error:
        sentence = str(error)
        assert str(path) in sentence
        return
    lines = re.split(rb"\r\n|\r|\n", data.removeprefix(codecs.BOM_UTF8))
    assert reading.rows_in == sum(1 for line in lines if line.strip())


def test_csv_keeps_text_and_counts_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('name,n,loss\n007,1e9,2.5\n\n"a, b",,nan\n')
    table, _ = read_table(path)
    assert table["name"].tolist() == ["007", "a, b"]
    assert table["line"].tolist() == [2, 4]
    assert pd.isna(table["n"].iloc[1])
    assert table["loss"].iloc[1] == "nan"


def test_csv_with_a_surplus_cell_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("name,n\na,1\nb,2,3\n")
    with pytest.raises(FloplineError, match="begins with b, 2, 3 has 3 cells"):
        read_table(path)


def test_broken_parquet_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(FloplineError, match="not a Parquet file"):
        read_table(path)
