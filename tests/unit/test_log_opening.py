"""Opening logs: four compressions, bad bytes, and files that are not what they seem."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.errors import FloplineError
from flopline.logs.formats import FORMATS
from flopline.logs.opening import LONGEST_LINE, text_lines
from flopline.logs.readers import read_log
from flopline.tables import read_table

TEXT = "".join(f"s:{step} trl:{9 - step / 1000:.4f}\n" for step in range(3000)).encode()


def zst(data: bytes) -> bytes:
    packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return packed


PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zst,
}


@pytest.mark.parametrize("ending", PACKED)
def test_compressed_logs_are_read_by_what_they_are(tmp_path: Path, ending: str) -> None:
    for name in (f"main.log{ending}", "main.log"):
        path = tmp_path / name
        path.write_bytes(PACKED[ending](TEXT))
        assert len(read_log(path).rows) == 3000


@pytest.mark.parametrize("ending", PACKED)
def test_streams_of_several_parts_are_read_whole(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"main.log{ending}"
    path.write_bytes(PACKED[ending](TEXT) + PACKED[ending](TEXT))
    assert len(read_log(path).rows) == 6000


@pytest.mark.parametrize("ending", PACKED)
def test_cut_streams_are_told(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"main.log{ending}"
    packed = PACKED[ending](TEXT)
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(FloplineError, match=rf"main\.log\{ending} ends in the middle .*copy it"):
        read_log(path, format_name="llmc")


@pytest.mark.parametrize("ending", PACKED)
def test_a_damaged_stream_is_told(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"main.log{ending}"
    packed = PACKED[ending](TEXT)
    path.write_bytes(packed[:20] + b"\x55" * 200 + packed[220:])
    with pytest.raises(FloplineError, match=rf"main\.log\{ending} (ends in|cannot be read)"):
        read_log(path, format_name="llmc")


@pytest.mark.parametrize("ending", PACKED)
def test_a_wrong_ending_is_told(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"main.log{ending}"
    path.write_bytes(TEXT)
    with pytest.raises(FloplineError, match=rf"is named \{ending} but is not compressed that way"):
        read_log(path)


def test_bad_bytes_do_not_stop_a_text_log(tmp_path: Path) -> None:
    path = tmp_path / "main.log"
    path.write_bytes(b"\xff\xfe\x00junk\n" + TEXT + b"s:3000 trl:\xff\n")
    reading = read_log(path)
    assert len(reading.rows) == 3000
    assert reading.rows["line"][0] == 2
    assert reading.dropped[["line", "reason"]].to_numpy().tolist() == [[3002, "not_a_number"]]


def test_a_line_without_end_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"a\n" + b"x" * (2 * LONGEST_LINE + 5) + b"\nb\nc")
    lines = list(text_lines(path))
    assert [(n, len(text), complete) for n, text, complete in lines] == [
        (1, 1, True),
        (2, LONGEST_LINE, True),
        (3, 1, True),
        (4, 1, False),
    ]


def test_a_missing_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(FloplineError, match=r"gone\.log does not exist"):
        read_log(tmp_path / "gone.log")


@pytest.mark.parametrize("name", ["run.log", "run.jsonl", "run.csv", "run.csv.gz"])
def test_an_empty_file_holds_no_row(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"") if name.endswith("gz") else b"")
    assert read_log(path, {"loss": "loss"}).rows_in == 0


def test_an_empty_file_of_every_format_is_no_row_or_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_bytes(b"")
    for name in FORMATS:
        patterns = [{"pattern": "(?P<loss>x)"}]
        assert read_log(path, {"loss": "loss"}, name, patterns).rows_in == 0, name


def test_binary_junk_is_told(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_bytes(bytes(range(256)) * 500)
    with pytest.raises(FloplineError, match=r"run\.log: no known log format fits this file"):
        read_log(path)


def test_a_folder_that_is_no_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(FloplineError, match="no known log format fits this folder"):
        read_log(tmp_path)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("megatron", "holds no row of the format megatron but looks like llmc"),
        ("torchtitan", "holds no row of the format torchtitan but looks like llmc"),
        ("parquet", "is not a whole Parquet file"),
        ("hf_trainer", "is no complete JSON"),
        ("wandb_offline", "does not begin like a .wandb file"),
        ("csv", "has no column 'loss'"),
    ],
)
def test_a_wrong_declared_format_is_told(tmp_path: Path, declared: str, words: str) -> None:
    path = tmp_path / "run.log"
    path.write_bytes(TEXT)
    columns = None if declared in ("megatron", "torchtitan", "hf_trainer") else {"loss": "loss"}
    with pytest.raises(FloplineError, match=words):
        read_log(path, columns, declared)


def test_a_format_that_needs_columns_says_so(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    path.write_text("step,loss\n1,2\n")
    with pytest.raises(FloplineError, match=r"run\.csv is in the format csv, which does not say"):
        read_log(path)


COLUMNS: dict[str, Any] = {"loss": "loss", "step": "step"}


@given(st.binary(max_size=300), st.sampled_from(sorted(FORMATS)))
def test_any_bytes_in_any_format_give_rows_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "run.log"
    path.write_bytes(data)
    columns = None if FORMATS[name].columns.of_format else COLUMNS
    try:
        reading = read_log(path, columns, name, [{"pattern": r"(?P<step>\d)(?P<loss>.)"}])
    except FloplineError as error:
        sentence = str(error)
        assert str(path) in sentence
        return
    assert reading.rows_in == len(reading.rows) + len(reading.dropped)


@pytest.mark.parametrize("name", ["a.csv.zst", "a.tsv.xz", "a.jsonl.bz2", "a.parquet"])
def test_tables_of_runs_may_be_compressed_too(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("parquet"):
        import pandas as pd

        pd.DataFrame({"a": ["1"], "b": ["2"]}).to_parquet(path)
    else:
        text = {"csv": "a,b\n1,2\n", "tsv": "a\tb\n1\t2\n", "jsonl": '{"a": "1", "b": "2"}\n'}
        _, kind, ending = name.split(".")
        path.write_bytes(PACKED[f".{ending}"](text[kind].encode()))
    table, _ = read_table(path)
    assert table[["a", "b"]].to_numpy().tolist() == [["1", "2"]]
