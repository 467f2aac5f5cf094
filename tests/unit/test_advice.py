"""What a sentence advises works when it is followed, and it names what stands in the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flopline.clean import Cleaned, clean
from flopline.drafting.survey import survey
from flopline.errors import FloplineError
from flopline.ingesting import ingest
from flopline.logs.readers import read_log
from flopline.study import read_yaml
from flopline.tables import column_map, read_table, run_facts
from tests.builders.raw_rows import study

COLUMNS = {"step": "step", "tokens": "tokens", "loss": {"train": "train", "val": "val"}}
SPARSE: list[dict[str, Any]] = [
    {"step": 1, "tokens": 10_000.0, "train": 5.0},
    {"step": 1, "val": 5.1},
    {"step": 2, "val": 4.1},
    {"step": 2, "tokens": 20_000.0, "train": 4.0},
    {"step": 3, "val": 3.1},
]


def write(path: Path, rows: list[dict[str, Any]], ending: str) -> Path:
    path = path / f"a.{ending}"
    if ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows, schema=pa.Table.from_pandas(
            pd.DataFrame(rows)).schema.remove_metadata()), path)  # fmt: skip
    else:
        separator = "," if ending == "csv" else "\t"
        pd.DataFrame(rows).to_csv(path, sep=separator, index=False)
    return path


@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv", "parquet"])
@pytest.mark.parametrize("only", [None, "val"])
def test_tokens_are_those_of_the_same_step(tmp_path: Path, ending: str, only: str | None) -> None:
    path = write(tmp_path, SPARSE, ending)
    columns = {**COLUMNS, "loss": "val"} if only else COLUMNS
    rows = read_log(path, columns).rows
    val = rows if only else rows[rows["split"] == "val"]
    assert val["tokens"].fillna(0).tolist() == [10_000, 20_000, 0]


def test_tokens_of_a_pattern_are_those_of_the_same_step(tmp_path: Path) -> None:
    path = tmp_path / "a.out"
    path.write_text("1 t=10000 5.0\neval 1 5.1\n2 t=20000 4.0\neval 2 4.1\n")
    patterns = [
        {"pattern": r"^(?P<step>\d) t=(?P<tokens>\d+) (?P<loss>\S+)", "split": "train"},
        {"pattern": r"^eval (?P<step>\d) (?P<loss>\S+)", "split": "val"},
    ]
    rows = read_log(path, None, "pattern", patterns).rows
    assert rows["tokens"].tolist() == [10_000, 10_000, 20_000, 20_000]


def test_tokens_that_a_step_tells_in_two_ways_are_not_taken(tmp_path: Path) -> None:
    rows = [*SPARSE, {"step": 1, "tokens": 30_000.0, "train": 5.0}]
    found = read_log(write(tmp_path, rows, "jsonl"), {**COLUMNS, "loss": "val"}).rows
    assert found["tokens"].isna().tolist() == [True, False, True]


def test_tokens_of_another_run_are_not_taken(tmp_path: Path) -> None:
    rows = [{**row, "run": "b" if "val" in row else "a"} for row in SPARSE]
    found = read_log(write(tmp_path, rows, "csv"), {**COLUMNS, "run": "run"}).rows
    assert found["tokens"].isna().tolist() == ["val" in row for row in SPARSE]


def cleaned(folder: Path, rows: list[dict[str, Any]] | str, **facts: Any) -> Cleaned:
    path = folder / "a.jsonl"
    if isinstance(rows, str):
        path.write_text(rows)
    else:
        write(folder, rows, "jsonl")
    options = study(source={"columns": COLUMNS}, cleaning={"bad_rows": "error"})
    files = [{"run": "a", "path": "a.jsonl", "sha256": "x"}]
    table = pd.DataFrame({"run": ["a"], "family": "ash", "params": 1e6, **facts})
    return clean(ingest(options, files, folder), table, options)


def test_batch_tokens_are_the_way_out_where_a_log_tells_no_tokens(tmp_path: Path) -> None:
    with pytest.raises(FloplineError, match="give the `batch_tokens` of each run"):
        cleaned(tmp_path, SPARSE)
    assert cleaned(tmp_path, SPARSE, batch_tokens=10_000.0).runs["status"].tolist() == ["kept"]


def test_a_number_error_names_column_and_cell(tmp_path: Path) -> None:
    rows = [{**row, "tokens": 1e4} for row in SPARSE]
    rows[1]["tokens"] = "many"
    with pytest.raises(FloplineError, match=r"a\.jsonl, line 2: a number .*: tokens is 'many'"):
        cleaned(tmp_path, rows)


def test_a_line_that_is_not_read_is_quoted(tmp_path: Path) -> None:
    text = '{"step": 1, "tokens": 1e4, "val": 3, "train": 3}\n{"step": 2, "tok\n'
    with pytest.raises(FloplineError, match=r'line 2: the line is .*: \'{"step": 2, "tok\''):
        cleaned(tmp_path, text)


def test_a_number_error_of_a_table_names_column_and_cell(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("run,n,d,loss\na,1e6,1e9,3\nb,1e6,lots,3\n")
    source = {
        "kind": "table",
        "columns": {"run": "run", "params": "n", "tokens": "d", "loss": "loss"},
    }
    options = study(source=source, cleaning={"bad_rows": "error"})
    raw = ingest(options, [{"run": "", "path": "t.csv", "sha256": "x"}], tmp_path)
    with pytest.raises(FloplineError, match=r"t\.csv, line 3: .*: d is 'lots'"):
        clean(raw, None, options)


@pytest.mark.parametrize(("mark", "name"), [("\t", "tabs"), ("|", "bars")])
def test_another_separator_is_named_with_its_mend(tmp_path: Path, mark: str, name: str) -> None:
    path = tmp_path / "a.csv"
    text = "step;loss\n1;3.5\n2;3.0\n".replace(";", mark)
    path.write_text(text)
    with pytest.raises(FloplineError, match=f"parted by {name}") as error:
        read_log(path, {"step": "step", "loss": "loss"})
    with pytest.raises(FloplineError, match=f"parted by {name}"):
        column_map(read_table(path)[0], {"loss": "loss"}, path, "source.columns")
    if mark == "\t":
        assert "`format: tsv`" in str(error.value)
        assert len(read_log(path, {"step": "step", "loss": "loss"}, "tsv").rows) == 2
    path.write_text(text.replace(mark, ","))
    assert len(read_log(path, {"step": "step", "loss": "loss"}).rows) == 2


def test_decimal_commas_between_semicolons_wait_for_the_study_and_a_draft_says_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("name;params;loss\na;1000000;3,5\nb;2000000;3,25\n")
    columns = {"run": "name", "params": "params", "loss": "loss"}
    assert column_map(read_table(path)[0], columns, path, "source.columns").misread == (
        2,
        "loss is '3,5'",
    )
    (table,) = survey(tmp_path, tmp_path).tables
    assert table.decimal == ","
    mapped = column_map(read_table(path)[0], columns, path, "source.columns", table.decimal)
    assert mapped.rows["loss"].tolist() == [3.5, 3.25]


def test_a_run_table_with_tabs_wants_their_ending(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("run\tn\na\t1e6\n")
    source = {"runs": {"table": "runs.csv", "columns": {"run": "run", "params": "n"}}}
    with pytest.raises(FloplineError, match=r"give it the ending \.tsv"):
        run_facts(source, tmp_path)
    (tmp_path / "runs.csv").rename(tmp_path / "runs.tsv")
    source["runs"]["table"] = "runs.tsv"
    assert run_facts(source, tmp_path)["params"].tolist() == [1e6]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_log_without_the_loss_of_the_others_is_a_run_without_it(
    tmp_path: Path, ending: str
) -> None:
    path = write(tmp_path, [{"step": 1, "tokens": 1e4, "train": 5.0}], ending)
    with pytest.raises(FloplineError, match=r"no column 'val' .* `optional: \[loss\]` in source"):
        read_log(path, COLUMNS)
    found = read_log(path, COLUMNS, optional=["loss"])
    assert (len(found.rows), found.rows_in) == (1, 1)
    none = read_log(path, {**COLUMNS, "loss": "val"}, optional=["loss"])
    assert none.dropped["reason"].tolist() == ["no_loss"]


LINES = "".join(
    f"step {i} loss: {5 - i / 10} |\nstep {i} eval loss: {5 - i / 20}x |\n" for i in range(1, 9)
)
READ = {
    "kind": "logs",
    "format": "pattern",
    "paths": "*.log",
    "pattern": [
        {"pattern": r"^step (?P<step>\d+) loss: (?P<loss>\S+) ", "split": "train"},
        {"pattern": r"^step (?P<step>\d+) eval loss: (?P<loss>\S+) ", "split": "val"},
    ],
}  # fmt: skip


def logs_cleaned(folder: Path, **changes: Any) -> Cleaned:
    (folder / "a.log").write_text(LINES)
    options = study(source=READ, **changes)
    raw = ingest(options, [{"run": "a", "path": "a.log", "sha256": "x"}], folder)
    facts = pd.DataFrame({"run": ["a"], "params": [1e8], "batch_tokens": [1e6]})
    return clean(raw, facts, options)


def test_a_split_of_which_no_row_is_left_stops_the_run(tmp_path: Path) -> None:
    dropping = {"cleaning": {"bad_rows": "drop"}}
    with pytest.raises(FloplineError, match="no row of the split 'val'") as error:
        logs_cleaned(tmp_path, loss_split="train", **dropping)
    assert "source.pattern" in str(error.value)
    assert "rows of train" in str(error.value)


def test_lines_of_one_shape_that_none_can_read_are_counted(tmp_path: Path) -> None:
    rows = [{"step": i, "tokens": 1e6 * i, "loss": 5.0 - i} for i in range(3)]
    text = "".join(f"{json.dumps(row)}\nGPU {row['step']}: 61 C, 412 W\n" for row in rows)
    (tmp_path / "a.jsonl").write_text(text)
    columns = {name: name for name in ("step", "tokens", "loss")}
    options = study(source={"kind": "logs", "format": "jsonl", "columns": columns})
    raw = ingest(options, [{"run": "a", "path": "a.jsonl", "sha256": "x"}], tmp_path)
    (sentence,) = raw.runs["misread"]
    assert "line 2: 'GPU 0: 61 C, 412 W'" in sentence
    assert "none of the 3 lines like it, 'GPU #: # C, # W', can be read" in sentence


def test_a_sentence_is_of_the_run_that_tells_most(tmp_path: Path) -> None:
    rows = [
        {"step": s, "tokens": 1e6 * s, "loss": 5 - s / 4 + seed / 10}
        for seed in range(2)
        for s in range(1, 9)
    ]
    path = write(tmp_path, rows, "jsonl")
    options = study(source={"columns": {n: n for n in ("step", "tokens", "loss")},
                            "runs": {"table": "runs.csv"}})  # fmt: skip
    raw = ingest(options, [{"run": "seeds", "path": path.name, "sha256": "x"}], tmp_path)
    facts = pd.DataFrame({"run": ["0", "1", "seeds"], "params": [1e8, 1e8, 1e8]})
    with pytest.raises(FloplineError, match=r"run 'seeds'.*holds 2 attempts"):
        clean(raw, facts, options)


@pytest.mark.parametrize(
    ("header", "way"),
    [
        ("step|tokens|loss", "parted by bars"),
        ("sep=,\nstep,tokens,loss", "by which Excel knows what parts cells: take it out"),
    ],
)
def test_a_header_that_is_none_is_told_alone(tmp_path: Path, header: str, way: str) -> None:
    (tmp_path / "a.csv").write_text(f"{header}\n1;2;3\n")
    with pytest.raises(FloplineError, match=way) as error:
        read_log(tmp_path / "a.csv", {"step": "step", "tokens": "tokens", "loss": "loss"}, "csv")
    assert "optional" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("a:\n\tb: 1\n", "line 2 .*indent with blanks, since YAML takes no tabs"),
        (
            "a:\n  b: 1\n   c: 2\n",
            "line 3 .*indent keys of one group alike, and put such a text",
        ),
        ("title: t: u\n", "line 1 .*a text holds a colon: .* put such a text in quotes"),
        ("a: [1, 2\nb: 3\n", r"close what is opened \(\[ \]"),
    ],
)
def test_yaml_that_is_none_says_how_to_mend_it(tmp_path: Path, text: str, mend: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(FloplineError, match=mend):
        read_yaml(path)


def test_a_spreadsheet_is_to_be_saved_as_csv(tmp_path: Path) -> None:
    path = tmp_path / "runs.xlsx"
    path.write_bytes(b"PK\x03\x04" + bytes(200))
    with pytest.raises(FloplineError, match=r"runs\.xlsx is a spreadsheet.* save its sheet as CSV"):
        read_table(path)
    ((name, reason),) = survey(tmp_path, tmp_path).left
    assert name == "runs.xlsx"
    assert "save its sheet as CSV" in reason


def test_two_runs_of_one_name_are_told_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("run,params,tokens,loss\na,1e6,1e8,3\nb,2e6,1e8,2.9\na,3e6,1e8,2.8\n")
    columns = {name: name for name in ("run", "params", "tokens", "loss")}
    source = {"kind": "table", "columns": columns}
    made: Any = {"file": "t.yaml", "loss_split": "val", "families": {"a": "A"}, "source": source}
    with pytest.raises(FloplineError, match=r"run 'a' has 1e\+06 params on line 2 and 3e\+06 on"):
        ingest(made, [{"run": "", "path": str(path), "sha256": ""}], tmp_path)


def test_a_draft_passes_over_what_flopline_itself_keeps_in_a_project(tmp_path: Path) -> None:
    """`flopline draft .` named the project's own config among the files that are no logs."""
    for name in ("config/config.yaml", "results/mine/decision.csv", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("study: mine\n")
    assert [name for name, _ in survey(tmp_path, tmp_path).left] == ["notes.txt"]
