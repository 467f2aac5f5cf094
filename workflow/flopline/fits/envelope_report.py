"""What an envelope leaves beside its laws: its tables, its certificate, its warnings."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.fits.frontier import ABSENT, Frontier
from flopline.fits.powerlaw import fit_power_law

Floats = NDArray[np.float64]

FEW_SIZES: Final = 5
DRAWN_POINTS: Final = 300
END_SHARE: Final = 0.25
ROUNDING: Final = 1e-9  # tokens of a frontier point went through logs and back


def at_schedule_end(position: Floats, last_fraction: float) -> NDArray[np.bool_]:
    """Whether tokens / horizon_tokens lies in the last share of the schedule; False if NaN."""
    return np.asarray(position >= 1.0 - last_fraction - ROUNDING)


def frontier_table(chosen: Frontier, runs: pd.DataFrame, last_fraction: float) -> pd.DataFrame:
    """One row per frontier point of the data; `runs` has one row per run.

    `position` is tokens / horizon_tokens (NaN without a horizon, then never in_last_fraction);
    `third` counts used points from the cheapest, 0 where the point is not used.
    """
    there = np.flatnonzero(chosen.run[0] != ABSENT)
    run = chosen.run[0, there]
    tokens, used = np.exp(chosen.ln_tokens[0, there]), chosen.used[0, there]
    position = tokens / runs["horizon_tokens"].to_numpy()[run]
    third = np.zeros(there.size, dtype=np.int64)
    third[used] = 1 + 3 * np.arange(used.sum()) // max(1, int(used.sum()))
    return pd.DataFrame(
        {
            "flops": np.exp(chosen.ln_flops[0, there]),
            "run": runs["run"].to_numpy()[run],
            "params": runs["params"].to_numpy()[run],
            "tokens": tokens,
            "loss": chosen.loss[0, there],
            "position": position,
            "in_last_fraction": at_schedule_end(position, last_fraction),
            "used": used,
            "third": third,
        }
    )


def share_in_last_fraction(listed: pd.DataFrame) -> float | None:
    """Share of used frontier points at the end of their schedule; None where no horizon is known.

    Hoffmann et al. 2022, footnote 4: all their points lie in the last 15 %.
    """
    known = listed[listed["used"] & listed["position"].notna()]
    return None if known.empty else float(known["in_last_fraction"].mean())


def share_at_end_sizes(chosen: Frontier, size: NDArray[np.int64]) -> float:
    """Share of used frontier points won by the smallest or the largest size of the family."""
    sizes = size[chosen.run[chosen.used]]
    return float(np.mean((sizes == 0) | (sizes == size.max())))


def shift(point: float, draws: Floats) -> float:
    """Median of the draws less the point: a minimum over fewer runs is another minimum."""
    return float(np.nanmedian(draws) - point) if np.isfinite(draws).any() else float("nan")


def thirds(listed: pd.DataFrame) -> dict[str, list[float]]:
    """Slopes of params and tokens in each third of the frontier (Hoffmann et al., appendix E)."""
    out: dict[str, list[float]] = {"a_by_thirds": [], "b_by_thirds": []}
    for third in (1, 2, 3):
        part = listed[listed["third"] == third]
        for name, column in (("a_by_thirds", "params"), ("b_by_thirds", "tokens")):
            law = fit_power_law(np.log(part["flops"]), np.log(part[column]), 1.0)
            out[name].append(float(law.p))
    return out


def thinned(table: pd.DataFrame) -> pd.DataFrame:
    """At most DRAWN_POINTS points per run, evenly spread in ln C, ends included."""
    parts = []
    for _, rows in table.groupby("run_number", sort=True):
        if len(rows) > DRAWN_POINTS:
            x = np.log(rows["flops"].to_numpy())
            at = np.searchsorted(x, np.linspace(x[0], x[-1], DRAWN_POINTS))
            rows = rows.iloc[np.unique(np.minimum(at, len(rows) - 1))]
        parts.append(rows)
    columns = ["run", "params", "step", "tokens", "flops", "loss"]
    return pd.concat(parts, ignore_index=True)[columns]


def message(certificate: dict[str, Any], last_fraction: float) -> str:
    """What a reader has to mind, empty if nothing."""
    said = []
    share, n_sizes = certificate["share_in_last_fraction"], certificate["sizes_on_frontier"]
    if n_sizes < FEW_SIZES:
        said.append(f"only {n_sizes} sizes win on the frontier, a coarse staircase")
    if share is not None and share < 0.5:
        said.append(
            f"only {share:.0%} of the frontier lies in the last {last_fraction:.0%} of its "
            "schedule, where the loss is what a finished run would have: set "
            "envelope.only_schedule_end if runs log enough there"
        )
    if certificate["share_at_end_sizes"] > END_SHARE:
        said.append(
            f"{certificate['share_at_end_sizes']:.0%} of the frontier belongs to the smallest or "
            "largest size, which flattens the law"
        )
    if certificate["draws_failed"] > 0.05 * certificate["draws"]:
        said.append(
            f"{certificate['draws_failed']} of {certificate['draws']} resamples have no frontier"
        )
    if not certificate["loss_law"].startswith("E"):
        said.append(f"loss law {certificate['loss_law']}")
    return "; ".join(said)
