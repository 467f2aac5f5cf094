"""Runs that no fit has seen, such as the large models that a ladder was made for: told and seen.

What a law is worth shows where its maker could not look. A law L(N, D) predicts the loss of any
run; a law of compute predicts only that of the best run of the same compute, which a run with
other params and tokens should lie above.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.audit.finding import Finding, draws_of, surface_of
from flopline.audit.held_out_kinds import BEST_RUN, THIS_RUN
from flopline.audit.hygiene_facts import log_residuals
from flopline.audit.other_surfaces import other_surfaces
from flopline.documents import number_in
from flopline.errors import FloplineError
from flopline.laws.common.bootstrap import new_run_errors
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.fit_result import FAILED
from flopline.laws.parametric.stated_form import estimator_of, form_of
from flopline.laws.spec import Says, spec_of, surface_law
from flopline.numbers import count, factor, significant
from flopline.options import StudyOptions
from flopline.results import LawResults
from flopline.schema import LEVELS
from flopline.surfaces.surface import Law
from flopline.verdict_scale import Verdict, warned_if, worst

Floats = NDArray[np.float64]

UNNAMED: Final = "main"
"""The estimator of a law of compute, of which only the main line predicts a run."""
REFUTED_PERCENT: Final = 1.0
"""Mean error of held-out losses below which no line is refuted."""
NAMED: Final = 3
"""Runs that the sentence names at most: those with the largest errors."""


def audit(
    held: pd.DataFrame,
    points: pd.DataFrame,
    fits: Mapping[str, LawResults],
    study: StudyOptions | None = None,
) -> Finding:
    """What every law predicts of the `held` runs, beside what was seen.

    `held` and `points`, what a surface is fitted to, have columns run, params [weights], tokens,
    flops, loss [nats per token]; `fits` are those of the laws, a surface L(N, D) among them, under
    the options `study`. Table predictions: one row per run and estimator, with predicted, seen,
    error (predicted less seen), its intervals and whether they hold what was seen. Those of the
    surface are of one new run: draws and the scatter of the fitted runs. It is refuted where none
    holds its run, and the mean error is REFUTED_PERCENT or more. Its other objectives and
    forms have no scatter, laws of compute none at all, and so no such judgement.

    Raises FloplineError where no law says a surface, or its fit has none.
    """
    held = held.sort_values(["flops", "run"], ignore_index=True)
    largest = float(points["flops"].max())
    judge = surface_law(fits)
    if judge is None:
        raise FloplineError(
            "the runs held out are judged by a surface L(N, D), but none is fitted: keep "
            "parametric in `laws` in the study file."
        )
    seed = (study or StudyOptions()).of(BootstrapOptions).seed
    parts = [_of_surface(held, points, judge, fits[judge], seed)]
    parts += [_of_law(held, judge, name, law) for name, law in other_surfaces(fits[judge])]
    parts += [
        _of_compute(held, law, fit)
        for law, fit in fits.items()
        if spec_of(law).says is Says.COMPUTE
    ]
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    return _finding(table, held, largest)


def _of_surface(
    held: pd.DataFrame, points: pd.DataFrame, law: str, fit: LawResults, seed: int
) -> pd.DataFrame:
    """What a surface predicts, with intervals where it has draws.

    Returns the rows of `_compared`, with intervals filled in where there are draws.
    """
    surface = surface_of(fit.content)
    out = _of_law(held, law, estimator_of(fit.content), surface)
    try:
        draws = draws_of(fit.draws)
    except FloplineError:
        return out
    # One residual for each run, at its end, as the fit itself takes them for one new run.
    ends = points.sort_values(["run", "tokens"], kind="stable").groupby("run").tail(1)
    residuals = log_residuals(surface, ends)
    params, tokens = (held[c].to_numpy(dtype=float) for c in ("params", "tokens"))
    losses = draws.loss(params, tokens)
    scatter = new_run_errors(residuals, len(form_of(fit.content).free), len(losses), seed)
    losses = losses * np.exp(scatter)[:, None]
    for level in LEVELS:
        low, high = np.percentile(losses, (50 - level / 2, 50 + level / 2), axis=0)
        out[f"lo{level}"], out[f"hi{level}"] = low, high
        inside = out["seen"].between(out[f"lo{level}"], out[f"hi{level}"])
        out[f"inside{level}"] = np.where(inside, "yes", "no")
    return out


def _of_law(held: pd.DataFrame, name: str, estimator: str, law: Law) -> pd.DataFrame:
    params, tokens = (held[c].to_numpy(dtype=float) for c in ("params", "tokens"))
    return _compared(held, name, estimator, THIS_RUN, law.loss(params, tokens))


def _of_compute(held: pd.DataFrame, law: str, fit: LawResults) -> pd.DataFrame:
    """L = L_E + L_K C^-L_c at the run's compute, of the fit and of each of its draws."""
    content = fit.content
    if content["status"] == FAILED:
        return held.iloc[:0]
    names, flops = ["L_E", "L_K", "L_c"], held["flops"].to_numpy(dtype=float)
    floor, scale, power = (number_in(content["parameters"][name]) for name in names)
    out = _compared(held, law, UNNAMED, BEST_RUN, floor + scale * flops**-power)
    drawn = fit.draws[names].dropna().to_numpy(dtype=float)
    if len(drawn) > 1:
        floors, scales, powers = drawn.T[:, :, None]
        losses = floors + scales * flops**-powers
        for level in LEVELS:
            low, high = np.percentile(losses, (50 - level / 2, 50 + level / 2), axis=0)
            out[f"lo{level}"], out[f"hi{level}"] = low, high
    return out


