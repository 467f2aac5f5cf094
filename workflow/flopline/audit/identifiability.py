"""Whether the runs can tell the terms of the loss surface apart, and what stays open if not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.audit import collinear
from flopline.audit.allowed import ALLOWED_RISE
from flopline.audit.finding import Finding
from flopline.errors import FloplineError
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.fit_result import FAILED
from flopline.laws.common.inputs import checked, named
from flopline.laws.parametric.parametric_fit import (
    ILL_CONDITIONED,
    NARROW,
    RAY,
    problem_of,
    token_spread,
)
from flopline.laws.parametric.parametric_law import LAW as PARAMETRIC
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.laws.spec import spec_of
from flopline.loss_units import NATS, words
from flopline.numbers import flops_label, humanise, significant
from flopline.options import StudyOptions
from flopline.solvers.descent import assess, jacobian
from flopline.solvers.minimisation import minimise_held
from flopline.solvers.problem import Problem
from flopline.solvers.surface_family import CHINCHILLA, Form, unknowns_of
from flopline.surfaces.chinchilla import PARAMETERS, LossSurface
from flopline.surfaces.surface import parameters
from flopline.verdict_scale import Verdict, warned_if

Floats = NDArray[np.float64]

PROFILE_STEPS: Final = 41
PROFILE_REACH: Final = (0.12, 0.25, 0.5)
"""How far the profile runs to both sides of E, as a share of it; wider where that does not raise
the objective beyond ALLOWED_RISE at both ends."""
SPOKEN: Final = 0.5
"""Share of a vector's largest component from which a parameter is named in words."""
NEARLY_AS_WEAK: Final = 10.0
"""The second direction is told too if its eigenvalue is within this factor of the weakest."""


def audit(
    points: pd.DataFrame,
    surface: LossSurface | None,
    target_flops: float,
    study: StudyOptions | None = None,
    *,
    form: Form[Any] = CHINCHILLA,
    estimators: Mapping[str, pd.DataFrame] | None = None,
    family: str = "",
    loss_unit: str = NATS,
) -> Finding:
    """Conditioning, profile of E, tokens-per-param coverage, and the law on the ray if it is one.

    `points` has columns run, params [weights], tokens, loss [nats per token]; `surface` is their
    parametric fit, of `form`, under the options `study`, None if that failed since tokens follow
    from params; `target_flops` a budget C [FLOPs]; `estimators` the tables of estimators by law.
    Tables: directions (eigenvectors of the scaled J'J), profile (E held, the rest refitted),
    coverage (the runs' tokens per param and the target's) and ratios (what every law wants beside
    that range). Where tokens follow from params N_opt is refused, and the tables are ray (the
    reduced law psi N^-alpha + E with its forecast, and intervals from the bootstrap over runs) and
    ray_curve. Raises FloplineError for unusable points or a missing fit.
    """
    study = study or StudyOptions()
    table = checked(points, ("params", "tokens", "loss"), (), "identifiability", family)
    table = table.sort_values(["run", "tokens", "params", "loss"], ignore_index=True)
    params, tokens = (table[c].to_numpy() for c in ("params", "tokens"))
    spread = token_spread(params, tokens)
    if spread < RAY:
        bootstrap = study.of(BootstrapOptions)
        tables = collinear.tables_of(table, target_flops, bootstrap.draws, bootstrap.seed)
        sentence = collinear.sentence(spread, tables["ray"].iloc[0])
        return Finding(
            "identifiability", Verdict.REFUTED, sentence, {"token_spread": spread}, tables
        )
    if surface is None:
        raise FloplineError(
            f"the identifiability of {named(family)} needs its parametric fit, which is missing: "
            "keep parametric in `laws` in the study file and mend what it says."
        )
    problem = problem_of(table, study.of(ParametricOptions))
    directions = _directions(problem, form, surface, params, tokens)
    condition = float(directions.loc[directions["frame"] == "centred", "condition"].iloc[0])
    coverage = _coverage(surface, params, tokens, target_flops)
    tables = {"directions": directions, "coverage": coverage}
    tables["ratios"] = _ratios(estimators or {}, coverage.iloc[0], target_flops)
    outside = tables["ratios"].query("main and not inside")
    numbers: dict[str, object] = {"token_spread": spread, "condition": condition}
    numbers["ratio_variance"] = float(coverage["ratio_variance"].iloc[0])
    sentence = _weakest(directions)
    if "E" in form.free:
        profile, closed = _closed_profile(problem, form, surface, target_flops)
        tables["profile"] = profile
        near = profile[profile["converged"] & (profile["rise"] <= ALLOWED_RISE)]
        for name in ("E", "alpha", "beta", "params"):
            numbers[f"profile_{name}"] = [float(near[name].min()), float(near[name].max())]
        numbers["profile_closed"] = closed
        sentence += f". {_floors(near, closed, target_flops, loss_unit)}"
    inside = bool(coverage["target_inside"].iloc[0])
    warned = [spread < NARROW, condition > ILL_CONDITIONED, not inside, len(outside) > 0]
    sentence += _reservations(spread, condition, coverage.iloc[0])
    sentence += _beyond(outside[outside["law"] != PARAMETRIC.name])
    return Finding("identifiability", warned_if(any(warned)), sentence + ".", numbers, tables)


