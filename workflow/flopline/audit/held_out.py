"""Runs that no fit has seen, such as the large models that a ladder was made for: told and seen.

What a law is worth shows where its maker could not look. A law L(N, D) foretells the loss of any
run; the envelope and the isoFLOP law foretell only that of the best run of the same compute, which
a run with other params and tokens should lie above.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.audit.finding import FINE, MIND, Finding
from flopline.audit.hygiene_facts import log_residuals
from flopline.laws.common.bootstrap import new_run_errors
from flopline.laws.common.fit_result import FAILED
from flopline.numbers import count, factor, significant
from flopline.schema import LEVELS
from flopline.solvers.surface_family import FORMS
from flopline.surfaces.chinchilla import PARAMETERS, LossSurface
from flopline.surfaces.surface import Law, parameters

Floats = NDArray[np.float64]

THIS_RUN: Final = "this run"
BEST_RUN: Final = "the best run of its compute"
NAMED: Final = 3
"""Runs that the sentence names at most: those with the largest errors."""


def audit(
    held: pd.DataFrame,
    points: pd.DataFrame,
    surface: LossSurface,
    draws: LossSurface | None,
    *,
    objective: str = "log_huber",
    variants: pd.DataFrame | None = None,
    others: Mapping[str, tuple[Mapping[str, Any], pd.DataFrame]] | None = None,
    seed: int = 0,
) -> Finding:
    """What every law foretells of the `held` runs, beside what was seen.

    `held` and `points`, what the laws are fitted to, have columns run, params [weights], tokens,
    flops, loss [nats per token]; `surface` is the parametric fit under `objective` and `draws` its
    resamples, None for no intervals; `variants` is that fit's table of other objectives and forms;
    `others` maps laws without L(N, D) to their fit's JSON and draws. Table predictions: one row per
    run and estimator, with foretold, seen, error (foretold less seen), its intervals and whether
    they hold what was seen. Those of the parametric law are of one new run: draws and the scatter
    of the fitted runs. The others have no scatter, or none at all, and so no such judgement.
    """
    held = held.sort_values(["flops", "run"], ignore_index=True)
    largest = float(points["flops"].max())
    # One residual for each run, at its end, as the fit itself takes them for one new run.
    ends = points.sort_values(["run", "tokens"], kind="stable").groupby("run").tail(1)
    residuals = log_residuals(surface, ends)
    parts = [_of_surface(held, surface, draws, residuals, objective, seed)]
    parts += [_of_law(held, name, law) for name, law in _variants(variants)]
    parts += [_of_budgets(held, law, *fit) for law, fit in (others or {}).items()]
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    return _finding(table, held, largest)


def _of_surface(
    held: pd.DataFrame,
    surface: LossSurface,
    draws: LossSurface | None,
    residuals: Floats,
    objective: str,
    seed: int,
) -> pd.DataFrame:
    out = _of_law(held, objective, surface)
    if draws is None:
        return out
    params, tokens = (held[c].to_numpy(dtype=float) for c in ("params", "tokens"))
    told = draws.loss(params, tokens)
    scatter = new_run_errors(residuals, len(PARAMETERS), len(told), seed)
    told = told * np.exp(scatter)[:, None]
    for level in LEVELS:
        low, high = np.percentile(told, (50 - level / 2, 50 + level / 2), axis=0)
        out[f"lo{level}"], out[f"hi{level}"] = low, high
        inside = out["seen"].between(out[f"lo{level}"], out[f"hi{level}"])
        out[f"inside{level}"] = np.where(inside, "yes", "no")
    return out


def _of_law(held: pd.DataFrame, estimator: str, law: Law) -> pd.DataFrame:
    params, tokens = (held[c].to_numpy(dtype=float) for c in ("params", "tokens"))
    return _told(held, "parametric", estimator, THIS_RUN, law.loss(params, tokens))


def _of_budgets(
    held: pd.DataFrame, law: str, fit: Mapping[str, Any], draws: pd.DataFrame
) -> pd.DataFrame:
    """L = L_E + L_K C^-L_c at the run's compute, of the fit and of each of its draws."""
    if fit["status"] == FAILED:
        return held.iloc[:0]
    names, flops = ["L_E", "L_K", "L_c"], held["flops"].to_numpy(dtype=float)
    floor, scale, power = (float(fit["parameters"][name]["point"]) for name in names)
    out = _told(held, law, "main", BEST_RUN, floor + scale * flops**-power)
    drawn = draws[names].dropna().to_numpy(dtype=float)
    if len(drawn) > 1:
        floors, scales, powers = drawn.T[:, :, None]
        told = floors + scales * flops**-powers
        for level in LEVELS:
            low, high = np.percentile(told, (50 - level / 2, 50 + level / 2), axis=0)
            out[f"lo{level}"], out[f"hi{level}"] = low, high
    return out


