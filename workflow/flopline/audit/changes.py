"""Refits of the parametric law with one choice or one part of the runs changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.audit.finding import surface_of
from flopline.errors import FloplineError
from flopline.flops import six_nd
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.fit_result import CONVERGED, FAILED, WARNING
from flopline.laws.common.inputs import size_classes
from flopline.laws.common.power_law import fit_power_law
from flopline.laws.parametric import parametric_fit
from flopline.laws.parametric.parametric_law import LAW as PARAMETRIC
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.numbers import flops_label, humanise, significant
from flopline.solvers import generic
from flopline.solvers.descent import descend
from flopline.solvers.objectives import (
    Objective,
    delta_from,
    linear_huber,
    linear_squares,
    log_lad,
)
from flopline.solvers.problem import Problem
from flopline.solvers.surface_family import CHINCHILLA, Form, unknowns_of
from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.surface import exponents_of

Floats = NDArray[np.float64]

DELTAS: Final = (1e-4, 1e-3, 1e-2, 1e-1)
"""Huber deltas tried: from nearly the least absolute error to nearly least squares."""
NO_DRAWS: Final = BootstrapOptions(draws=0)
LARGEST: Final = (1, 2, 5, 10)
"""How many of the largest absolute log residuals are left out."""
COUNTS: Final = {
    "params_total": "all weights counted",
    "params_nonembedding": "non-embedding weights counted",
}
"""Counts of params that runs may carry beside the declared one."""
SAME_COUNT: Final = 1e-6
"""Relative difference within which two counts are the same."""


class Refit(TypedDict, total=False):
    """What a refit says: N at the target, a, and how it ended, which is well unless said."""

    params: float
    a: float
    status: str
    message: str


@dataclass(frozen=True, slots=True)
class Change:
    """One refit: what is changed, in how many points, and how to find N at the target and a."""

    law: str
    kind: str
    label: str
    n_points: int
    refit: Callable[[], Refit]

    def row(self) -> dict[str, object]:
        """The refit as a row of the tornado; one that fails says why."""
        row = {
            "law": self.law,
            "kind": self.kind,
            "change": self.label,
            "n_points": self.n_points,
            "params": np.nan,
            "a": np.nan,
            "status": CONVERGED,
            "message": "",
        }
        try:
            return row | self.refit()
        except FloplineError as error:
            return row | {"status": FAILED, "message": str(error)}


@dataclass(frozen=True, slots=True)
class Base:
    """What is changed: the runs, their parametric fit under its options, the target [FLOPs].

    `problem` is what the fit has minimised; a delta that the data chose stands in `options` as a
    number, so that every part of the runs is fitted alike.
    """

    table: pd.DataFrame
    surface: LossSurface
    target_flops: float
    options: ParametricOptions
    problem: Problem
    family: str
    form: Form[Any] = CHINCHILLA

    @property
    def objective(self) -> Objective:
        """What the fit has minimised over the points."""
        return self.problem.objective

    @classmethod
    def of(
        cls,
        table: pd.DataFrame,
        target_flops: float,
        options: ParametricOptions,
        family: str,
        form: Form[Any] = CHINCHILLA,
    ) -> Base:
        """The fit of all runs. Raises FloplineError where it fails."""
        alone = options.but(variant_draws=None)
        fit = parametric_fit.fit(
            table, [target_flops], alone, bootstrap=NO_DRAWS, family=family, form=form
        )
        surface = surface_of(fit.to_json())
        problem = parametric_fit.problem_of(table, options)
        if "huber" in problem.objective.name:
            alone = alone.but(huber_delta=problem.objective.delta)
        return cls(table, surface, target_flops, alone, problem, family, form)


def parametric_changes(base: Base) -> Iterator[Change]:
    """All refits of the parametric law."""
    yield from _objectives(base)
    yield from _left_out(base)
    yield from _counts_of_params(base)
    yield from _counts_of_flops(base)


def _refit(base: Base, runs: pd.DataFrame, options: ParametricOptions) -> Refit:
    fit = parametric_fit.fit(
        runs,
        [base.target_flops],
        options,
        bootstrap=NO_DRAWS,
        family=base.family,
        form=base.form,
    )
    if fit.status == FAILED:
        return {"status": FAILED, "message": fit.message}
    return {
        "params": fit.targets[0].values["params"].point,
        "a": fit.parameters["a"].point,
        "status": fit.status,
        "message": fit.message,
    }


def _changed(
    base: Base, kind: str, label: str, runs: pd.DataFrame, options: ParametricOptions | None = None
) -> Change:
    """One refit of the surface under changed `options`.

    Returns a change whose fit is made only when it is asked for.
    """
    chosen = options or base.options
    return Change(PARAMETRIC.name, kind, label, len(runs), lambda: _refit(base, runs, chosen))


def _objectives(base: Base) -> Iterator[Change]:
    """The fit under every other objective than its own."""
    # The literal starts of Hoffmann et al. know one objective only.
    options = base.options.but(solver="varpro_newton")
    for delta in DELTAS:
        other = options.but(objective="log_huber", huber_delta=delta)
        if (other.objective, delta) != (base.objective.name, base.objective.delta):
            yield _changed(base, "objective", f"Huber delta {delta:g}", base.table, other)
    if base.objective.name != "log_squares":
        label, other = "least squares on log loss", options.but(objective="log_squares")
        yield _changed(base, "objective", label, base.table, other)
    for label, name, objective in (
        ("least absolute error of log loss", "log_lad", lambda: log_lad()),
        ("least squares on the loss", "linear_squares", lambda: linear_squares()),
        ("Huber on the loss", "linear_huber", lambda: linear_huber(_linear_delta(base))),
    ):
        if name != base.objective.name:
            yield Change(
                PARAMETRIC.name,
                "objective",
                label,
                len(base.table),
                lambda objective=objective: _refit_under(base, objective()),  # type: ignore[misc]
            )


def _linear_delta(base: Base) -> float:
    """1.345 robust standard deviations of the loss about the baseline fit [nats per token]."""
    params, tokens, loss = (base.table[c].to_numpy() for c in ("params", "tokens", "loss"))
    return delta_from(base.surface.loss(params, tokens) - loss)


def _refit_under(base: Base, objective: Objective) -> Refit:
    """The optimum of another objective that the baseline leads to."""
    problem = replace(base.problem, objective=objective)
    near = unknowns_of(problem, base.surface)[None]
    ends = descend(problem, base.form, np.ones((1, problem.x.size)), near)
    law, converged = base.form.law(problem, ends.unknowns[0]), bool(ends.converged[0])
    if objective.delta == 0:
        # The descent stops at a small delta beside the vertex.
        columns = {c: base.table[c].to_numpy() for c in ("params", "tokens")}
        fitted = generic.fit([law], columns, base.table["loss"].to_numpy(), objective)
        law, converged = fitted.law, fitted.converged
    law = replace(law, count=base.surface.count)
    return {
        "params": float(law.params_opt(base.target_flops)),
        "a": float(exponents_of(law, base.target_flops)[0]),
        "status": CONVERGED if converged else WARNING,
        "message": "" if converged else "the fit ends before its gradient is zero",
    }


def _left_out(base: Base) -> Iterator[Change]:
    """Refits without the largest residuals, without each size, without each budget: one batch.

    What the batch cannot fit goes to the fit itself, which says why.
    """
    parts = [*_largest_residuals(base), *_sizes(base), *_budgets(base)]
    table, problem = base.table, base.problem
    kept = np.array([keep for _, _, keep in parts])
    refits = parametric_fit.refitted(problem, kept.astype(float), base.surface, base.form)
    surfaces = base.form.as_stated(problem, refits.unknowns)
    best, a = surfaces.params_opt([base.target_flops])[:, 0], surfaces.a
    for row, (kind, label, keep) in enumerate(parts):
        runs = table[keep]
        if refits.converged[row] and np.isfinite(best[row]) and _can_be_fitted(runs):
            values = {"params": float(best[row]), "a": float(a[row])}
            yield Change(PARAMETRIC.name, kind, label, len(runs), lambda values=values: values)  # type: ignore[misc]
        else:
            yield _changed(base, kind, label, runs)


def _can_be_fitted(runs: pd.DataFrame) -> bool:
    """Whether the fit of these runs alone would find them varied enough."""
    params, tokens = runs["params"].to_numpy(), runs["tokens"].to_numpy()
    pairs = np.unique(params + 1j * tokens).size
    distinct = min(runs["run"].nunique(), pairs)
    levels = min(np.unique(params).size, np.unique(tokens).size)
    varied = distinct >= parametric_fit.MIN_POINTS and levels >= parametric_fit.MIN_LEVELS
    return varied and parametric_fit.token_spread(params, tokens) >= parametric_fit.RAY


def _largest_residuals(base: Base) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    table = base.table
    fitted = base.surface.loss(table["params"].to_numpy(), table["tokens"].to_numpy())
    residuals = np.log(fitted) - np.log(table["loss"].to_numpy())
    order = np.argsort(-np.abs(residuals), kind="stable")
    for k in LARGEST:
        label = "without the largest residual" if k == 1 else f"without the {k} largest residuals"
        yield "residuals", label, ~np.isin(np.arange(len(table)), order[:k])


def _sizes(base: Base) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    params = base.table["params"].to_numpy()
    sizes = size_classes(params)
    for size in np.unique(sizes):
        members = sizes == size
        centre = float(np.exp(np.log(params[members]).mean()))
        yield "size", f"without {humanise(centre)} params", ~members


def _budgets(base: Base) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    budgets = base.table["budget_flops"].to_numpy()
    for budget in np.unique(budgets[np.isfinite(budgets)]):
        yield "budget", f"without {flops_label(budget)} FLOPs", budgets != budget


def _counts_of_params(base: Base) -> Iterator[Change]:
    """Refits with every other count of params that all runs carry."""
    declared = base.table["params"].to_numpy()
    for column, words in COUNTS.items():
        if column not in base.table:
            continue
        other = base.table[column].to_numpy(dtype=float, na_value=np.nan)
        usable = np.isfinite(other).all() and (other > 0).all()
        if usable and np.abs(other / declared - 1).max() > SAME_COUNT:
            yield Change(
                PARAMETRIC.name,
                "params",
                words,
                len(base.table),
                lambda other=other: _recounted(base, other),  # type: ignore[misc]
            )


def _recounted(base: Base, other: Floats) -> Refit:
    """The fit in another count of params, spent as C = 6ND in it, N turned back into ours.

    The two counts differ by a power of the other one, as embeddings do (Pearce and Song 2024,
    arXiv 2406.12907, section 3, with the power 1/3), which also holds beyond the runs.
    """
    tokens = base.table["tokens"].to_numpy()
    runs = base.table.assign(params=other, flops=six_nd(other, tokens))
    row = _refit(base, runs, base.options)
    if row["status"] == FAILED:
        return row
    more = base.table["params"].to_numpy() - other
    sign = float(np.sign(more[np.abs(more).argmax()]))
    apart = fit_power_law(np.log(other), np.log(np.maximum(sign * more, 1e-300)), sign * more > 0)
    params = float(row["params"])
    turned = params + sign * float(np.exp(apart.ln_at(np.log([params]))[0]))
    note = f"{humanise(params)} in that count, with C = 6ND in it too; given here in ours"
    return row | {"params": turned, "message": "; ".join(filter(None, [note, row["message"]]))}


def _counts_of_flops(base: Base) -> Iterator[Change]:
    """The optimum where C is spent in the other way: by the study's count, or as 6ND."""
    table = base.table
    ratio = table["flops"].to_numpy() / six_nd(table["params"], table["tokens"])
    if np.abs(ratio - 1).max() <= SAME_COUNT:
        return
    ends = f"{significant(ratio.min(), 3)} to {significant(ratio.max(), 3)}"
    if base.surface.count is not None:
        label = f"FLOPs as 6ND (the study counts {ends} times as many)"
        yield Change(PARAMETRIC.name, "flops", label, len(table), lambda: _as_six_nd(base))
        return
    label = f"FLOPs as the study counts them ({ends} times 6ND)"
    yield Change(PARAMETRIC.name, "flops", label, len(table), lambda: _respent(base, ratio))


def _as_six_nd(base: Base) -> Refit:
    """The least loss of the same surface where C is spent as 6ND."""
    plain = replace(base.surface, count=None)
    return {
        "params": float(plain.params_opt(base.target_flops)),
        "a": float(plain.a),
        "message": "the surface is the same",
    }


def _respent(base: Base, ratio: Floats) -> Refit:
    """The least loss where C = 6ND r(N), with r = e^u N^v fitted to the runs.

    Stationary where alpha A N^-alpha = (1 + v) beta B D^-beta.
    """
    law = fit_power_law(np.log(base.table["params"].to_numpy()), np.log(ratio), 1.0)
    u, v = float(law.ln_k), float(law.p)
    s = base.surface
    a, b, alpha, beta = (float(np.asarray(x)) for x in (s.A, s.B, s.alpha, s.beta))
    steep = alpha + beta * (1 + v)
    ln_c = np.log(base.target_flops / 6) - u
    ln_n = (beta * ln_c - np.log(beta * b * (1 + v) / (alpha * a))) / steep
    return {
        "params": float(np.exp(ln_n)),
        "a": beta / steep,
        "message": f"their ratio to 6ND goes as N^{v:.3g}",
    }
