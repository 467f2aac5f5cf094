"""What an envelope leaves beside its laws: its tables, its certificate, its warnings."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.documents import CurvatureJson, LackOfFitJson
from flopline.laws.common import curvature
from flopline.laws.common.allocation import ResidualsJson, residuals
from flopline.laws.common.curvature import slopes_by_thirds
from flopline.laws.common.lack_of_fit import LackOfFit
from flopline.laws.envelope.envelope_reading import EnvelopeReading, winning_sizes
from flopline.laws.envelope.frontier import ABSENT, Frontier
from flopline.numbers import count

Floats = NDArray[np.float64]

FEW_SIZES: Final = 5
DRAWN_POINTS: Final = 300
END_SHARE: Final = 0.25
FINISHED: Final = 0.98  # of its horizon: the default of cleaning.unfinished
ROUNDING: Final = 1e-9  # tokens of a frontier point went through logs and back


class SlopesJson(TypedDict):
    """Slopes of params and of tokens in each third of a frontier."""

    a_by_thirds: list[float]
    b_by_thirds: list[float]


class EnvelopeCertificate(SlopesJson, ResidualsJson):
    """What is known of an envelope beside its laws; shares are None where no horizon is known."""

    frontier: str
    rule: str
    frontier_points: int
    points_used: int
    runs_on_frontier: int
    sizes: int
    sizes_on_frontier: int
    share_at_end_sizes: float
    share_at_curve_ends: float
    draws: int
    draws_failed: int
    share_in_last_fraction: float | None
    share_mid_schedule: float | None
    runs_unfinished: int
    share_of_unfinished_runs: float
    curvature: CurvatureJson
    a_shift_in_draws: float
    loss_law: str
    lack_of_fit: LackOfFitJson
    draws_without_floor: int


def at_schedule_end(position: Floats, last_fraction: float) -> NDArray[np.bool_]:
    """Whether tokens / horizon_tokens lies in the last share of the schedule; False if NaN."""
    return np.asarray(position >= 1.0 - last_fraction - ROUNDING)


def frontier_table(reading: EnvelopeReading, last_fraction: float) -> pd.DataFrame:
    """One row per frontier point of the data.

    `position` is tokens / horizon_tokens (NaN without a horizon); `in_last_fraction` and
    `mid_schedule` say on which side of the last share it lies, both False without a horizon.
    `run_unfinished`: the run ended before its horizon. `curve_end`: the point is the last of its
    run's curve, where nothing tells whether a longer run would have won. `third` counts used
    points from the cheapest, 0 where the point is not used.
    """
    chosen, runs = reading.chosen, reading.runs
    there = np.flatnonzero(chosen.run[0] != ABSENT)
    run = chosen.run[0, there]
    flops = np.exp(chosen.ln_flops[0, there])
    tokens, used = np.exp(chosen.ln_tokens[0, there]), chosen.used[0, there]
    horizon = runs["horizon_tokens"].to_numpy()[run]
    position = tokens / horizon
    at_end = at_schedule_end(position, last_fraction)
    third = np.zeros(there.size, dtype=np.int64)
    third[used] = 1 + 3 * np.arange(used.sum()) // max(1, int(used.sum()))
    last = runs["last_flops"].to_numpy()[run] * np.exp(-reading.bin_width)
    return pd.DataFrame(
        {
            "flops": flops,
            "run": runs["run"].to_numpy()[run],
            "params": runs["params"].to_numpy()[run],
            "tokens": tokens,
            "loss": chosen.loss[0, there],
            "position": position,
            "in_last_fraction": at_end,
            "mid_schedule": np.isfinite(position) & ~at_end,
            "run_unfinished": unfinished(runs)[run],
            "curve_end": flops >= last * (1.0 - ROUNDING),
            "used": used,
            "third": third,
        }
    )


def unfinished(runs: pd.DataFrame) -> NDArray[np.bool_]:
    """Which runs ended before FINISHED of their horizon_tokens; False where none is known."""
    return np.asarray(runs["last_tokens"] < FINISHED * runs["horizon_tokens"])


def share_in_last_fraction(listed: pd.DataFrame) -> float | None:
    """Share of used frontier points at the end of their schedule; None where no horizon is known.

    Hoffmann et al. 2022, footnote 4: all their points lie in the last 15 %.
    """
    return _share_known(listed[listed["used"]], "in_last_fraction")


def share_at_end_sizes(chosen: Frontier, size: NDArray[np.int64]) -> float:
    """Share of used frontier points won by the smallest or the largest size of the family."""
    sizes = size[chosen.run[chosen.used]]
    return float(np.mean((sizes == 0) | (sizes == size.max())))


def shift(point: float, draws: Floats) -> float:
    """Median of the draws less the point: a minimum over fewer runs is another minimum."""
    return float(np.nanmedian(draws) - point) if np.isfinite(draws).any() else float("nan")


def certificate(
    frontier: str, reading: EnvelopeReading, listed: pd.DataFrame
) -> EnvelopeCertificate:
    """What is known of a reading beside its laws; `listed` is its frontier table.

    `frontier` says how the frontier is found.
    """
    chosen, used = reading.chosen, listed[listed["used"]]
    floors = reading.draws.loss
    return {
        "frontier": frontier,
        "rule": reading.rule,
        "frontier_points": len(listed),
        "points_used": len(used),
        "runs_on_frontier": int(used["run"].nunique()),
        "sizes": int(reading.size.max()) + 1,
        "sizes_on_frontier": winning_sizes(chosen, reading.size),
        "share_at_end_sizes": share_at_end_sizes(chosen, reading.size),
        "share_at_curve_ends": float(used["curve_end"].mean()),
        "draws": int(reading.draws.params.p.size),
        "draws_failed": int(reading.draws.absent.sum()),
        "share_in_last_fraction": share_in_last_fraction(listed),
        "share_mid_schedule": _share_known(used, "mid_schedule"),
        "runs_unfinished": int(unfinished(reading.runs).sum()),
        "share_of_unfinished_runs": float(used["run_unfinished"].mean()),
        **_slopes(reading),
        "curvature": curvature.curvature(reading.slopes[0], reading.draw_slopes),
        "a_shift_in_draws": shift(reading.point.params.p[0], reading.draws.params.p),
        **residuals(used, reading.point),
        "loss_law": reading.point.loss.form(),
        "lack_of_fit": reading.misfit.to_json(),
        "draws_without_floor": int((floors.few | floors.unidentified).sum()),
    }


def _slopes(reading: EnvelopeReading) -> SlopesJson:
    """Slopes of params and tokens in each third of the frontier (Hoffmann et al., appendix E)."""
    chosen = reading.chosen
    tokens = slopes_by_thirds(chosen.ln_flops, chosen.ln_tokens, chosen.used)
    return {"a_by_thirds": reading.slopes[0].tolist(), "b_by_thirds": tokens[0].tolist()}


def _share_known(used: pd.DataFrame, column: str) -> float | None:
    known = used[used["position"].notna()]
    return None if known.empty else float(known[column].mean())


def thinned(table: pd.DataFrame) -> pd.DataFrame:
    """At most DRAWN_POINTS points per run, evenly spread in ln C, ends included."""
    run, x = table["run_number"].to_numpy(), np.log(table["flops"].to_numpy())
    order = np.argsort(run, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(run[order], prepend=-1)), order.size)
    kept = []
    for begin, end in pairwise(ends):
        rows = order[begin:end]
        if rows.size > DRAWN_POINTS:
            own = x[rows]
            at = np.searchsorted(own, np.linspace(own[0], own[-1], DRAWN_POINTS))
            rows = rows[np.unique(np.minimum(at, rows.size - 1))]
        kept.append(rows)
    columns = ["run", "params", "step", "tokens", "flops", "loss"]
    return table[columns].iloc[np.concatenate(kept)].reset_index(drop=True)


def message(certificate: EnvelopeCertificate, misfit: LackOfFit, last_fraction: float) -> str:
    """What a reader must be warned of, empty if nothing."""
    warnings = []
    share, n_sizes = certificate["share_in_last_fraction"], certificate["sizes_on_frontier"]
    if n_sizes < FEW_SIZES:
        warnings.append(f"only {n_sizes} sizes win on the frontier, a coarse staircase")
    if share is not None and share < 0.5:
        warnings.append(
            f"only {share:.0%} of the frontier lies in the last {last_fraction:.0%} of its "
            "schedule, where the loss is what a finished run would have: set "
            "envelope.only_schedule_end if runs log enough there"
        )
    if certificate["runs_unfinished"]:
        warnings.append(
            f"{count(certificate['runs_unfinished'], 'run')} ended before their schedule and hold "
            f"{certificate['share_of_unfinished_runs']:.0%} of the frontier"
        )
    if certificate["share_at_end_sizes"] > END_SHARE:
        warnings.append(
            f"{certificate['share_at_end_sizes']:.0%} of the frontier belongs to the smallest or "
            "largest size, which flattens the law"
        )
    if certificate["draws_failed"] > 0.05 * certificate["draws"]:
        warnings.append(
            f"{certificate['draws_failed']} of {certificate['draws']} resamples have no frontier"
        )
    if not certificate["loss_law"].startswith("E"):
        warnings.append(f"loss law {certificate['loss_law']}")
    test = certificate["curvature"]
    if test["p_value"] is not None and test["p_value"] < curvature.LEVEL:
        warnings.append(curvature.sentence(certificate["a_by_thirds"], test))
    if misfit.significant:
        warnings.append(misfit.sentence())
    return "; ".join(warnings)


def notes(certificate: EnvelopeCertificate, reading: EnvelopeReading) -> list[str]:
    """What else was found, no reason to warn: tests that found nothing, the floor of the loss."""
    test = certificate["curvature"]
    bends = test["p_value"] is not None and test["p_value"] < curvature.LEVEL
    return [
        "" if bends else curvature.sentence(certificate["a_by_thirds"], test),
        "" if reading.misfit.significant else reading.misfit.sentence(),
        reading.point.loss.note(),
    ]