def _floors(near: pd.DataFrame, closed: bool, target_flops: float, loss_unit: str) -> str:
    """Which floors fit nearly as well as the best one, and the N that they go with."""
    reach = "from" if closed else "at least from"
    return (
        f"A floor E {reach} {significant(near['E'].min(), 3)} to "
        f"{significant(near['E'].max(), 3)} {words(loss_unit)} fits nearly as well as the best one "
        f"(objective within {100 * ALLOWED_RISE:.0f} %); over that range N at "
        f"{flops_label(target_flops)} FLOPs goes from {humanise(near['params'].min())} to "
        f"{humanise(near['params'].max())}"
    )


def profile_of_floor(
    problem: Problem,
    surface: LossSurface,
    target_flops: float,
    reach: float = PROFILE_REACH[0],
    steps: int = PROFILE_STEPS,
    form: Form[Any] = CHINCHILLA,
) -> pd.DataFrame:
    """The best fit for each held E: objective, exponents and N_opt at `target_flops` along it.

    E runs `reach` of itself to both sides in `steps`, where it is 0 up to that share of the least
    loss. Each E is held by one pseudo-observation of
    large weight at infinite N and D, so that the exact solver of the fit does the rest.

    Returns one row for each E that was held; `converged` says whether its fit did.
    """
    floor = float(np.asarray(surface.E))
    unit = floor or float(np.exp(problem.target.min() + problem.centre[2]))
    held = floor + unit * np.linspace(-reach, reach, steps)
    held = held[held > 0]
    best = unknowns_of(problem, surface)
    fits = minimise_held(problem, form, held * np.exp(-problem.centre[2]), best)
    equal = np.ones((held.size, problem.x.size))
    objective = assess(problem, form, equal, fits.unknowns).objective
    lowest = assess(problem, form, equal[:1], best[None]).objective[0]
    along = form.as_stated(problem, fits.unknowns)
    return pd.DataFrame(
        {
            "E": held,
            "objective": objective,
            "rise": objective / lowest - 1,
            **{name: getattr(along, name) for name in PARAMETERS[1:]},
            "params": along.params_opt([target_flops])[:, 0],
            "converged": fits.converged,
        }
    )


def _closed_profile(
    problem: Problem, form: Form[Any], surface: LossSurface, target_flops: float
) -> tuple[pd.DataFrame, bool]:
    """The narrowest profile beyond whose ends no E fits well, and whether there is one."""
    for reach in PROFILE_REACH:
        profile = profile_of_floor(problem, surface, target_flops, reach, form=form)
        low, high = (profile["rise"].iloc[end] > ALLOWED_RISE for end in (0, -1))
        closed = bool(high and (low or not np.asarray(surface.E)))
        if closed:
            break
    return profile, closed


def _directions(
    problem: Problem, form: Form[Any], surface: LossSurface, params: Floats, tokens: Floats
) -> pd.DataFrame:
    """Eigenvectors of J'J with unit columns, weakest first, centred and in published form.

    In the published form A and B are amplitudes at one param and one token; centred, they are
    amplitudes at the geometric mean of the runs.

    Returns:
        One row per frame and direction: frame, condition, eigenvalue, the part of each unknown in
        it, and the same in words.
    """
    unknowns = unknowns_of(problem, surface)
    law = form.law(problem, unknowns)
    frames = {
        "published": (parameters(law), law.log_loss_gradient(params, tokens)),
        "centred": (form.names, jacobian(problem, form, unknowns[None])[0].T),
    }
    rows = []
    for frame, (names, columns) in frames.items():
        unit = columns / np.linalg.norm(columns, axis=0)
        _, strength, vectors = np.linalg.svd(unit, full_matrices=False)
        for k in reversed(range(strength.size)):
            vector = vectors[k] * np.sign(vectors[k][np.abs(vectors[k]).argmax()])
            rows.append(
                {
                    "frame": frame,
                    "condition": _ratio(strength[0], strength[-1]) ** 2,
                    "eigenvalue": strength[k] ** 2,
                    **dict(zip(names, vector, strict=True)),
                    "words": in_words(vector, names),
                }
            )
    return pd.DataFrame(rows)