def _variants(table: pd.DataFrame | None) -> Iterator[tuple[str, Law]]:
    """The other objectives and forms as laws; one without an optimum has its loss all the same."""
    if table is None:
        return
    for name, rows in table.groupby("estimator", sort=False):
        form = FORMS.get(str(rows["form"].iloc[0]))
        if form is None:
            continue  # what it foretells takes more than params and tokens
        point = rows.set_index("parameter")["point"]
        values = [float(point.get(p, np.nan)) for p in parameters(form.surface)]
        if np.isfinite(values).all():
            yield str(name), form.surface(*values)


def _told(held: pd.DataFrame, law: str, estimator: str, of: str, foretold: Floats) -> pd.DataFrame:
    out = pd.DataFrame({"law": law, "estimator": estimator}, index=held.index)
    for name in ("run", "params", "tokens", "flops"):
        out[name] = held[name]
    out["of"], out["foretold"], out["seen"] = of, foretold, held["loss"].astype(float)
    out["error_nats"] = out["foretold"] - out["seen"]
    out["error_percent"] = 100 * out["error_nats"] / out["seen"]
    for level in LEVELS:
        out[f"lo{level}"] = out[f"hi{level}"] = np.nan
    for level in LEVELS:
        out[f"inside{level}"] = "not judged"
    return out


def _finding(table: pd.DataFrame, held: pd.DataFrame, largest: float) -> Finding:
    main = table[table["estimator"] == table["estimator"].iloc[0]]
    main = main[main["law"] == "parametric"]
    judged = main[main["inside95"] != "not judged"]
    inside = int((judged["inside95"] == "yes").sum())
    reach = float(held["flops"].max() / largest)
    own = table[table["of"] == THIS_RUN]
    best = table[table["of"] == BEST_RUN]
    numbers = {
        "held_out": len(held),
        "compute_over_largest_fitted": reach,
        "inside95": inside,
        "judged": len(judged),
        "mean_error_percent": float(main["error_percent"].mean()),
        "worst_error_percent": float(main["error_percent"].abs().max()),
        "least_error_percent_of_all": float(own["error_percent"].min()),
        "largest_error_percent_of_all": float(own["error_percent"].max()),
    }
    order = main["error_percent"].abs().sort_values(ascending=False, kind="stable").index
    told = "; ".join(_one(row) for _, row in main.loc[order[:NAMED]].iterrows())
    more = f" (the {NAMED} largest errors of {len(main)})" if len(main) > NAMED else ""
    said = (
        f"No fit has seen {count(len(held), 'run')} of up to {factor(reach)} the compute of the "
        f"largest that was fitted. The parametric law foretells{more}: {told}."
    )
    if len(judged):
        said += f" {inside} of {len(judged)} lie in the 95 % prediction of one new run."
    if len(own) > len(main):
        low, high = (_signed(f(own["error_percent"])) for f in (min, max))
        said += f" Over all objectives and forms the errors go from {low} to {high} %."
    if len(best):
        under = int((best["error_nats"] > 0).sum())
        said += (
            f" Of the losses that the laws of compute alone foretell for the best run, {under} of "
            f"{len(best)} lie above what was seen, where only noise should put one."
        )
    mind = inside < len(judged) or not len(judged)
    return Finding("held_out", MIND if mind else FINE, said, numbers, {"predictions": table})


def _one(row: pd.Series) -> str:
    said = f"{significant(row['foretold'])} for {row['run']}"
    if np.isfinite(row["lo95"]):
        said += f" [{significant(row['lo95'])}, {significant(row['hi95'])}]"
    return f"{said}, where {significant(row['seen'])} is seen ({_signed(row['error_percent'])} %)"


def _signed(percent: float) -> str:
    return f"{'+' if percent > 0 else ''}{significant(percent, 2)}"
