"""Logged losses in the unit of the study, converted by rule, or a stop with the line to write."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from flopline.loss_units import (
    PERPLEXITY,
    Conversion,
    conversion,
    demand_unit,
    fitted_splits,
    stated_unit,
    words,
)
from flopline.study_document import StudyDocument


def in_study_unit(
    rows: pd.DataFrame, study: StudyDocument, of_format: Mapping[str, str], where: str
) -> tuple[pd.DataFrame, str | None]:
    """Rows with losses in the study's unit, and what was done to them, None where nothing was.

    `rows` has split and loss; `of_format` are the units that their format says, by split, "" being
    any other. Splits of which no law is, and that cannot be converted, stay as they stand. Raises
    FloplineError, which says `where`, for others.
    """
    unit = stated_unit(study)
    source, fitted = study["source"], study.get("fitted_splits") or fitted_splits(study)
    splits = [str(split) for split in rows["split"].unique()]
    changes = {
        split: conversion(source, split, unit, of_format.get(split, of_format.get("")))
        for split in splits
    }
    done = []
    for split, change in changes.items():
        if change is None:
            continue
        if split in fitted:
            demand_unit(f"{where}: losses of the split '{split}'", change)
        if change.factor is None:
            done.append(f"losses of {split} stay in {words(change.logged)}")
            continue
        at = (rows["split"] == split).to_numpy()
        loss = rows["loss"].to_numpy(dtype=float, copy=True)
        loss[at] = _converted(loss[at], change)
        rows = rows.assign(loss=loss)
        done.append(f"losses of {split}, in {words(change.logged)}, are {change.rule}")
    return rows, "; ".join(done) or None


def _converted(loss: np.ndarray, change: Conversion) -> np.ndarray:
    """Losses in the study's unit; what is no loss, as a perplexity of 0, stays as it stands."""
    if change.logged == PERPLEXITY:
        loss = np.where(loss > 0, np.log(np.where(loss > 0, loss, 1.0)), loss)
    return loss * change.factor
