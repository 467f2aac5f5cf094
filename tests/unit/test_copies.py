"""Runs that stand in a study more than once, by file or by how they end."""

import numpy as np
import pandas as pd
import pytest

from flopline.clean.copies import same_ends


def table(losses: list[float], copies: int = 4, family: str = "all") -> pd.DataFrame:
    """Runs of one table that all stand in it several times, under other names."""
    once = pd.DataFrame(
        {
            "params": 1e6 * np.arange(1, len(losses) + 1),
            "tokens": 2e8 * np.arange(1, len(losses) + 1),
            "loss": losses,
        }
    )
    rows = [once.assign(run=[f"{i}-{k}" for k in once.index]) for i in range(copies)]
    return pd.concat(rows, ignore_index=True).assign(family=family, source="runs.csv", rows_kept=1)


def test_the_same_rows_under_other_names_count_once() -> None:
    runs = table([3.14159, 2.98765, 2.87654, 2.76543])
    notes = same_ends(runs)
    assert len(notes) == 12
    assert set(runs["run"].drop(notes.index)) == {"0-0", "0-1", "0-2", "0-3"}
    assert "are those of run '0-0' to the last digit" in notes[4]


def test_repeats_by_seed_remain_repeats() -> None:
    runs = table([3.14159, 2.98765, 2.87654])
    runs["loss"] += 1e-5 * np.arange(len(runs))
    assert same_ends(runs).empty


def test_short_losses_are_copies_only_where_none_differs() -> None:
    runs = table([3.1, 2.9, 2.8, 2.7], copies=2)
    assert len(same_ends(runs)) == 4
    runs.loc[7, "loss"] = 2.6
    assert same_ends(runs).empty
    assert same_ends(table([3.1, 2.9], copies=2)).empty


def test_a_piece_of_a_curve_is_the_copy_and_the_whole_stays() -> None:
    runs = table([3.14159], copies=2).assign(rows_kept=[10, 90])
    assert list(same_ends(runs).index) == [0]


@pytest.mark.parametrize("column", ["params", "tokens", "family"])
def test_runs_that_differ_in_more_than_their_name_are_no_copies(column: str) -> None:
    runs = table([3.14159, 2.98765], copies=2)
    runs.loc[2:, column] = "other" if column == "family" else runs.loc[2:, column] * 1.0001
    assert same_ends(runs).empty
