"""What may be wrong with the profile of one compute budget, one check and one reason each.

Three faults leave a budget without a usable vertex and always exclude it (valley.py): too few
sizes, no valley, a vertex outside or at the edge of the grid. The checks here are about vertices
that exist but deserve less trust.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from flopline.laws.common.inputs import size_classes
from flopline.laws.common.loss_compute import fit_loss_compute
from flopline.laws.isoflop.outliers import outliers
from flopline.laws.isoflop.parabola import curvature_t, fit_parabolas
from flopline.laws.isoflop.valley import Valley
from flopline.numbers import humanise, significant

Floats = NDArray[np.float64]

LEVEL: Final = 0.05
"""Level of the two tests, one-sided for the curvature, two-sided over all runs of a budget for the
outlier (Bonferroni): at most one sound budget in twenty is flagged by the second."""
LOST_SIZES: Final = 0.25
"""Share of a budget's sizes lost when those closer than inputs.SAME_SIZE count once."""
OFF_CENTRE: Final = 0.5
"""Distance of the vertex from the middle of the grid, as a share of its half-width [ln]: beyond it
the vertex has less than a quarter of the grid on one side."""
SHIFT: Final = 0.05
"""Shift of ln N at the vertex that one run, or the trend of FLOPs with size inside a budget, may
make: about the standard error of a vertex with ten runs."""
ALONE: Final = 1e-9
"""A run whose leverage is this close to 1 is fitted by its own loss: it cannot be an outlier."""


@dataclass(frozen=True, slots=True)
class Checks:
    """Value and verdict of every check, named as in the vertices table; True is a pass.

    `vertex_position` is 0 at the smallest size and 1 at the largest; `flops_slope` is d ln C /
    d ln N among the runs. NaN where a value cannot be had: the verdict is then False, but for
    the drift of FLOPs, which needs losses that fall from budget to budget.
    """

    enough_sizes: bool
    valley: bool
    vertex_position: float
    curvature_t: float
    curvature_p: float
    curved: bool
    near_duplicates: int
    sizes_apart: bool
    centre_offset: float
    centred: bool
    outlier_run: str
    outlier_t: float
    outlier_p: float
    outlier_shift: float
    leave_one_out_shift: float
    without_outlier: bool
    flops_slope: float
    flops_shift: float
    flops_level: bool
    flags: str

    def columns(self) -> dict[str, object]:
        """All values and verdicts, in order, for one row of a table."""
        return asdict(self)


def assess(valleys: Sequence[Valley], min_sizes: int) -> list[Checks]:
    """The checks of every budget; the slope of loss with compute is that between the budgets."""
    slopes = _loss_slopes(valleys)
    return [_assessed(v, slope, min_sizes) for v, slope in zip(valleys, slopes, strict=True)]


def _loss_slopes(valleys: Sequence[Valley]) -> Floats:
    """d L / d ln C along the vertices at every budget, NaN where the loss does not fall."""
    ln_c = np.array([v.ln_flops for v in valleys])
    usable = np.array([v.used for v in valleys])
    bottoms = np.where(usable, [v.optimum[2] for v in valleys], np.nan)
    law = fit_loss_compute(ln_c, bottoms, 1.0)
    return np.asarray(law.c[0] * (law.E[0] - law.at(ln_c)[0]))


