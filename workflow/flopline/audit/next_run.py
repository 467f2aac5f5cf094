"""Which run to train next: the one that most narrows N_opt at the target, per FLOP.

Near the optimum ln L is linear in the unknowns, so a design of runs with independent errors
sigma in ln L knows them with covariance sigma^2 (J'J)^-1 (optimal design; Fedorov 1972). One more
run with row j lowers the variance g'Vg of ln N_opt by (g'Vj)^2 / (sigma^2 + j'Vj), Sherman and
Morrison 1950 (doi 10.1214/aoms/1177729893).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from flopline.audit.audit_options import AuditOptions
from flopline.audit.finding import Finding
from flopline.errors import FloplineError
from flopline.laws.common.inputs import checked, named
from flopline.numbers import flops_label, humanise, significant
from flopline.options import StudyOptions
from flopline.solvers.descent import jacobian
from flopline.solvers.objectives import log_squares
from flopline.solvers.problem import Problem
from flopline.solvers.surface_family import CHINCHILLA, Form, unknowns_of
from flopline.surfaces.chinchilla import LossSurface
from flopline.verdict_scale import warned_if

Floats = NDArray[np.float64]

GRID_RATIOS: Final = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""Sizes offered, as multiples of N_opt at the run's budget. No further: far points buy error of
the law's form (Hoffmann et al. 2022, App. E), which variance does not see."""
GRID_BUDGETS: Final = 7
"""Budgets offered, evenly in ln C from the smallest run's budget to the cap."""
SINGULAR: Final = 1e12
"""Condition number of the scaled J'J above which rounding decides its inverse."""
UNCERTAIN: Final = 0.4
"""Standard deviation of ln N_opt from which the next run is needed: a factor of 1.5 either way,
a waste of some 5 % at alpha + beta = 0.7."""


@dataclass(frozen=True, slots=True)
class Design:
    """What a set of runs knows of a surface of one form.

    `unknowns` (6,) are those of the family in the frame of `problem`; `covariance` is that of the
    ones that are free in the `form`, for errors of standard deviation `sigma` in ln L.
    """

    problem: Problem
    unknowns: Floats
    covariance: Floats
    sigma: float
    surface: LossSurface
    form: Form[Any] = CHINCHILLA

    @classmethod
    def of(
        cls,
        surface: LossSurface,
        params: Floats,
        tokens: Floats,
        sigma: float,
        form: Form[Any] = CHINCHILLA,
    ) -> Design:
        """The design of runs at `params` [weights] and `tokens` [tokens], shape (runs,).

        Raises FloplineError if these runs do not identify the surface.
        """
        problem = Problem.of(params, tokens, surface.loss(params, tokens), log_squares())
        unknowns = unknowns_of(problem, surface)
        rows = jacobian(problem, form, unknowns[None])[0].T
        length = np.linalg.norm(rows, axis=0)
        condition = np.linalg.cond(rows / length) ** 2 if length.all() else np.inf
        if not condition < SINGULAR:
            raise FloplineError(
                f"the {params.size} runs do not identify the loss surface (condition number "
                f"{condition:.1e}), so the worth of one more cannot be told: add runs that train "
                "the same params on other token counts."
            )
        inverse = np.linalg.inv((rows / length).T @ (rows / length)) / np.outer(length, length)
        return cls(problem, unknowns, sigma**2 * inverse, sigma, surface, form)

    def gradient(self, flops: float) -> Floats:
        """Derivatives of ln N_opt at budget `flops` along the free unknowns.

        From ln N_opt = (k ln(a / b) + ln A - ln B + b c) / (a + b) with c = ln(C / 6), in the
        centred frame; for k = 1 this is Hoffmann et al. 2022, Eq. 4. Under a count, which is
        C = k N^p D^q near the optimum, the same holds of N^p and D^q.
        """
        a, b, k = self.unknowns[3:]
        p, q = (float(v) for v in self.surface.slopes_at(flops))
        x = float(np.log(self.surface.params_opt([flops])[0])) - self.problem.centre[0]
        y = float(np.log(self.surface.tokens_opt([flops])[0])) - self.problem.centre[1]
        # k ln(a q / (b p)) + ln A - ln B - a x + b y = 0 at the optimum; p x + q y stays as it is.
        of_power = np.log(a * q / (b * p))
        slopes = np.array([0.0, q, -q, q * (k / a - x), q * (y - k / b), q * of_power])
        return np.asarray(self.form.spread.T @ slopes / (a * q + b * p))

    def variance(self, flops: float) -> float:
        """Variance of ln N_opt at budget `flops`."""
        gradient = self.gradient(flops)
        return float(gradient @ self.covariance @ gradient)

    def reduction(self, flops: float, params: ArrayLike, tokens: ArrayLike) -> Floats:
        """Share [0..1] of the variance of ln N_opt(`flops`) that one more run would remove.

        One value per run at `params` [weights] and `tokens` [tokens], shape (runs,).
        """
        x = np.log(np.atleast_1d(np.asarray(params, float))) - self.problem.centre[0]
        y = np.log(np.atleast_1d(np.asarray(tokens, float))) - self.problem.centre[1]
        rows = jacobian(replace(self.problem, x=x, y=y), self.form, self.unknowns[None])[0].T
        known = rows @ self.covariance
        gained = (known @ self.gradient(flops)) ** 2
        noise = self.sigma**2 + np.einsum("ri,ri->r", known, rows)
        return np.asarray(gained / noise / self.variance(flops))


