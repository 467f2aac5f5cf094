"""The paragraph of each law for the methods: what was fitted, with the settings that were used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from flopline.numbers import count, flops_label, number
from flopline.report.formatting import flat, value_text
from flopline.report.references import quoted

POWER_LAWS: Final = r"$N ∝ C^a|N \propto C^a$ and $D ∝ C^b|D \propto C^b$"
SURFACE: Final = r"$L(N, D) = E + A/N^α + B/D^β|L(N, D) = E + A N^{-\alpha} + B D^{-\beta}$"
FRONTIER: Final = r"$L = E + K C^-c|L = E + K C^{-c}$"

OBJECTIVES: Final = {
    "log_huber": "the sum over points of the Huber loss of log residuals",
    "linear_huber": "the sum over points of the Huber loss of residuals",
    "log_lad": "the sum over points of absolute log residuals",
    "linear_squares": "the sum over points of squared residuals",
    "log_squares": "the sum over points of squared log residuals",
}
FORMS: Final = {
    "tied": "one exponent for both terms [@gadre2024]",
    "skaling": "the reducible loss raised to a power [@videau2026]",
    "kaplan": "the joint law of @kaplan2020",
    "repeated": "the law of repeated data of @muennighoff2023",
}
"""Forms of the surface that stand beside the main one, by the names of the estimators."""
BUDGETS: Final = {
    "nominal": "by their planned budgets",
    "given": "by the budgets given in the configuration",
    "gaps": "by gaps in their compute",
}


class Settings:
    """The settings of a fit, which remembers those that a sentence has told."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.told: set[str] = {"draws", "seed", "method"}
        """Those of the bootstrap stand in a paragraph of their own."""

    def __getitem__(self, key: str) -> Any:
        self.told.add(key)
        return self.settings.get(key)

    def __contains__(self, key: str) -> bool:
        return key in self.settings

    def rest(self) -> str:
        """What no sentence told, by its own names, so that no setting is left out."""
        left = {k: v for k, v in self.settings.items() if k not in self.told and v is not None}
        said = "; ".join(f"{label} {value_text(v, k)}" for label, k, v in flat(left))
        return f"Further settings: {quoted(said)}." if said else ""


def law_paragraph(
    law: str, fit: Mapping[str, Any], study: Mapping[str, Any], variants: Sequence[str] = ()
) -> str:
    """One law in running text, marked up as `references` says.

    `fit` is a FitResult.to_json(), `variants` the estimators that stand beside the main one.
    """
    settings = Settings(fit["settings"])
    said = {"envelope": _envelope, "isoflop": _isoflop, "parametric": _parametric}
    told = said[law](settings, fit, study, variants) if law in said else iter(())
    return " ".join(filter(None, [*told, settings.rest()]))


def _envelope(
    s: Settings, fit: Mapping[str, Any], study: Mapping[str, Any], variants: Sequence[str]
) -> Iterator[str]:
    split = s["split"] or study.get("envelope", {}).get("split") or study["loss_split"]
    curves = f"Envelope of training curves [@hoffmann2022, section 3.1]. Curves of the {split} loss"
    width, sigma, kernel = s["smoothing_steps"], s["smoothing_sigma_steps"], s["smoothing_kernel"]
    if width:
        yield (
            f"{curves} were smoothed over windows of {number(width)} optimiser steps"
            + (f" (kernel: {quoted(kernel)}" if kernel else "")
            + (f"; standard deviation {number(sigma)} steps)." if kernel and sigma else ".")
        )
    else:
        yield f"{curves} were taken as logged, without smoothing."
    last, only = s["last_fraction"], s["only_schedule_end"]
    if only and last:
        yield f"Only the last {100 * last:.3g} % of each learning-rate schedule entered."
    frontier, bins = s["frontier"], s["bins"]
    if frontier == "hull":
        yield ("The frontier is the lower convex hull of log loss over log compute [@mcleish2025].")
    elif bins:
        rule = fit.get("certificate", {}).get("rule")
        where = f" (counted: {quoted(rule)})" if rule else ""
        yield (
            "The frontier is the run of lowest loss at each of "
            f"{count(int(bins))} log-spaced amounts of compute{where}."
        )
    yield f"Params and tokens on the frontier were regressed on compute in logs, {POWER_LAWS}."
    floor = s["loss_floor"]
    how = f"fixed at {number(floor)}" if isinstance(floor, (int, float)) else "fitted, not below 0"
    yield f"The loss on the frontier follows {FRONTIER} with E {how}."


def _isoflop(
    s: Settings, fit: Mapping[str, Any], study: Mapping[str, Any], variants: Sequence[str]
) -> Iterator[str]:
    found, budgets = fit.get("certificate", {}).get("budgets_found_by"), s["budgets"]
    tolerance, least = s["budget_tolerance"], s["min_sizes"]
    grouped = BUDGETS.get("given" if budgets and found != "gaps" else str(found), "by compute")
    listed = f" ({', '.join(map(flops_label, budgets))} FLOPs)" if budgets else ""
    within = f", within {100 * tolerance:.3g} % of compute" if tolerance else ""
    yield (
        "IsoFLOP profiles [@hoffmann2022, section 3.2]. Runs were grouped "
        f"{grouped}{listed}{within}."
    )
    enough = f" with at least {count(least, 'size')}" if least else ""
    yield (
        f"At each budget{enough} a least-squares parabola of the loss in ln N, and another in "
        "ln D, gave the optimum. Power laws through these optima, "
        f"{POWER_LAWS}, were fitted in logs, each optimum weighted by its inverse variance "
        "over the bootstrap."
    )
    quality = s["quality"]
    if quality:
        done = "left out" if quality == "exclude" else "used and flagged"
        yield f"Budgets whose optimum a check doubts were {done}."
    if "corrected" in variants:
        yield (
            "The bias of the parabola on the runs' own grids [@czech2026] was estimated from a "
            "fitted loss surface and taken off in a variant."
        )


def _parametric(
    s: Settings, fit: Mapping[str, Any], study: Mapping[str, Any], variants: Sequence[str]
) -> Iterator[str]:
    points = "every logged loss of each run" if study["points"] == "checkpoints" else "final losses"
    yield (
        f"Parametric surface [@hoffmann2022, section 3.3]. {SURFACE} was fitted to the {points} "
        "of all runs at once; N and D that minimise it under "
        r"$6ND = C|6ND = C$ follow in closed form."
    )
    objective, delta = s["objective"], s["huber_delta"]
    if objective:
        used = fit.get("certificate", {}).get("huber_delta", delta)
        size = f" (δ = {value_text(used)})" if used and "huber" in str(objective) else ""
        yield f"The objective is {OBJECTIVES.get(str(objective), quoted(objective))}{size}."
    solver = s["solver"]
    if solver == "hoffmann_grid":
        yield "It was minimised by L-BFGS from the 4,500 starts of @hoffmann2022."
    elif solver:
        yield (
            "It was minimised by variable projection [@golub1973] and damped Newton steps to a "
            "vanishing gradient, since optimisers that stop early bias this fit [@besiroglu2024]."
        )
    others, draws = [FORMS[name] for name in FORMS if name in variants], s["variant_draws"]
    if others:
        resampled = f", each with {count(draws, 'resample')}" if draws else ""
        yield (
            "Beside it stand other objectives on the same points and other forms "
            f"({'; '.join(others)}){resampled}."
        )
