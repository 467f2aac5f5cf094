"""The figure of cleaning: the equation of rows, the reasons, the places."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from flopline.errors import FloplineError
from flopline.figures.cleaning_figure import BINS, MOST_LINES, cleaning, kind_of, rows_by_reason
from flopline.points import last_steps
from flopline.schema import CURVES, conform
from flopline.storage import RowGroups
from tests.builders.drawn_figures import CLEANED, cleaned, drawn_cleaning
from tests.builders.figure_checks import assert_clean, by_gid
from tests.builders.figure_results import caption_of


@pytest.mark.parametrize("reasons", [0, 1, 15])
def test_it_is_readable_with_no_reason_and_with_many(reasons: int) -> None:
    for width in ("page", "column"):
        assert_clean(drawn_cleaning(reasons, width))


def test_rows_read_are_rows_kept_and_dropped_in_every_family() -> None:
    runs, dropped = cleaned(6)
    named = runs.assign(family=runs["family"].map(CLEANED))
    rows = rows_by_reason(named, dropped, list(CLEANED.values()))
    assert (rows.loc["read"] == rows.loc["kept"] + rows.iloc[2:].sum()).all()
    assert list(rows.index[2:]) == [f"reason_{j}" for j in range(6)]
    assert rows.loc["reason_0", "Birch"] == 12 * 6
    figure = drawn_cleaning(6)
    cells = [t.get_text() for t in by_gid(figure.axes[2], "rows reason_0")]
    assert cells == ["72", "72"]


def test_more_reasons_than_fit_are_summed_up_and_none_is_lost() -> None:
    runs, dropped = cleaned(MOST_LINES + 4)
    named = runs.assign(family=runs["family"].map(CLEANED))
    rows = rows_by_reason(named, dropped, list(CLEANED.values()))
    assert len(rows) == 2 + MOST_LINES
    assert rows.index[-1] == "5 more reasons"
    assert (rows.loc["read"] == rows.loc["kept"] + rows.iloc[2:].sum()).all()


def test_tables_of_different_studies_are_an_error() -> None:
    runs, dropped = cleaned(3)
    with pytest.raises(FloplineError, match="do not add up"):
        cleaning(runs, dropped.iloc[1:], labels=CLEANED)
    with pytest.raises(FloplineError, match="one run or more"):
        cleaning(runs.iloc[:0], dropped, labels=CLEANED)


def test_places_along_training_are_steps_over_the_last_one() -> None:
    runs, dropped = cleaned(2)
    figure = cleaning(runs, dropped.assign(step=150), {f"r{i}": 200.0 for i in range(24)},
                      labels=CLEANED)  # fmt: skip
    (shade,) = by_gid(figure.axes[3], "places reason_0")
    filled = np.flatnonzero(np.isfinite(np.ma.filled(shade.get_array(), np.nan).ravel()))
    assert filled.tolist() == [int(0.75 * BINS)]
    unknown = drawn_cleaning(2, dropped=dropped.assign(step=pd.NA))
    assert [t.get_text() for t in by_gid(unknown.axes[3], "unknown")] == ["step not known"] * 2


def test_the_reasons_of_single_runs_are_one_kind() -> None:
    for sentence, kind in (
        ("It diverged: its final loss 3.2 is far above its own lowest, 2.", "diverged"),
        ("Excluded in the study file: wrong corpus", "excluded: wrong corpus"),
        ("Its file is byte for byte that of run 'a7' (x.jsonl), found under another name.",
         "its file is byte for byte that of run … found under another name"),
        ("Its tokens go down, from 5 to 3 at a, line 3, so that", "its tokens go down"),
        ("Its family 'oak' is not listed in the study file.",
         "its family … is not listed in the study file"),
    ):  # fmt: skip
        assert kind_of(sentence) == kind
    (held, diverged) = (
        by_gid(drawn_cleaning(1).axes[1], "cause") or drawn_cleaning(1).axes[1].patches
    )
    assert held.get_width() == diverged.get_width() == 6


def test_the_caption_has_the_equation() -> None:
    runs, _ = cleaned(2)
    sentence = caption_of("cleaning", runs=runs)
    assert "12 of 24 runs are in the fits" in sentence
    assert "2,472 rows read = 2,400 kept + 72 dropped" in sentence


def test_the_last_step_of_a_run_is_kept_or_dropped(tmp_path: Any) -> None:
    curves = conform(
        pd.DataFrame({"run": ["a", "a", "b"], "step": [10, 40, 70]}).assign(split="val"), CURVES
    )
    with RowGroups(tmp_path / "0.parquet", CURVES) as out:
        out.write(curves)
    dropped = pd.DataFrame({"run": ["a", "c", "d"], "step": pd.array([50, 5, None], dtype="Int64")})
    assert last_steps([tmp_path / "0.parquet"], dropped) == {"a": 50.0, "c": 5.0}
    assert last_steps([tmp_path / "none"], dropped.iloc[:0]) == {}