def _compared(held: pd.DataFrame, law: str, estimator: str, of: str, loss: Floats) -> pd.DataFrame:
    """Predictions beside what was seen.

    Returns one row for each held run, intervals missing and not yet judged.
    """
    out = pd.DataFrame({"law": law, "estimator": estimator}, index=held.index)
    for name in ("run", "params", "tokens", "flops"):
        out[name] = held[name]
    out["of"], out["predicted"], out["seen"] = of, loss, held["loss"].astype(float)
    out["error"] = out["predicted"] - out["seen"]
    out["error_percent"] = 100 * out["error"] / out["seen"]
    for level in LEVELS:
        out[f"lo{level}"] = out[f"hi{level}"] = np.nan
    for level in LEVELS:
        out[f"inside{level}"] = "not judged"
    return out


def _finding(table: pd.DataFrame, held: pd.DataFrame, largest: float) -> Finding:
    law, estimator = table[["law", "estimator"]].iloc[0]
    main = table[(table["law"] == law) & (table["estimator"] == estimator)]
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
    listed = "; ".join(_one(row) for _, row in main.loc[order[:NAMED]].iterrows())
    more = f" (the {NAMED} largest errors of {len(main)})" if len(main) > NAMED else ""
    sentence = (
        f"No fit has seen {count(len(held), 'run')} of up to {factor(reach)} the compute of the "
        f"largest that was fitted. The {spec_of(law).label} law predicts{more}: {listed}."
    )
    if len(judged):
        sentence += f" {inside} of {len(judged)} lie in the 95 % prediction of one new run."
    if len(own) > len(main):
        low, high = (_signed(f(own["error_percent"])) for f in (min, max))
        sentence += f" Over all objectives and forms the errors go from {low} to {high} %."
    if len(best):
        under = int((best["error"] > 0).sum())
        sentence += (
            f" Of the losses that the laws of compute alone predict for the best run, {under} of "
            f"{len(best)} lie above what was seen, where only noise should put one."
        )
    verdict = worst(warned_if(held != "yes") for held in judged["inside95"])
    if len(judged) and not inside and abs(numbers["mean_error_percent"]) >= REFUTED_PERCENT:
        verdict = Verdict.REFUTED
    return Finding("held_out", verdict, sentence, numbers, {"predictions": table})


def _one(row: pd.Series) -> str:
    sentence = f"{significant(row['predicted'])} for {row['run']}"
    if np.isfinite(row["lo95"]):
        sentence += f" [{significant(row['lo95'])}, {significant(row['hi95'])}]"
    return (
        f"{sentence}, where {significant(row['seen'])} is seen ({_signed(row['error_percent'])} %)"
    )


def _signed(percent: float) -> str:
    return f"{'+' if percent > 0 else ''}{significant(percent, 2)}"
