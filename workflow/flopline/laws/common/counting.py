"""The law of C / 6ND of a study's runs, by which budgets are spent where the runs do not cost 6ND.

Each form of it is fitted to ln(C / 6ND) with Huber's weights, so that a run with a slip in its
FLOPs does not turn it, and the form is chosen by how it predicts the runs of largest compute from
the others: what is asked of it lies beyond them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.errors import FloplineError
from flopline.flops import six_nd
from flopline.laws.common.bootstrap import run_weights
from flopline.laws.common.inputs import named
from flopline.numbers import flops_label, significant
from flopline.surfaces.count import Count

Floats = NDArray[np.float64]

FEW_PERCENT: Final = 0.03
"""How far C / 6ND may lie from 1 in half of the runs, or of the largest, before it is reckoned
with: rounded counts and nominal budgets stay below."""
ABSURD: Final = 100.0
"""C / 6ND, or its inverse, from which a unit is wrong: attention, vocabulary, recomputed
activations and experts that rest stay far below together."""
LARGEST: Final = 1 / 3
"""Share of the runs, those of largest compute, that forms predict from the others."""
MIN_RUNS: Final = 6
"""Runs below which only a constant ratio is fitted."""
TIE: Final = (1.1, 1e-3)
"""A simpler form is taken whose median error of ln(C / 6ND) is at most this many times that of the
best, or larger by this much."""
HUBER: Final = 1.345
STEPS: Final = 20
TELLS: Final = 1e-3
"""Smallest over largest singular value of ln N and ln D above which their powers are told apart."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The count of the runs and that of every draw, with a sentence on it."""

    point: Count
    drawn: Count
    sentence: str


@dataclass(frozen=True, slots=True)
class _Form:
    """One form of the ratio: linear in its terms once `turned`; `floor` is 0 or 1."""

    words: str
    floor: float
    terms: tuple[str, ...]


FORMS: Final = (
    _Form("a constant", 0.0, ()),
    _Form("an excess that dies out with N", 1.0, ("params",)),
    _Form("a power of N", 0.0, ("params",)),
    _Form("powers of N and D", 0.0, ("params", "tokens")),
)
"""The forms from the simplest; an excess that dies out stays near 6ND however far it is carried."""


def counted(points: pd.DataFrame, draws: int, seed: int, law: str, family: str) -> Counted | None:
    """How the runs' FLOPs are counted, None where C is 6ND within a few percent.

    `points` has columns run, params [weights], tokens, flops; every draw resamples runs. Raises
    FloplineError where C / 6ND is absurd.
    """
    runs = points["run"].astype(str).tolist()
    params, tokens, flops = (points[c].to_numpy(float) for c in ("params", "tokens", "flops"))
    ln_ratio = np.log(flops) - np.log(six_nd(params, tokens))
    _demand_sane(points, ln_ratio, law, family)
    order = np.argsort(flops, kind="stable")
    largest = order[-max(1, round(LARGEST * order.size)) :]
    off = max(np.median(np.abs(np.expm1(ln_ratio[rows]))) for rows in (order, largest))
    if off <= FEW_PERCENT:
        return None
    spread = {"params": np.log(params), "tokens": np.log(tokens)}
    form = _chosen(spread, ln_ratio, largest, len(set(runs)))
    weights = run_weights(runs, draws, seed)
    point, robust = _fitted(form, spread, ln_ratio)
    drawn = _solved(form, spread, ln_ratio, weights * robust)
    return Counted(point, drawn, _sentence(form, point, np.exp(ln_ratio)))


