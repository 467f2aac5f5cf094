"""Percentiles of draws are NumPy's to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from flopline.laws.common.percentiles import known_percentiles, percentiles

PERCENTS = (10.0, 90.0, 2.5, 97.5, 50.0, 15.865)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 41, 200, 2000])
def test_percentiles_are_those_of_numpy(size: int) -> None:
    values = np.exp(np.random.default_rng(size).normal(0.0, 30.0, size))
    assert percentiles(values, PERCENTS) == np.percentile(values, PERCENTS).tolist()


def test_draws_without_a_value_are_left_out_column_by_column() -> None:
    draws = np.random.default_rng(0).normal(size=(50, 3))
    draws[::7, 1] = np.nan
    draws[:, 2] = np.nan
    made = known_percentiles(draws, PERCENTS)
    assert (made[:, :2] == np.nanpercentile(draws[:, :2], PERCENTS, axis=0)).all()
    assert np.isnan(made[:, 2]).all()
    assert known_percentiles(np.empty((4, 0)), PERCENTS).shape == (len(PERCENTS), 0)