def _assessed(v: Valley, loss_slope: float, min_sizes: int) -> Checks:
    rows, in_params, in_tokens = v.rows[v.view.runs], v.view.in_params, v.view.in_tokens
    ln_n, ln_c = (np.log(rows[c].to_numpy()) for c in ("params", "flops"))
    loss = rows["loss"].to_numpy()
    valley = bool(in_params.c2[0] > 0 and in_tokens.c2[0] > 0)
    low, high = float(ln_n.min()), float(ln_n.max())
    position = (v.optimum[0] - low) / (high - low) if high > low else np.nan
    t = curvature_t(ln_n, loss, in_params)
    p = float(stdtr(ln_n.size - 3, -t)) if np.isfinite(t) else 0.0 if t > 0 else np.nan
    distinct, kept = np.unique(ln_n).size, int(size_classes(np.exp(ln_n)).max()) + 1
    outlier = deleted_residuals(ln_n, loss, in_params.at(ln_n))
    together = outliers(ln_n, loss, LEVEL)
    several = int(together.outlying.sum()) > 1
    if several:
        outlier = together.t
    worst = int(np.argmax(np.abs(outlier)))
    outlier_p = together.p if several else _outlier_p(float(outlier[worst]), ln_n.size)
    slope, shift = _flops_trend(ln_n, ln_c, loss_slope, float(in_params.c2[0]))
    moves = leave_one_out_moves(ln_n, loss, float(in_params.vertex[0]))
    outlying_runs = together.outlying if several else np.arange(ln_n.size) == worst
    move = float(moves[worst])
    if several:
        classes = size_classes(np.exp(ln_n))
        others = fit_parabolas(ln_n, loss, classes, (~outlying_runs).astype(float)[None])
        move = float(others.vertex[0] - in_params.vertex[0])
    # A parabola lacks a little fit even without noise: what moves no vertex is none of our concern.
    outlying = (several or outlier_p < LEVEL) and abs(move) > SHIFT
    offset = abs(2.0 * position - 1.0)
    verdicts = {
        "curved": p < LEVEL,
        "sizes_apart": distinct - kept <= LOST_SIZES * distinct,
        "centred": offset <= OFF_CENTRE,
        "without_outlier": not outlying,
        "flops_level": not abs(shift) > SHIFT,
    }
    names = [str(run) for run in rows["run"][outlying_runs]]
    quoted = ", ".join(
        f"'{run}' ({humanise(float(n))} params)"
        for run, n in zip(names, rows["params"][outlying_runs], strict=True)
    )
    those = f"runs {quoted} are outliers" if several else f"run {quoted} is an outlier"
    reasons = {
        "curved": f"its curvature is not significant (t = {significant(t, 2)})",
        "sizes_apart": f"{distinct - kept} of its {distinct} sizes nearly repeat another",
        "centred": (
            f"its grid is off-centre: the vertex lies {100 * position:.0f} % of the way from the "
            "smallest size to the largest"
        ),
        "without_outlier": (
            f"{those} (t = {significant(float(outlier[worst]), 2)} against the parabola of the "
            f"others, whose vertex lies {significant(100 * float(np.expm1(move)), 2)} % off)"
        ),
        "flops_level": (
            f"the FLOPs of its runs {'rise' if slope > 0 else 'fall'} with size (slope "
            f"{significant(slope, 2)}), which moves the vertex by about "
            f"{significant(100 * np.expm1(shift), 2)} %"
        ),
    }
    flags = "; ".join(reasons[name] for name, fine in verdicts.items() if not fine)
    return Checks(
        enough_sizes=v.n_sizes >= min_sizes,
        valley=valley,
        vertex_position=position,
        curvature_t=t,
        curvature_p=p,
        near_duplicates=distinct - kept,
        centre_offset=offset,
        outlier_run=", ".join(names) if outlying else "",
        outlier_t=float(outlier[worst]),
        outlier_p=outlier_p,
        outlier_shift=move,
        leave_one_out_shift=float(np.nanmax(np.abs(moves))) if np.isfinite(moves).any() else np.nan,
        flops_slope=slope,
        flops_shift=shift,
        flags="" if v.reason else flags,
        **verdicts,
    )


def deleted_residuals(x: Floats, y: Floats, fitted: Floats) -> Floats:
    """Externally studentised residuals of an unweighted parabola, all (n,).

    Each run against the parabola of the others, in its standard errors; 0 where that is not
    defined (Cook and Weisberg 1982, Residuals and Influence in Regression, section 2.2.1).
    """
    dof = x.size - 4
    if dof < 1:
        return np.zeros(x.size)
    u = (x - x.mean()) / (np.ptp(x) or 1.0)
    q, _ = np.linalg.qr(np.stack([np.ones_like(u), u, u * u], axis=1))
    free = 1.0 - (q * q).sum(axis=1)
    e = y - fitted
    with np.errstate(divide="ignore", invalid="ignore"):
        others = (e @ e - e * e / free) / dof
        t = e / np.sqrt(others * free)
    # Residuals at the rounding of the losses carry no information.
    known = (free > ALONE) & (others > (1e-12 * np.abs(y).max()) ** 2)
    return np.where(known, t, 0.0)


def _outlier_p(t: float, runs: int) -> float:
    """Chance of a deleted residual this large among `runs` sound ones; NaN if it is untestable."""
    dof = runs - 4
    return min(1.0, 2.0 * runs * float(stdtr(dof, -abs(t)))) if dof >= 1 else np.nan


def leave_one_out_moves(ln_n: Floats, loss: Floats, vertex: float) -> Floats:
    """How far ln N at the vertex moves when each run in turn is left out; NaN where it is lost."""
    without = 1.0 - np.eye(ln_n.size)
    return fit_parabolas(ln_n, loss, size_classes(np.exp(ln_n)), without).vertex - vertex


def _flops_trend(
    ln_n: Floats, ln_c: Floats, loss_slope: float, curvature: float
) -> tuple[float, float]:
    """d ln C / d ln N inside a budget, and how far it moves the vertex in ln N to first order.

    With L = L0 + c2 (x - x0)^2 + L' s (x - mean) the minimum is at x0 - L' s / (2 c2).
    """
    u = ln_n - ln_n.mean()
    slope = float(u @ (ln_c - ln_c.mean()) / (u @ u)) if u.any() else np.nan
    return slope, -loss_slope * slope / (2.0 * curvature) if curvature > 0 else np.nan