def audit(
    points: pd.DataFrame,
    surface: LossSurface,
    sigma: float,
    target_flops: float,
    study: StudyOptions | None = None,
    *,
    draws: LossSurface | None = None,
    form: Form[Any] = CHINCHILLA,
    ratios: Sequence[float] = GRID_RATIOS,
    budgets: int = GRID_BUDGETS,
    family: str = "",
) -> Finding:
    """The worth of one more run, on a grid of sizes and budgets up to the cap of the options.

    `points` has columns run, params [weights], tokens, flops, the largest of which is the cap where
    the options `study` have none; `surface` is their parametric fit, of `form`, and `sigma` the
    standard deviation of ln L about it, taken as equal for all runs; `draws` are its bootstrap
    surfaces, for comparison, since real errors are seldom equal. Runs with fewer params or tokens
    than any so far are not offered, nor those outside the range of tokens per param so far. Table
    runs: one row per (params, tokens) with the share of var ln N_opt(`target_flops`) removed and
    that share per FLOP, best first. Raises FloplineError where the runs do not identify the surface
    or a setting is unusable.
    """
    cap_flops = (study or StudyOptions()).of(AuditOptions).next_run_cap
    if cap_flops is None:
        cap_flops = float(points["flops"].max())
    table = checked(points, ("params", "tokens"), (), "next run", family)
    table = table.sort_values(["run", "tokens", "params"], ignore_index=True)
    if not 0 < sigma < np.inf:
        raise FloplineError(f"sigma, the error of ln L, must be positive and finite, not {sigma}.")
    params, tokens = table["params"].to_numpy(), table["tokens"].to_numpy()
    smallest = float(surface.flops(params, tokens).min())
    if not smallest < cap_flops < np.inf:
        raise FloplineError(
            f"cap_flops is {cap_flops:.3g}, but the smallest run took {smallest:.3g} FLOPs: raise "
            "the compute that one more run may take."
        )
    design = Design.of(surface, params, tokens, sigma, form)
    at = np.geomspace(smallest, cap_flops, budgets)
    runs = _offers(design, surface, target_flops, at, ratios)
    # Runs below every size or every token count so far, or at tokens per param that none had, would
    # mostly test the form of the law.
    per_param, trained = runs["tokens"] / runs["params"], tokens / params
    alike = (runs["params"] >= params.min()) & (runs["tokens"] >= tokens.min())
    alike &= (per_param >= trained.min()) & (per_param <= trained.max())
    runs = runs[alike].reset_index(drop=True)
    if runs.empty:
        raise FloplineError(
            f"no run of at most {cap_flops:.3g} FLOPs near the optimum is as large as the smallest "
            f"of {named(family)} and within their {humanise(trained.min(), 2)} to "
            f"{humanise(trained.max(), 2)} tokens per param: raise the compute that one more run "
            "may take, or train other sizes first."
        )
    sd = float(np.sqrt(design.variance(target_flops)))
    seen = np.nan
    if draws is not None:
        seen = float(np.log(draws.params_opt([target_flops])).std(ddof=1))
    compared = f" ({significant(np.exp(seen), 3)} by the bootstrap)" if draws is not None else ""
    best = runs.loc[runs["removed_percent"].idxmax()]
    cheapest = runs.iloc[0]
    sentence = (
        f"By the design alone the best size at {flops_label(target_flops)} FLOPs is known to "
        f"a factor of {significant(np.exp(sd), 3)}{compared} either way (one standard deviation "
        f"of ln N); the one run that narrows it most, "
        f"{humanise(best['params'])} params on "
        f"{humanise(best['tokens'])} tokens ({flops_label(best['flops'])} FLOPs), removes "
        f"{significant(best['removed_percent'], 2)} % of its variance, and the best per FLOP is "
        f"{humanise(cheapest['params'])} params on {humanise(cheapest['tokens'])} tokens "
        f"({significant(cheapest['removed_percent'], 2)} % for {flops_label(cheapest['flops'])})."
    )
    numbers = {
        "sd_ln_params": sd,
        "bootstrap_sd_ln_params": seen,
        "sigma": sigma,
        "target_flops": target_flops,
        "cap_flops": cap_flops,
    }
    return Finding(
        "next_run",
        warned_if(np.fmax(sd, seen) > UNCERTAIN),
        sentence,
        numbers,
        {"runs": runs},
    )


def _offers(
    design: Design,
    surface: LossSurface,
    target_flops: float,
    budgets: Floats,
    ratios: Sequence[float],
) -> pd.DataFrame:
    """Runs that could be added, and what each is worth.

    Returns one row for each, the most useful per FLOP first.
    """
    flops, ratio = (v.ravel() for v in np.meshgrid(budgets, np.asarray(ratios, float)))
    params = ratio * surface.params_opt(flops)
    tokens = surface.tokens_for(flops, params)
    removed = design.reduction(target_flops, params, tokens)
    table = pd.DataFrame(
        {
            "params": params,
            "tokens": tokens,
            "flops": flops,
            "params_over_optimum": ratio,
            "removed_percent": 100 * removed,
            "sd_ln_params_after": np.sqrt(design.variance(target_flops) * (1 - removed)),
            "removed_percent_per_1e18_flops": 100 * removed / (flops / 1e18),
        }
    )
    order = ["removed_percent_per_1e18_flops", "flops", "params"]
    return table.sort_values(order, ascending=[False, True, True], ignore_index=True)
