"""What the laws are fitted to: points and curves of one family, taken from the clean tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.errors import FloplineError
from flopline.laws.spec import LawSpec, Points
from flopline.schema import KEPT
from flopline.storage import row_groups
from flopline.study_document import StudyDocument

POINT = ["run", "params", "tokens", "flops", "loss"]

CURVE: Final = ["run", "split", "step", "tokens", "flops", "loss"]
"""The columns of clean curves that a fit needs."""

SCHEDULE: Final = ["run", "split", "step", "tokens", "lr"]
"""The columns of clean curves that tell how a run was trained."""

MOST_ROWS: Final = 2_000_000
"""More rows than this, over all curves of a family, are thinned: evenly within each run."""


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
    runs: pd.DataFrame, curves: pd.DataFrame, family: str, split: str, from_share: float = 0.0
) -> pd.DataFrame:
    """One point per logged loss of `split` in the kept runs of `family`.

    Those before the share `from_share` of their run's tokens are left out.

    Returns one row per loss. Raises FloplineError where no run is kept or no row of the split is
    logged.
    """
    rows = _rows(runs, curves, family, split)
    if from_share > 0:
        rows = rows[rows["tokens"] >= from_share * rows.groupby("run")["tokens"].transform("max")]
    return rows[POINT].reset_index(drop=True)


def fitted_to(
    spec: LawSpec,
    runs: pd.DataFrame,
    paths: Iterable[Path],
    study: StudyDocument,
    family: str,
) -> pd.DataFrame:
    """What a law is fitted to in a study: points or curves of the kept runs of `family`.

    `runs` is the clean table of runs; the clean curves at `paths` are read only if the law asks for
    them. `study` has loss_split, points and the law's own group of options. Raises FloplineError
    where no run is kept or no row of the split is logged.
    """
    every_loss = spec.points is Points.STUDY and study["points"] == "checkpoints"
    if not (every_loss or spec.points is Points.CURVES):
        return final_points(runs, family)
    split = spec.split(study)
    if every_loss:
        share = float((study.get(spec.name) or {}).get("checkpoints_from", 0.0))  # type: ignore[attr-defined]
        curves = read_curves(paths, runs, family, split)
        return checkpoint_points(runs, curves, family, split, share)
    return training_curves(runs, read_curves(paths, runs, family, split, MOST_ROWS), family, split)


def training_curves(
    runs: pd.DataFrame, curves: pd.DataFrame, family: str, split: str
) -> pd.DataFrame:
    """The curves of `split` of the kept runs of `family`, with params and horizon_tokens."""
    rows = _rows(runs, curves, family, split)
    return rows[["run", "params", "horizon_tokens", "step", "tokens", "flops", "loss"]].reset_index(
        drop=True
    )


def read_curves(
    paths: Iterable[Path],
    runs: pd.DataFrame,
    family: str,
    split: str | None,
    most_rows: int | None = None,
    columns: Sequence[str] = CURVE,
) -> pd.DataFrame:
    """The rows of `split` in the kept runs of `family`, out of the clean curves at `paths`.

    `columns` has run, split, step and tokens at least; with `split` None all splits are read. Row
    groups, which hold whole runs, are read one at a time. With `most_rows` every run keeps at most
    its even share of them, spread evenly over its rows with the first and the last among them.

    Returns them by run, step and tokens. Raises FloplineError where no run is kept.
    """
    names = _kept(runs, family)["run"]
    share = None if most_rows is None else max(most_rows // len(names), 2)
    parts = []
    for path in sorted(paths):
        for group in row_groups(path, columns):
            wanted = group["run"].isin(names)
            if split is not None:
                wanted &= group["split"] == split
            rows = group[wanted.to_numpy(bool)]
            parts.append(rows if share is None else thinned(rows, share))
    table = pd.concat([part.astype({"run": "string", "split": "string"}) for part in parts])
    return table.sort_values(["run", "step", "tokens"], kind="stable", ignore_index=True)


def last_steps(paths: Iterable[Path], dropped: pd.DataFrame) -> dict[str, float]:
    """The last step, kept or dropped, of each run of which rows were `dropped`.

    The clean curves at `paths` are read a row group at a time, and not at all if nothing was.
    """
    last: dict[str, float] = {}
    known = dropped[dropped["step"].notna()]

    def see(rows: pd.DataFrame) -> None:
        for run, step in rows.groupby("run", observed=True)["step"].max().dropna().items():
            last[str(run)] = max(float(step), last.get(str(run), 0.0))

    see(known)
    names = list(last)
    for path in sorted(paths) if names else ():
        for group in row_groups(path, ["run", "step"]):
            see(group[group["run"].isin(names)])
    return last


def thinned(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most `most` rows (2 or more) of each run, whose rows stand together."""
    codes = rows["run"].astype("category").cat.codes.to_numpy()
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = np.append(starts[1:], len(rows))
    if not len(rows) or (ends - starts).max() <= most:
        return rows
    keep = [_spread(a, b, most) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
    return rows.iloc[np.concatenate(keep)]


def _spread(start: int, end: int, most: int) -> NDArray[np.int64]:
    if end - start <= most:
        return np.arange(start, end)
    return np.rint(np.linspace(start, end - 1, most)).astype(np.int64)


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