def _demand_sane(points: pd.DataFrame, ln_ratio: Floats, law: str, family: str) -> None:
    middle = float(np.exp(np.median(ln_ratio)))
    if 1 / ABSURD < middle < ABSURD:
        return
    row = points.iloc[int(np.argsort(ln_ratio, kind="stable")[ln_ratio.size // 2])]
    raise FloplineError(
        f"{law} needs FLOPs, params and tokens in one system of units, but the FLOPs of "
        f"{named(family)} are {significant(middle, 2)} times 6ND (run '{row['run']}': "
        f"{flops_label(row['flops'])} FLOPs, {row['params']:.4g} params, {row['tokens']:.4g} "
        "tokens), which no count of training compute comes near: correct the unit of one of the "
        "three columns in the study file or the run table."
    )


def _chosen(
    spread: dict[str, Floats], ln_ratio: Floats, largest: NDArray[np.int64], runs: int
) -> _Form:
    """The simplest form that predicts the largest runs about as well as the best does."""
    if runs < MIN_RUNS:
        return FORMS[0]
    below = np.setdiff1d(np.arange(ln_ratio.size), largest)
    errors = []
    for form in FORMS:
        if not _tells(form, {k: v[below] for k, v in spread.items()}, ln_ratio[below]):
            errors.append(np.inf)
            continue
        count, _ = _fitted(form, {k: v[below] for k, v in spread.items()}, ln_ratio[below])
        ratio = count.ratio(*(np.exp(spread[k][largest]) for k in ("params", "tokens")))
        error = np.median(np.abs(np.log(ratio) - ln_ratio[largest]))
        errors.append(float(error) if np.isfinite(error) else np.inf)
    times, more = TIE
    enough = max(times * min(errors), min(errors) + more)
    return next(form for form, error in zip(FORMS, errors, strict=True) if error <= enough)


def _tells(form: _Form, spread: dict[str, Floats], ln_ratio: Floats) -> bool:
    """Whether runs can tell the terms of a form: they vary apart, and an excess has one sign."""
    if form.floor:
        excess = np.expm1(ln_ratio)
        if not ((excess > 0).all() or (excess < 0).all()):
            return False
        if _fitted(form, spread, ln_ratio)[0].of_params >= 0:  # type: ignore[operator]
            return False
    if not form.terms:
        return True
    columns = np.stack([spread[t] - spread[t].mean() for t in form.terms], axis=1)
    size = np.linalg.svd(columns, compute_uv=False)
    return bool(size[0] > 0 and size[-1] > TELLS * size[0])


def _fitted(form: _Form, spread: dict[str, Floats], ln_ratio: Floats) -> tuple[Count, Floats]:
    """The count by Huber's weights, and these weights (points,).

    An excess is fitted as a logarithm, each weighted by the square of what the fit has there: to
    first order least squares of the ratio itself, so that runs all but at 6ND do not decide.
    """
    excess = np.abs(np.expm1(ln_ratio))
    size = np.minimum(excess, np.median(excess))
    robust = np.ones(ln_ratio.size)
    for _ in range(STEPS):
        weights = np.maximum(robust * size**2 if form.floor else robust, 1e-12)
        count = _solved(form, spread, ln_ratio, weights[None])
        ratio = count.ratio(np.exp(spread["params"]), np.exp(spread["tokens"]))[0]
        size = np.minimum(np.abs(ratio - 1.0), excess.max())
        rest = np.abs(np.log(ratio) - ln_ratio)
        scale = HUBER * 1.4826 * float(np.median(rest))
        robust = np.where(rest > scale, scale / np.maximum(rest, 1e-300), 1.0)
    fields = (count.floor, count.coef, count.of_params, count.of_tokens)
    return Count(*(float(np.asarray(v)[0]) for v in fields)), weights


def _solved(form: _Form, spread: dict[str, Floats], ln_ratio: Floats, weights: Floats) -> Count:
    """Weighted least squares for the rows of `weights` (rows, points)."""
    y, sign = ln_ratio, 1.0
    if form.floor:
        excess = np.expm1(ln_ratio)
        sign = float(np.sign(np.median(excess)))
        y = np.log(np.maximum(sign * excess, 1e-300))
    centre = {t: float(spread[t].mean()) for t in form.terms}
    columns = np.stack([np.ones(y.size), *(spread[t] - centre[t] for t in form.terms)], axis=1)
    normal = np.einsum("rp,pi,pj->rij", weights, columns, columns)
    right = np.einsum("rp,pi,p->ri", weights, columns, y)
    theta = np.einsum("rij,rj->ri", np.linalg.pinv(normal, rcond=1e-12, hermitian=True), right)
    powers = dict(zip(form.terms, theta[:, 1:].T, strict=True))
    start = theta[:, 0] - sum(powers[t] * centre[t] for t in form.terms)
    none = np.zeros(len(weights))
    return Count(
        np.full(len(weights), form.floor),
        sign * np.exp(start),
        powers.get("params", none),
        powers.get("tokens", none),
    )


def _sentence(form: _Form, count: Count, ratio: Floats) -> str:
    show: Callable[[float], str] = lambda x: significant(float(x), 3)  # noqa: E731
    low, high = show(ratio.min()), show(ratio.max())
    return (
        f"budgets are spent as the study counts FLOPs, {low} to {high} times 6ND in the runs and "
        f"{formula(form.floor, count)} times beyond them ({form.words})"
    )


def formula(floor: float, count: Count) -> str:
    """C / 6ND in plain text, for a count of one draw."""
    parts = f"{significant(float(np.asarray(count.coef)), 3)}"
    for name, power in (("N", count.of_params), ("D", count.of_tokens)):
        if float(np.asarray(power)):
            parts += f" {name}^{significant(float(np.asarray(power)), 3)}"
    return f"(1 + {parts})" if floor else parts
