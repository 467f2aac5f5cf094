"""Real runs that several golden tests fit."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.builders.digitised import chinchilla_points, less_outliers


@pytest.fixture(scope="session")
def chinchilla(real_data: Path) -> pd.DataFrame:
    """The 245 digitised runs of Hoffmann et al. 2022."""
    return chinchilla_points(real_data)


@pytest.fixture(scope="session")
def without_outliers(chinchilla: pd.DataFrame) -> pd.DataFrame:
    """The 240 of them that Besiroglu et al. 2024 fit."""
    return less_outliers(chinchilla)
