"""What the laws are fitted to: points and curves of one family, taken from the clean tables."""

from __future__ import annotations

import pandas as pd

from flopline.errors import FloplineError
from flopline.schema import KEPT

POINT = ["run", "params", "tokens", "flops", "loss"]


def final_points(runs: pd.DataFrame, family: str) -> pd.DataFrame:
    """One point per kept run of `family`: its end, with the nominal budget_flops beside it.

    Where runs tell their unique_tokens, these stand there too; a run that does not has no repeats.
    """
    kept = _kept(runs, family)
    columns = [*POINT, "budget_flops"]
    if "unique_tokens" in kept and kept["unique_tokens"].notna().any():
        kept = kept.assign(unique_tokens=kept["unique_tokens"].fillna(kept["tokens"]))
        columns.append("unique_tokens")
    return kept[columns].reset_index(drop=True)


def checkpoint_points(
    runs: pd.DataFrame, curves: pd.DataFrame, family: str, split: str
) -> pd.DataFrame:
    """One point per logged loss of `split` in the kept runs of `family`."""
    return _rows(runs, curves, family, split)[POINT].reset_index(drop=True)


def training_curves(
    runs: pd.DataFrame, curves: pd.DataFrame, family: str, split: str
) -> pd.DataFrame:
    """The curves of `split` of the kept runs of `family`, with params and horizon_tokens."""
    rows = _rows(runs, curves, family, split)
    return rows[["run", "params", "horizon_tokens", "step", "tokens", "flops", "loss"]].reset_index(
        drop=True
    )


def _kept(runs: pd.DataFrame, family: str) -> pd.DataFrame:
    kept = runs[(runs["family"] == family) & (runs["status"] == KEPT)]
    if kept.empty:
        raise FloplineError(
            f"family '{family}' is listed in the study file but no kept run belongs to it: check "
            "the `family` column and the list of quarantined runs in clean/runs.parquet."
        )
    return kept


def _rows(runs: pd.DataFrame, curves: pd.DataFrame, family: str, split: str) -> pd.DataFrame:
    kept = _kept(runs, family)[["run", "params", "horizon_tokens"]]
    rows = curves[curves["split"] == split].merge(kept, on="run", how="inner")
    # The state before the first update has a loss but no compute.
    rows = rows[rows["flops"] > 0]
    if rows.empty:
        raise FloplineError(
            f"no row of the split '{split}' is logged for family '{family}': name another split "
            "(loss_split or envelope.split) in the study file."
        )
    return rows
