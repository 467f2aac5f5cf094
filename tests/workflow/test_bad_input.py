"""Broken input: one clear sentence with file, place and mend, exit code 1, nothing half-written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.builders.decision_misfits import misfits
from tests.builders.studies import BUDGETS, write_study
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.workflow

LOG = "data/toy/logs/ash-1e+16-3.jsonl"


def study(checkout: Checkout, **changes: object) -> None:
    path = checkout.folder / "config/studies/toy.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes, sort_keys=False))


def edit_log(checkout: Checkout, line: int, change: Callable[[str], str]) -> None:
    log = checkout.folder / LOG
    lines = log.read_text().splitlines()
    lines[line - 1] = change(lines[line - 1])
    log.write_text("\n".join(lines) + "\n")


def missing_log(checkout: Checkout) -> None:
    (checkout.folder / LOG).unlink()


def truncated_line(checkout: Checkout) -> None:
    edit_log(checkout, 20, lambda line: line[:30])


def nan_loss(checkout: Checkout) -> None:
    edit_log(checkout, 7, lambda line: json.dumps({**json.loads(line), "loss": float("nan")}))


def text_for_number(checkout: Checkout) -> None:
    edit_log(checkout, 9, lambda line: json.dumps({**json.loads(line), "tokens": "many"}))


def wrong_column(checkout: Checkout) -> None:
    checkout.edit("config/studies/toy.yaml", "loss: loss", "loss: valid_loss")


def empty_study(checkout: Checkout) -> None:
    for log in (checkout.folder / "data/toy/logs").iterdir():
        log.unlink()


def empty_logs(checkout: Checkout) -> None:
    for log in (checkout.folder / "data/toy/logs").iterdir():
        log.write_text("")


def config_typo(checkout: Checkout) -> None:
    checkout.edit("config/config.yaml", "min_sizes", "min_size")


def study_typo(checkout: Checkout) -> None:
    checkout.edit("config/studies/toy.yaml", "families:", "famlies:")


def no_convention(checkout: Checkout) -> None:
    checkout.edit("config/studies/toy.yaml", "params_convention: total\n", "")


def unknown_family(checkout: Checkout) -> None:
    study(checkout, families={"ash": "Ash", "cedar": "Cedar"})


def bad_yaml(checkout: Checkout) -> None:
    checkout.edit("config/studies/toy.yaml", "families:", "families: [")


def duplicate_row(checkout: Checkout) -> None:
    table = checkout.folder / "data/toy/runs.csv"
    table.write_text(table.read_text() + table.read_text().splitlines()[1] + "\n")


def excluded_stranger(checkout: Checkout) -> None:
    study(checkout, exclude=[{"runs": ["nobody"], "reason": "not there"}])


def cut_gzip(checkout: Checkout) -> None:
    import gzip

    log = checkout.folder / LOG
    packed = gzip.compress(log.read_bytes())
    log.with_suffix(".jsonl.gz").write_bytes(packed[: len(packed) // 2])
    log.unlink()
    checkout.edit("data/toy/runs.csv", "ash-1e+16-3.jsonl", "ash-1e+16-3.jsonl.gz")
    checkout.edit("config/studies/toy.yaml", "logs/*.jsonl", "logs/*.jsonl*")


def run_table(checkout: Checkout, old: str, new: str) -> None:
    table = checkout.folder / "data/toy/runs.csv"
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new, 1))


def params_text(checkout: Checkout) -> None:
    run_table(checkout, "ash-1e+15-0.jsonl,ash,", "ash-1e+15-0.jsonl,ash,big")


def horizon_text(checkout: Checkout) -> None:
    table = checkout.folder / "data/toy/runs.csv"
    header, first, *rest = table.read_text().splitlines()
    cells = first.split(",")
    cells[header.split(",").index("horizon_tokens")] = "as planned"
    table.write_text("\n".join([header, ",".join(cells), *rest]) + "\n")


def cell_too_many(checkout: Checkout) -> None:
    table = checkout.folder / "data/toy/runs.csv"
    header, *rest = table.read_text().splitlines()
    table.write_text("\n".join([header, *(f"{row},1" for row in rest)]) + "\n")


def endless_target(checkout: Checkout) -> None:
    study(checkout, targets=[float("inf")])


def text_target(checkout: Checkout) -> None:
    study(checkout, targets=["much"])


def study_is_a_list(checkout: Checkout) -> None:
    (checkout.folder / "config/studies/toy.yaml").write_text("- title\n")


def utf16_log(checkout: Checkout) -> None:
    log = checkout.folder / LOG
    log.write_bytes(log.read_text().encode("utf-16"))


CASES = [
    (params_text, ["data/toy/runs.csv, line 2", "params is 'big", "no number", "correct it"]),
    (horizon_text, ["data/toy/runs.csv, line 2", "horizon_tokens is 'as planned'", "correct it"]),
    (cell_too_many, ["data/toy/runs.csv, line 2", "7 cells", "header names 6", "mend"]),
    (endless_target, ["config/studies/toy.yaml", "`targets.0` is inf", "finite number"]),
    (text_target, ["config/studies/toy.yaml", "entry 1 of `targets` is 'much'", "number"]),
    (study_is_a_list, ["config/studies/toy.yaml", "`key: value`", "a study needs a title"]),
    (utf16_log, [LOG, "UTF-16", "save it as UTF-8"]),
    (missing_log, ["data/toy/runs.csv", LOG, "does not exist", "restore the file"]),
    (truncated_line, [LOG, "line 20", "not a complete record", "bad_rows: drop"]),
    (nan_loss, [LOG, "line 7", "NaN", "bad_rows: drop"]),
    (text_for_number, [LOG, "line 9", "a number was expected", "bad_rows: drop"]),
    (wrong_column, ["data/toy/logs/", "no column 'valid_loss'", "source.columns.loss"]),
    (empty_study, ["config/studies/toy.yaml", "matches no file", "correct the path"]),
    (empty_logs, ["config/studies/toy.yaml", "none of the", "no log holds a row"]),
    (config_typo, ["config/config.yaml", "'min_size'", "did you mean 'min_sizes'"]),
    (study_typo, ["config/studies/toy.yaml", "'famlies'", "did you mean 'families'"]),
    (no_convention, ["config/studies/toy.yaml", "'params_convention' is missing"]),
    (unknown_family, ["family 'cedar'", "no kept run belongs to it"]),
    (bad_yaml, ["config/studies/toy.yaml", "line", "not valid YAML"]),
    (duplicate_row, ["data/toy/runs.csv", "stands there twice", "remove one row"]),
    (excluded_stranger, ["exclude", "'nobody'", "not in the data"]),
    (cut_gzip, ["ash-1e+16-3.jsonl.gz", "ends in the middle", "copy it again"]),
]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    checkout = Checkout.fresh(tmp_path_factory.mktemp("fresh") / "repo")
    write_study(checkout.folder, shards=1)
    # The digests of its code are remembered then, also by its copies.
    checkout.planned()
    return checkout


def refused(checkout: Checkout, words: list[str]) -> None:
    """The run fails with one sentence that holds all `words`, and leaves no result half-written."""
    done = checkout.snakemake()
    assert done.returncode == 1, done.stderr
    sentences = {line for line in done.stderr.splitlines() if line.startswith("flopline: ")}
    assert any(all(word in line for word in words) for line in sentences), done.stderr
    assert "Traceback" not in done.stderr
    assert not (checkout.folder / "results/toy/report.html").exists()
    assert not (checkout.folder / "results/toy/decision.csv").exists()


@pytest.mark.parametrize(("spoil", "words"), CASES, ids=[case[0].__name__ for case in CASES])
def test_broken_input(
    fresh: Checkout, tmp_path: Path, spoil: Callable[[Checkout], None], words: list[str]
) -> None:
    checkout = fresh.copy(tmp_path / "repo")
    spoil(checkout)
    refused(checkout, words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"budgets": BUDGETS[:1], "laws": ["isoflop"]},
            ["isoFLOP", "family 'ash'", "every run has 1e15 FLOPs", "2 other budgets or more"],
        ),
        ({"budgets": BUDGETS[:1], "sizes": 1}, ["the target", "10,000 times the largest run"]),
    ],
    ids=["single budget", "single run"],
)
def test_too_little_data(tmp_path: Path, changes: dict[str, object], words: list[str]) -> None:
    checkout = Checkout.fresh(tmp_path / "repo")
    write_study(checkout.folder, families=("ash",), shards=1, **changes)  # type: ignore[arg-type]
    refused(checkout, words)


def test_a_law_that_cannot_be_fitted_stops_no_other(tmp_path: Path) -> None:
    """One budget is no isoFLOP study and its tokens follow from its params; curves there are."""
    checkout = Checkout.fresh(tmp_path / "repo")
    write_study(checkout.folder, families=("ash",), shards=1, budgets=BUDGETS[:1])
    done = checkout.snakemake()
    assert done.returncode == 0, done.stderr
    decision = json.loads((checkout.folder / "results/toy/decision.json").read_text())
    assert decision["headline"] is None
    assert misfits(decision) == []
    assert "the envelope line is not followed since its 95 % interval of N goes from" in done.stderr
    sentence = "The isoFLOP law is not fitted: isoFLOP needs at least 3 compute budgets, but"
    assert sentence in done.stderr
    page = (checkout.folder / "results/toy/report.html").read_text()
    assert sentence in page
    table = (checkout.folder / "results/toy/decision.csv").read_text()
    assert ",isoflop,not fitted," in table


def test_bad_rows_can_be_dropped_and_are_counted(fresh: Checkout, tmp_path: Path) -> None:
    import pandas as pd

    checkout = fresh.copy(tmp_path / "repo")
    truncated_line(checkout)
    nan_loss(checkout)
    study(checkout, cleaning={"bad_rows": "drop"})
    done = checkout.snakemake("--until", "gather")
    assert done.returncode == 0, done.stderr
    clean = checkout.folder / "results/toy/clean"
    dropped = pd.read_parquet(clean / "dropped.parquet")
    assert sorted(zip(dropped["line"], dropped["reason"], strict=True)) == [
        (7, "loss_not_finite"),
        (20, "not_parsed"),
    ]
    runs = pd.read_parquet(clean / "runs.parquet").set_index("run")
    assert (runs["rows_in"] == runs["rows_kept"] + runs["rows_dropped"]).all()
    cut = runs.loc["ash-1e+16-3"]
    assert (cut["status"], cut["rows_dropped"]) == ("quarantined", 2)
    assert "unfinished" in cut["reason"]


def test_run_tables_of_spreadsheets_are_read(fresh: Checkout, tmp_path: Path) -> None:
    """A byte-order mark, a name that is not UTF-8 and 1.3M for a number change nothing else."""
    import pandas as pd

    checkout = fresh.copy(tmp_path / "repo")
    table = checkout.folder / "data/toy/runs.csv"
    header, first, *rest = table.read_text().splitlines()
    cells = first.split(",")
    cells[header.split(",").index("params")] = "1.3M"
    lines = "\n".join(
        [f"{header},note", f"{','.join(cells)},gr\xf6\xdfer", *(f"{r}," for r in rest)]
    )
    table.write_bytes(b"\xef\xbb\xbf" + lines.encode("latin-1"))
    done = checkout.snakemake("--until", "gather")
    assert done.returncode == 0, done.stderr
    runs = pd.read_parquet(checkout.folder / "results/toy/clean/runs.parquet").set_index("run")
    assert runs.loc[cells[0], "params"] == 1.3e6
    assert (runs["status"] == "kept").sum() == len(rest) + 1


def test_last_words_of_a_run(finished: Checkout, tmp_path: Path) -> None:
    checkout = finished.copy(tmp_path / "repo")
    (checkout.folder / "results/toy/report.html").unlink()
    done = checkout.snakemake()
    assert done.returncode == 0, done.stderr
    tail = done.stderr[done.stderr.index("Report: ") :].splitlines()
    assert tail[0].endswith("results/toy/report.html")
    assert "FLOPs" in tail[1]
    assert "tokens" in tail[2]
    assert "loss" in tail[3]