def _weakest(directions: pd.DataFrame) -> str:
    """The direction that the runs tell least of, and the next if it is nearly as weak."""
    first, second = directions[directions["frame"] == "published"].iloc[:2].itertuples()
    # In other proportions the same ones may trade again.
    if second.eigenvalue > NEARLY_AS_WEAK * first.eigenvalue or second.words == first.words:
        return f"Least pinned down by these runs: {first.words}"
    return f"Least pinned down by these runs: {first.words} and {second.words}"


def in_words(vector: Floats, names: Sequence[str] = PARAMETERS) -> str:
    """Those of `names` that move together in a unit vector, as "A trades with alpha"."""
    size = np.abs(vector)
    moving = [n for n, v in zip(names, size, strict=True) if v >= SPOKEN * size.max()]
    if len(moving) == 1:
        return f"{moving[0]} moves alone"
    first, *middle, last = moving
    return f"{first} trades with {', '.join(middle)}{' and ' if middle else ''}{last}"


def _coverage(
    surface: LossSurface, params: Floats, tokens: Floats, target_flops: float
) -> pd.DataFrame:
    """Range of D/N of the runs, var(k^-beta) over it, and where the target's optimum lies."""
    ratio = tokens / params
    best_n, best_d = (
        float(surface.params_opt(target_flops)),
        float(surface.tokens_opt(target_flops)),
    )
    return pd.DataFrame(
        {
            "ratio_min": [ratio.min()],
            "ratio_median": np.median(ratio),
            "ratio_max": ratio.max(),
            "ratio_variance": (ratio ** -np.asarray(surface.beta, dtype=float)).var(),
            "target_ratio": best_d / best_n,
            "target_inside": bool(ratio.min() <= best_d / best_n <= ratio.max()),
            "params_beyond": best_n / params.max(),
            "tokens_beyond": best_d / tokens.max(),
        }
    )


def _reservations(spread: float, condition: float, coverage: pd.Series) -> str:
    reasons = []
    if spread < NARROW:
        reasons.append(f"tokens nearly follow from params (ln D leaves its line by {spread:.2g})")
    if condition > ILL_CONDITIONED:
        reasons.append(f"parameters trade off freely (condition number {condition:.1e})")
    if not coverage["target_inside"]:
        reasons.append(
            f"the target's optimum has {humanise(coverage['target_ratio'])} tokens per param, "
            f"outside the runs' {humanise(coverage['ratio_min'])} to "
            f"{humanise(coverage['ratio_max'])}"
        )
    return "".join(f"; {text}" for text in reasons)


def _ratios(
    estimators: Mapping[str, pd.DataFrame], coverage: pd.Series, target_flops: float
) -> pd.DataFrame:
    """Tokens per param that every estimator wants at every budget, against those of the runs.

    `beyond` is the factor by which it leaves their range, 1 inside.
    """
    rows = [(PARAMETRIC.name, "surface", True, target_flops, float(coverage["target_ratio"]))]
    if estimators:
        rows = [
            (law, row["estimator"], bool(row["main"]), row["budget_flops"], row["tokens_per_param"])
            for law, table in estimators.items()
            for row in table.to_dict("records")
            if row["status"] != FAILED and np.isfinite(row["tokens_per_param"])
        ]
    names = ["law", "estimator", "main", "budget_flops", "tokens_per_param"]
    out = pd.DataFrame(rows, columns=names)
    low, high = float(coverage["ratio_min"]), float(coverage["ratio_max"])
    out["ratio_min"], out["ratio_max"] = low, high
    wanted = out["tokens_per_param"].to_numpy(dtype=float)
    out["beyond"] = np.maximum(np.maximum(low / wanted, wanted / high), 1.0)
    out["inside"] = out["beyond"] == 1.0
    return out


def _beyond(outside: pd.DataFrame) -> str:
    """What the other laws want beyond the runs' tokens per param, the farthest of each."""
    if outside.empty:
        return ""
    farthest = outside.loc[outside.groupby("law", sort=False)["beyond"].idxmax()]
    reasons = [
        f"the {spec_of(row['law']).label} law wants {humanise(row['tokens_per_param'])} tokens per "
        f"param at {flops_label(row['budget_flops'])} FLOPs, {humanise(row['beyond'])} times "
        "beyond the runs"
        for row in farthest.to_dict("records")
    ]
    return "".join(f"; {text}" for text in reasons)


def _ratio(largest: float, smallest: float) -> float:
    return float(largest / smallest) if smallest > 0 else float("inf")
