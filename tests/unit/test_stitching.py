"""Restarts: several files of one run, rows logged twice, and whether both agree."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopline.clean import Cleaned, clean
from flopline.clean.stitching import stitch
from flopline.errors import FloplineError
from flopline.ingesting import FACTS, FILES, RAW_CURVES, Ingested, ingest
from flopline.schema import DROPPED, conform
from tests.builders.raw_rows import cleaned, raw, steps, study

OLMO = "olmo_ladder/ladder-runs"
C4 = "eval/c4_en-validation/CrossEntropyLoss"


def pieces(*files: list[dict[str, Any]], sha256: tuple[str, ...] = (), **changes: Any) -> Cleaned:
    """Run `a` from several files f0, f1, ... (and a good run beside it), cleaned."""
    parts, runs = [], []
    good = [{**r, "run": "good"} for r in steps(1, 2)]
    for number, rows in enumerate([*files, good]):
        run = "good" if rows is good else "a"
        piece = 0 if rows is good else number
        table = pd.DataFrame(rows).assign(run=run, piece=piece)
        parts.append(table.assign(split=table.get("split", "val"), line=range(1, len(rows) + 1)))
        digest = sha256[number] if number < len(sha256) else f"digest {number}"
        runs.append(
            {"run": run, "piece": piece, "source": f"f{number}", "sha256": digest,
             "rows_in": len(rows)}
        )  # fmt: skip
    curves = pd.concat(parts, ignore_index=True)
    # The good run has no tokens of its own where run `a` has them.
    known = curves.get("tokens", pd.Series(float("nan"), index=curves.index))
    curves["tokens"] = known.where(known.notna(), curves["step"] * 100.0)
    ingested = Ingested(
        conform(curves, RAW_CURVES),
        conform(pd.DataFrame(), DROPPED),
        conform(pd.DataFrame(runs), FACTS | FILES),
    )
    table = pd.DataFrame({"run": ["a", "good"], "family": "ash", "params": 1000.0})
    return clean(ingested, table, study(**changes))


def curve_of(result: Cleaned, run: str = "a") -> pd.DataFrame:
    return result.curves[result.curves["run"] == run]


def test_second_file_takes_over_where_it_begins() -> None:
    result = pieces(steps(1, 2, 3, 4), steps(3, 4, 5, 6))
    curve = curve_of(result)
    assert curve["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert curve["source"].tolist() == ["f0", "f0", "f1", "f1", "f1", "f1"]
    assert curve["line"].tolist() == [1, 2, 1, 2, 3, 4]
    assert curve["segment"].tolist() == [0, 0, 1, 1, 1, 1]
    assert result.dropped[["source", "line", "reason"]].to_numpy().tolist() == [
        ["f0", 3, "superseded_by_restart"],
        ["f0", 4, "superseded_by_restart"],
    ]
    run = result.runs.set_index("run").loc["a"]
    assert (run["status"], run["rows_in"], run["source"]) == ("kept", 8, "f0\nf1")
    assert any("1 run (first 'a') stitched from several files, 2 in all" in n for n in result.notes)


@given(st.permutations([(1, 2, 3, 4), (3, 4, 5, 6, 7), (6, 7, 8, 9)]))
def test_order_in_which_files_come_does_not_matter(files: list[tuple[int, ...]]) -> None:
    curve = curve_of(pieces(*(steps(*file) for file in files)))
    assert curve["step"].tolist() == list(range(1, 10))
    assert curve["segment"].tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2]


rows = st.lists(
    st.fixed_dictionaries(
        {
            "step": st.integers(0, 8).map(float) | st.just(float("nan")),
            "loss": st.floats(1, 9) | st.just(float("nan")),
            "split": st.sampled_from(["train", "val"]),
        }
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25)
@given(st.lists(rows, min_size=1, max_size=4), st.booleans())
def test_every_row_of_every_piece_is_kept_or_dropped_once(
    files: list[list[dict[str, Any]]], copied: bool
) -> None:
    digests = ("same",) * len(files) if copied else ()
    result = pieces(*files, sha256=digests)
    both = pd.concat([result.curves, result.dropped])
    stitched = both[both["run"] == "a"][["source", "line"]].sort_values(["source", "line"])
    wanted = [[f"f{n}", i] for n, f in enumerate(files) for i in range(1, len(f) + 1)]
    assert stitched.to_numpy().tolist() == wanted
    for _, curve in result.curves.groupby(["run", "split"]):
        assert curve["step"].is_monotonic_increasing
        assert curve["step"].is_unique
        assert curve["segment"].is_monotonic_increasing


def test_rollback_to_before_the_last_file_began() -> None:
    curve = curve_of(pieces(steps(1, 2, 3, 4, 5), steps(4, 5, 6, 7), steps(2, 4, 6, 8)))
    assert curve["source"].tolist() == ["f0", "f2", "f2", "f2", "f2"]


def test_restart_purges_every_split_at_its_step() -> None:
    def row(split: str, step: int) -> dict[str, Any]:
        return {"split": split, "step": step, "loss": 2 + 1 / step}

    first = [row("train", s) for s in (1, 2, 3, 4)]
    first.insert(3, row("val", 3))
    again = [row("train", s) for s in (2, 3, 4)]
    result = cleaned([row("val", 1), *first, *again, row("val", 4)])
    val = result.curves[result.curves["split"] == "val"]
    assert val["step"].tolist() == [1, 4]
    gone = result.dropped
    assert gone["line"].tolist() == [3, 4, 5, 6]
    assert set(gone["reason"]) == {"superseded_by_restart"}


def test_a_sparse_split_that_goes_back_purges_no_other() -> None:
    rows = [{"split": "val", "step": s, "loss": 2 + 1 / s} for s in (1, 2, 3, 4, 5)]
    test = [{"split": "test", "step": s, "loss": 3 + 1 / s} for s in (1, 4, 1, 4)]
    result = cleaned([*rows, *test])
    assert (result.curves["split"] == "val").sum() == 5
    assert result.dropped["line"].tolist() == [6, 7]


def test_nan_before_a_restart_is_superseded_and_stops_nothing() -> None:
    rows = [*steps(1, 2), {"step": 3, "loss": float("nan")}, *steps(2, 3, 4)]
    result = cleaned(rows, cleaning={"bad_rows": "error"})
    assert result.dropped[["line", "reason"]].to_numpy().tolist() == [
        [2, "superseded_by_restart"],
        [3, "superseded_by_restart"],
    ]


@pytest.mark.parametrize("in_one_file", [True, False])
def test_restart_that_disagrees_sets_the_run_aside_and_shows_both(in_one_file: bool) -> None:
    first = [{"step": s, "loss": 3.0} for s in (1, 2, 3)]
    second = [{"step": s, "loss": x} for s, x in [(2, 3.0), (3, 3.3), (4, 2.9)]]
    files = ([*first, *second],) if in_one_file else (first, second)
    run = pieces(*files).runs.set_index("run").loc["a"]
    assert run["status"] == "quarantined"
    assert "over 2 steps logged twice its loss differs by 4.9% at the median" in run["reason"]
    assert "at 3, where it is 3 before the restart and 3.3 after it" in run["reason"]
    lenient = pieces(*files, cleaning={"overlap_tolerance": 0.06}).runs.set_index("run")
    assert lenient.loc["a", "status"] == "kept"


def test_a_spike_that_was_rolled_back_is_no_disagreement() -> None:
    spiked = [{"step": 6, "loss": 9.0}, {"step": 7, "loss": 9.0}]
    result = cleaned([*steps(1, 2, 3, 4, 5), *spiked, *steps(3, 4, 5, 6, 7, 8)])
    assert result.runs["status"].tolist() == ["kept"]


@pytest.mark.parametrize("turned", [False, True])
def test_files_of_one_split_each_tell_of_no_other_split(turned: bool) -> None:
    train = [{**row, "split": "train"} for row in steps(*range(1, 21), *range(11, 31))]
    files = (train, steps(5, 10, 15, 20, 25, 30))
    result = pieces(*(files[::-1] if turned else files))
    assert result.dropped["reason"].tolist() == ["superseded_by_restart"] * 10
    assert set(result.dropped["step"]) == set(range(11, 21))
    curves = curve_of(result).groupby("split", observed=True)["step"].agg(list)
    assert curves["val"] == [5, 10, 15, 20, 25, 30]
    assert curves["train"] == list(range(1, 31))


def test_further_files_of_a_split_restart_that_split() -> None:
    def in_train(*values: float) -> list[dict[str, Any]]:
        return [{**row, "split": "train"} for row in steps(*values)]

    result = pieces(in_train(1, 2, 3, 4), in_train(3, 4, 5, 6), steps(2, 4), steps(4, 6))
    dropped = result.dropped.groupby("step").size().to_dict()
    assert dropped == {3: 1, 4: 2}


def test_copy_of_a_piece_is_dropped_whole() -> None:
    first, second = steps(1, 2, 3), steps(3, 4)
    result = pieces(first, second, first, sha256=("x", "y", "x"))
    assert curve_of(result)["step"].tolist() == [1, 2, 3, 4]
    counts = result.dropped["reason"].value_counts().to_dict()
    assert counts == {"duplicate_file": 3, "superseded_by_restart": 1}


def test_copy_of_another_run_is_set_aside_and_names_it() -> None:
    rows = [{**r, "run": name} for name in "abc" for r in steps(1, 2)]
    ingested, table = raw(rows)
    ingested.runs["source"] = ["a.jsonl", "b.jsonl", "c.jsonl"]
    ingested.runs["sha256"] = ["same", "other", "same"]
    runs = clean(ingested, table, study()).runs.set_index("run")
    assert runs["status"].tolist() == ["kept", "kept", "quarantined"]
    assert "byte for byte that of run 'a' (a.jsonl)" in runs.loc["c", "reason"]
    rule = {"runs": ["a"], "reason": "the copy has the right name"}
    runs = clean(ingested, table, study(exclude=[rule])).runs.set_index("run")
    assert runs["status"].tolist() == ["quarantined", "kept", "kept"]


def test_runs_of_one_table_are_no_copies() -> None:
    rows = [{**r, "run": name} for name in "ab" for r in steps(1, 2)]
    ingested, table = raw(rows)
    ingested.runs["sha256"] = "of the whole table"
    assert clean(ingested, table, study()).runs["status"].tolist() == ["kept", "kept"]


def test_rows_of_a_table_know_no_order_of_time() -> None:
    source = {"kind": "table"}
    result = cleaned(steps(3, 1, 2), source=source)
    assert result.curves["step"].tolist() == [1, 2, 3]
    assert result.dropped.empty


def test_pieces_in_the_run_table_share_their_facts() -> None:
    ingested, table = raw(steps(1, 2))
    twice = pd.concat([table, table], ignore_index=True)
    several = {"runs": {"table": "runs.csv", "columns": {"log": "file"}}}
    assert clean(ingested, twice, study(source=several)).runs["status"].tolist() == ["kept"]
    twice.loc[1, "params"] = 7.0
    with pytest.raises(FloplineError, match=r"runs\.csv: run 'a'.*different params"):
        clean(ingested, twice, study(source=several))
    with pytest.raises(FloplineError, match=r"run 'a' stands there twice: remove one row"):
        clean(ingested, twice, study())


def olmo_files(folder: Path, *names: str) -> list[list[dict[str, Any]]]:
    """Histories of Weights & Biases as rows: every step's C4 loss, tokens from the batch."""
    files = []
    for name in names:
        table = pd.read_csv(folder / OLMO / f"{name}.csv")
        rows = {"step": table["_step"], "tokens": 1024.0 * 4096 * table["_step"], "loss": table[C4]}
        files.append(pd.DataFrame(rows).to_dict("records"))
    return files


