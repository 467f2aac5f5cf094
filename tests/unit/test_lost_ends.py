"""A last loss that is not the end of its run, and tokens that do not count, set the run aside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flopline.clean import Cleaned, clean
from flopline.errors import FloplineError
from flopline.ingesting import ingest
from flopline.written_numbers import has_doubtful_comma, parse_plain
from tests.builders.raw_rows import study

STEPS = [100 * i for i in range(1, 11)]
STRICT = {"bad_rows": "error"}
COLUMNS = {"step": "step", "tokens": "tokens", "loss": "loss"}


def row(step: int, **more: Any) -> dict[str, Any]:
    return {"step": step, "tokens": 1e6 * step, "loss": 5 - step / 500, **more}


def jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(one) + "\n" for one in rows)


def taken(folder: Path, text: str, columns: Any = None, **changes: Any) -> Cleaned:
    """A log `a` among sound ones, cleaned."""
    (folder / "a.jsonl").write_text(text)
    (folder / "sound.jsonl").write_text(jsonl([row(step, val=3.0) for step in STEPS]))
    source = {"kind": "logs", "format": "jsonl", "columns": columns or COLUMNS}
    options = study(source=source, **changes)
    files: Any = [{"run": r, "path": f"{r}.jsonl", "sha256": r} for r in ("a", "sound")]
    facts = pd.DataFrame({"run": ["a", "sound"], "params": [1e8, 1e8]})
    return clean(ingest(options, files, folder), facts, options)


def why(found: Cleaned) -> str:
    runs = found.runs.set_index("run")
    assert runs.loc["sound", "status"] == "kept"
    assert (runs["rows_in"] == runs["rows_kept"] + runs["rows_dropped"]).all()
    return str(runs.loc["a", "reason"])


def test_a_name_that_changes_within_a_log_is_no_end(tmp_path: Path) -> None:
    renamed = [row(s) if s <= 500 else {"step": s, "train_loss": 3.0} for s in STEPS]
    reason = why(taken(tmp_path, jsonl(renamed)))
    assert "its last val loss stands at step 500 (a.jsonl, line 5)" in reason
    assert "up to step 1,000" in reason


def test_a_split_that_stops_before_another_is_no_end(tmp_path: Path) -> None:
    columns = {**COLUMNS, "loss": {"train": "loss", "val": "val"}}
    rows = [row(s, **({"val": 5.1 - s / 500} if s <= 400 else {})) for s in STEPS]
    assert "its last val loss stands at step 400" in why(taken(tmp_path, jsonl(rows), columns))


@pytest.mark.parametrize("every", [100, 200, 300])
def test_a_last_evaluation_short_of_the_end_is_one(tmp_path: Path, every: int) -> None:
    """Evaluations come seldom, and their last one need not be at the last step."""
    rows = [row(s) if s % every == 0 else {"step": s, "other": 1.0} for s in STEPS]
    assert why(taken(tmp_path, jsonl(rows))) == ""


def test_lines_at_the_end_that_cannot_be_read_are_no_end(tmp_path: Path) -> None:
    text = jsonl([row(s) for s in STEPS[:5]]) + "".join(f"{s}, 3.1\n" for s in STEPS[5:])
    found = taken(tmp_path, text, cleaning={"bad_rows": "drop"})
    assert "It ends in 5 lines that cannot be read (a.jsonl, from line 6 on)" in why(found)
    cut = jsonl([row(s) for s in STEPS]) + '{"step": 1100, "lo'
    assert why(taken(tmp_path, cut, cleaning={"bad_rows": "drop"})) == ""


@pytest.mark.parametrize("first", [0, 3])
def test_tokens_that_stand_still_count_nothing(tmp_path: Path, first: int) -> None:
    rows = [row(s, tokens=1e6 * min(i, first) + 1e6) for i, s in enumerate(STEPS)]
    reason = why(taken(tmp_path, jsonl(rows)))
    assert "Its tokens stand still" in reason
    assert "from_log" in reason


def test_several_processes_that_log_one_step_are_told(tmp_path: Path) -> None:
    rows = [row(s, loss=4 - s / 500 + rank / 100) for s in STEPS for rank in range(2)]
    found = taken(tmp_path, jsonl(rows))
    assert why(found) == ""
    (note,) = [note for note in found.notes if "as where several processes log" in note]
    assert "most apart at 1,000, 2 and 2.01" in note


def test_a_loss_has_no_thousands(tmp_path: Path) -> None:
    assert pd.isna(parse_plain("3,341"))
    assert pd.isna(parse_plain("3.341", ","))
    assert parse_plain("3,341", ",") == 3.341
    assert has_doubtful_comma("3,341", plain=True)
    with pytest.raises(FloplineError, match="decimal comma"):
        taken(tmp_path, jsonl([row(s, loss="3,341") for s in STEPS]), cleaning=STRICT)


def test_true_is_no_loss(tmp_path: Path) -> None:
    rows = [row(s, loss=True if s == 200 else 3.0) for s in STEPS]
    with pytest.raises(FloplineError, match=r"line 2: a number was expected.*'True'"):
        taken(tmp_path, jsonl(rows), cleaning=STRICT)


def named(folder: Path, logs: dict[str, list[dict[str, Any]]]) -> Cleaned:
    for name, rows in logs.items():
        (folder / f"{name}.jsonl").write_text(jsonl(rows))
    options = study(source={"kind": "logs", "format": "jsonl", "columns": COLUMNS})
    files: Any = [{"run": r, "path": f"{r}.jsonl", "sha256": r} for r in logs]
    return clean(
        ingest(options, files, folder), pd.DataFrame({"run": list(logs), "params": 1e8}), options
    )


def kept(found: Cleaned) -> list[str]:
    return found.runs["run"][found.runs["status"] == "kept"].tolist()


def test_logs_of_the_processes_of_one_run_count_once(tmp_path: Path) -> None:
    logs = {f"big-rank{r}": [row(s, loss=4 - s / 500 + r / 1e4) for s in STEPS] for r in range(3)}
    found = named(tmp_path, logs)
    assert kept(found) == ["big-rank0"]
    assert "of the run of which 'big-rank0' is" in found.runs["reason"].iloc[1]


def test_ranks_of_adapters_are_runs(tmp_path: Path) -> None:
    logs = {f"lora-rank{r}": [row(s, loss=4 - s / 500 + r / 1e4) for s in STEPS] for r in (4, 8)}
    assert kept(named(tmp_path, logs)) == ["lora-rank4", "lora-rank8"]


def test_logs_that_begin_alike_are_told(tmp_path: Path) -> None:
    rows = [row(s) for s in STEPS]
    found = named(
        tmp_path, {"a": rows, "a-backup": rows[:8], "b": [row(s, loss=3.0) for s in STEPS]}
    )
    (note,) = [note for note in found.notes if "begin with losses" in note]
    assert "2 runs" in note
    assert "'a' and 'a-backup'" in note


def table(folder: Path, losses: list[float], *names: str, **changes: Any) -> Cleaned:
    lines = [f"r{i},{1e8 * (i + 1):.0f},{2e9:.0f},{loss}" for i, loss in enumerate(losses)]
    lines += [f"{name},200000000,2000000000,2.5" for name in names]
    (folder / "t.csv").write_text("\n".join(["run,params,tokens,loss", *lines]) + "\n")
    columns = {name: name for name in ("run", "params", "tokens", "loss")}
    options = study(source={"kind": "table", "columns": columns}, **changes)
    files: Any = [{"run": "", "path": "t.csv", "sha256": "t"}]
    return clean(ingest(options, files, folder), None, options)


def test_a_row_that_sums_up_others_is_no_run(tmp_path: Path) -> None:
    assert kept(table(tmp_path, [3.0, 2.9], "mean", "Total", "maximal")) == ["maximal", "r0", "r1"]


@pytest.mark.parametrize(
    ("unit", "losses"),
    [("nats_per_token", [30.0, 25.0, 20.0]), ("bits_per_byte", [9.0, 8.5, 3.0])],
)
def test_losses_above_those_of_a_guess_are_in_another_unit(
    tmp_path: Path, unit: str, losses: list[float]
) -> None:
    with pytest.raises(FloplineError, match="worse than a guess in"):
        table(tmp_path, losses, loss_unit=unit)
    assert len(kept(table(tmp_path, [losses[0], 3.0, 2.9], loss_unit=unit))) == 3


def test_a_run_table_with_empty_cells_names_those_to_fill_in(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(jsonl([{"step": s, "loss": 5 - s / 500} for s in STEPS]))
    columns = {name: name for name in ("run", "params", "batch_tokens")}
    source = {
        "kind": "logs",
        "format": "jsonl",
        "columns": {"step": "step", "loss": "loss"},
        "runs": {"table": "runs.csv", "columns": columns},
    }
    options = study(source=source, cleaning=STRICT)
    files: Any = [{"run": "a", "path": "a.jsonl", "sha256": "a"}]
    for params, cells in ((None, "`params` and `batch_tokens`"), (1e8, "`batch_tokens`")):
        facts = pd.DataFrame({"run": ["a"], "params": [params], "batch_tokens": [None]})
        fill = f"fill in {cells} in the row of 'a' of runs.csv"
        with pytest.raises(FloplineError, match=fill):
            clean(
                ingest(options, files, tmp_path),
                facts.astype({"params": float, "batch_tokens": float}),
                options,
            )


def test_a_rule_for_a_run_that_there_is_not_names_file_and_mend(tmp_path: Path) -> None:
    rule = {"runs": ["r99"], "reason": "x"}
    with pytest.raises(FloplineError, match=r"\.yaml: exclude: .*'r99'.* \(a, sound\): correct"):
        taken(tmp_path, jsonl([row(step, val=3.0) for step in STEPS]), exclude=[rule])
