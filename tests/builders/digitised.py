"""The runs of Hoffmann et al. 2022 as Epoch AI digitised them: real, from the shared test data."""

from __future__ import annotations

from pathlib import Path

import pandas as pd


def chinchilla_points(real_data: Path) -> pd.DataFrame:
    """245 runs off Fig. 4 of arXiv 2203.15556v1: params, flops, loss as read; tokens = C / (6N)."""
    table = pd.read_csv(real_data / "chinchilla" / "svg_extracted_data.csv")
    assert len(table) == 245
    return pd.DataFrame(
        {
            "run": [f"point{i:03d}" for i in range(len(table))],
            "params": table["Model Size"],
            "tokens": table["Training FLOP"] / (6 * table["Model Size"]),
            "flops": table["Training FLOP"],
            "loss": table["loss"],
        }
    )


def less_outliers(points: pd.DataFrame) -> pd.DataFrame:
    """Without the five largest losses, as Besiroglu et al. 2024 fit them."""
    return points.drop(index=points["loss"].nlargest(5).index)