def test_resumed_pieces_of_a_real_run_make_up_its_full_curve(real_data: Path) -> None:
    names = [f"peteish7_medlr_eval_{part}" for part in ("170k-end", "210k-325k", "330k-490k",
                                                         "5k-205k")]  # fmt: skip
    files = olmo_files(real_data, *names)
    (full,) = olmo_files(real_data, "peteish7_medlr_eval_full")
    wanted = pd.DataFrame(full)[["step", "tokens", "loss"]].astype({"step": "Int64"})
    for order in itertools.islice(itertools.permutations(files), 0, None, 5):
        result = pieces(*order)
        curve = curve_of(result)[["step", "tokens", "loss"]].reset_index(drop=True)
        pd.testing.assert_frame_equal(curve, wanted, check_exact=True)
        run = result.runs.set_index("run").loc["a"]
        assert (run["status"], run["rows_in"], run["rows_kept"]) == ("kept", 163, 98)
        assert set(result.dropped["reason"]) == {"superseded_by_restart"}


def test_a_trunk_counts_up_to_where_the_decay_begins(tmp_path: Path) -> None:
    (tmp_path / "trunk.jsonl").write_text(logged(range(10, 110, 10), lambda s: 5 - s / 100))
    for end in (40, 80):
        text = logged(range(end, end + 30, 10), lambda s: 4.5 - s / 100)
        (tmp_path / f"to{end}.jsonl").write_text(text)
    columns = {name: name for name in ("step", "tokens", "loss")}
    options = study(source={"kind": "logs", "format": "jsonl", "columns": columns})
    files: list[Any] = [
        {"run": f"r{end}", "path": path, "sha256": path} | shared
        for end in (40, 80)
        for path, shared in (("trunk.jsonl", {"shared": True}), (f"to{end}.jsonl", {}))
    ]
    facts = pd.DataFrame({"run": ["r40", "r80"], "params": [1e8, 1e8]})
    found = clean(ingest(options, files, tmp_path), facts, options)
    steps = found.curves.groupby("run", observed=True)["step"].agg(list).to_dict()
    assert steps == {"r40": [*range(10, 70, 10)], "r80": [*range(10, 110, 10)]}
    assert (found.runs["status"] == "kept").all()
    assert found.dropped["reason"].value_counts().to_dict() == {"after_branch": 7 + 3}
    assert (found.runs["rows_in"] == found.runs["rows_kept"] + found.runs["rows_dropped"]).all()
    (tmp_path / "to40.jsonl").write_text("")
    with pytest.raises(FloplineError, match="run 'r40' has no row of its own"):
        ingest(options, files, tmp_path)


def logged(steps: range, loss: Callable[[int], float]) -> str:
    return "".join(
        json.dumps({"step": s, "tokens": 1e6 * s, "loss": loss(s)}) + "\n" for s in steps
    )


def test_attempts_that_were_begun_anew_are_told_by_where_they_ended() -> None:
    clock = np.array([*range(1, 6), *range(1, 10)], dtype=float)
    none = np.zeros(len(clock), dtype=np.int64)
    stitched = stitch(none, none, none, np.arange(len(clock)), clock, 9 - clock / 10)
    assert stitched.begun_anew == {0: [5.0]}
    assert not stitched.attempts
