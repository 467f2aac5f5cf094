"""One law fitted to one table of runs, as a notebook wants it: predict, plan, plot, residuals."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from flopline import notebook
from flopline.bearing import WITHOUT_WIDTH
from flopline.errors import FloplineError
from flopline.laws.common.fit_result import FAILED, WARNING, FitResult
from flopline.laws.registry import LAWS
from flopline.laws.spec import Says, spec_of
from flopline.numbers import flops_label, has_no_width
from flopline.planner import Line, at_budget, read_line
from flopline.quick_fits import (
    AUDITS,
    DRAWS,
    SEED,
    Settings,
    checked_runs,
    findings_of,
    fit_law,
    fit_laws,
    one_family,
    settings_of,
)
from flopline.reach import Reach
from flopline.schema import LEVELS, QUANTITIES
from flopline.surfaces.chinchilla import LossSurface

Floats = NDArray[np.float64]

MAIN: tuple[str, ...] = ("params", "tokens", "tokens_per_param", "loss")
"""What a comparison shows of each law."""


@dataclass(frozen=True)
class Law:
    """A fitted law; what it says is in the units of the table.

    Attributes:
        result: The fit with its parameters, certificate, draws and tables.
        runs: The runs that it was fitted to.
        settings: Target, draws and seed.

    Examples:
        >>> law = fit(runs)  # doctest: +SKIP
        >>> law.plan(1e22)  # doctest: +SKIP
    """

    result: FitResult
    runs: pd.DataFrame
    settings: Settings

    @property
    def name(self) -> str:
        """Which law it is."""
        return self.result.law

    @property
    def status(self) -> str:
        """converged, warning or failed."""
        return self.result.status

    @property
    def message(self) -> str:
        """What to watch for, empty where there is nothing."""
        return self.result.message

    def summary(self) -> str:
        """A few lines for a person."""
        return self.result.summary()

    def __repr__(self) -> str:
        return f"<{self.name} law of {len(self.runs)} runs, {self.status}>"

    def _repr_html_(self) -> str:
        note = f"<p>{self.message}</p>" if self.message else ""
        title = f"<b>{spec_of(self.name).title}</b>, {len(self.runs)} runs, {self.status}"
        table = self.to_frame().to_html(float_format="{:.4g}".format)
        return f"<div><p>{title}</p>{table}{note}</div>"

    def to_frame(self) -> pd.DataFrame:
        """Parameters with their 80 and 95 % intervals.

        Returns:
            One row per parameter: point, lo80, hi80, lo95, hi95.
        """
        rows = {name: estimate.to_json() for name, estimate in self.result.parameters.items()}
        return pd.DataFrame.from_dict(rows, orient="index").drop(columns="at_bound").astype(float)

    def conf_int(self, level: int = 95) -> pd.DataFrame:
        """Intervals of the parameters.

        Parameters:
            level: 80 or 95 [percent].

        Returns:
            One row per parameter: low, high.

        Raises:
            FloplineError: for another level.
        """
        if level not in LEVELS:
            raise FloplineError(
                f"intervals are known at {LEVELS[0]} and {LEVELS[1]} %, not {level}."
            )
        frame = self.to_frame()
        ends = {"low": frame[f"lo{level}"], "high": frame[f"hi{level}"]}
        return pd.DataFrame(ends)

    @cached_property
    def _line(self) -> Line:
        return read_line(self.result.to_json(), self.result.draws)

    def plan(self, flops: float | Sequence[float]) -> pd.DataFrame:
        """N, D and loss that are best at one budget or several [FLOPs], with 95 % intervals.

        Intervals hold if the law does; what laws miss when carried far is in the forecasts of a
        study (docs/decision.md).

        Returns:
            One row per budget: params, tokens, tokens_per_param, loss and their _lo95, _hi95.

        Raises:
            FloplineError: for a budget that is not positive, and for a law that failed.
        """
        rows = []
        for budget in _numbers("flops", flops):
            values = at_budget(self._line, float(budget)).values
            row = {"flops": float(budget)}
            for name in MAIN:
                row |= {name: values[name].point, f"{name}_lo95": values[name].lo95}
                row |= {f"{name}_hi95": values[name].hi95}
            rows.append(row)
        self._warn_of_reach([row["flops"] for row in rows])
        return pd.DataFrame(rows).set_index("flops")

    def _warn_of_reach(self, budgets: Sequence[float]) -> None:
        """Warn of a budget that no law should be carried to."""
        compute = self.runs["flops"].to_numpy(dtype=float)
        for budget in budgets:
            reach = Reach.of(budget, float(compute.min()), float(compute.max()))
            if not reach.grade.recommends:
                warnings.warn(f"{flops_label(budget)} FLOPs: {reach.words}", stacklevel=3)

    def predict(self, params: ArrayLike, tokens: ArrayLike) -> pd.DataFrame:
        """The loss of runs of any shape, by a law that says a surface.

        Parameters:
            params: N of each run, a number or an array.
            tokens: D of each run.

        Returns:
            One row per run: params, tokens, loss, lo80, hi80, lo95, hi95.

        Raises:
            FloplineError: for a law of compute alone, which says the best run of a budget only.
        """
        point, draws = self._surfaces()
        n, d = _numbers("params", params), _numbers("tokens", tokens)
        if n.size != d.size and 1 not in (n.size, d.size):
            raise FloplineError(
                f"params are {n.size} numbers and tokens {d.size}: give one of each for every run."
            )
        n, d = np.broadcast_arrays(n, d)
        drawn = draws.loss(n, d)
        out = {"params": n, "tokens": d, "loss": np.asarray(point.loss(n, d)).ravel()}
        for level in LEVELS:
            low, high = np.nanpercentile(drawn, [50 - level / 2, 50 + level / 2], axis=0)
            out |= {f"lo{level}": low, f"hi{level}": high}
        return pd.DataFrame(out)

    @property
    def residuals(self) -> pd.DataFrame:
        """ln(loss seen / loss predicted) of every run; of the runs of each budget for isoFLOP.

        Raises:
            FloplineError: for a law that leaves no predictions of single runs.
        """
        for table in self.result.tables.values():
            if "log_residual" in table and "run" in table:
                return table[["run", "params", "tokens", "loss", "log_residual"]].copy()
        raise FloplineError(
            f"the {self.name} law predicts the best run of a budget, not each run: fit parametric "
            "for residuals."
        )

    def plot(self, **drawing: Any) -> Figure:
        """The law's own figure, as the workflow draws it."""
        draw: Callable[..., Figure] = getattr(notebook, FIGURE_OF[self.name])
        more = {"target": self.settings.target, **drawing}
        return draw(self.runs, **more)

    def _surfaces(self) -> tuple[LossSurface, LossSurface]:
        if spec_of(self.name).says is not Says.SURFACE:
            raise FloplineError(
                f"the {self.name} law says the loss of the best run of a budget, not of any N and "
                "D: use plan(), or fit parametric."
            )
        point, draws = self._line.point, self._line.draws
        assert isinstance(point, LossSurface)
        assert isinstance(draws, LossSurface)
        return point, draws


FIGURE_OF = {"isoflop": "isoflop", "parametric": "contours", "envelope": "envelope"}
"""The function of the notebook that draws each law."""


def _numbers(name: str, given: ArrayLike) -> Floats:
    """One number or several above 0 as an array; FloplineError where they are none."""
    try:
        values = np.atleast_1d(np.asarray(given, dtype=float)).ravel()
    except (TypeError, ValueError):
        values = np.array([np.nan])
    if not values.size or not ((values > 0) & np.isfinite(values)).all():
        raise FloplineError(f"{name} is {given!r}: give one number above 0, or several.")
    return values


def of_a_table(sentence: str) -> str:
    """A sentence whose mends lie in a study file as one to somebody who has a table only."""
    return re.sub(
        r"(?:, or|:|,)? (?:take|keep) \w+ (?:out of|in) `laws` in the study file", "", sentence
    )


def fit(
    runs: pd.DataFrame,
    law: str = "parametric",
    *,
    target: float | None = None,
    budgets: Sequence[float] | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
    family: str | None = None,
) -> Law:
    """Fit a law to finished runs (`read_runs`), or the envelope to training curves.

    Parameters:
        runs: One row per run: run, params, tokens, flops, loss, maybe family and budget_flops. For
            the envelope one row per logged loss, with step.
        law: parametric, isoflop or envelope.
        target: The budget of interest [FLOPs]; ten times the largest run's by default.
        budgets: Nominal budgets [FLOPs] that group isoFLOP runs; by gaps in compute without them.
        draws: Bootstrap resamples behind the intervals.
        seed: The same seed gives the same intervals.
        family: Which family, where the table holds several.

    Returns:
        The law. It may carry a warning: see its status and message.

    Raises:
        FloplineError: for a table that lacks a column, and where the law cannot be fitted.

    Examples:
        >>> fit(read_runs("sweep.csv"), "isoflop").plan(1e22)  # doctest: +SKIP
    """
    if law not in LAWS:
        raise FloplineError(f"there is no law {law!r}: choose one of {', '.join(LAWS)}.")
    mine, _ = one_family(runs if law == "envelope" else checked_runs(runs), family)
    given = settings_of(mine, target, budgets, draws, seed)
    try:
        made = fit_law(law, mine, given)
    except FloplineError as mistake:
        raise FloplineError(of_a_table(str(mistake))) from None
    if made.status == FAILED:
        raise FloplineError(f"the {law} law cannot be fitted: {made.message}")
    return Law(_with_caution(made), mine, given)


def _with_caution(made: FitResult) -> FitResult:
    """The fit, with a warning where an interval has no width, which is no certainty."""
    stated = made.targets[0].values["params"]
    if not has_no_width(stated.lo95, stated.hi95):
        return made
    message = f"The 95 % interval of N {WITHOUT_WIDTH}. {made.message}".strip()
    return replace(made, status=WARNING, message=message)


def compare(
    runs: pd.DataFrame,
    at: float,
    *,
    budgets: Sequence[float] | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
    family: str | None = None,
) -> pd.DataFrame:
    """What each law and each of its variants says at one budget [FLOPs].

    Returns:
        One row per law and estimator: status, params, tokens, loss with 95 % intervals, message.

    Raises:
        FloplineError: for a table that lacks a column.

    Examples:
        >>> compare(read_runs("sweep.csv"), at=1e22)  # doctest: +SKIP
    """
    mine, _ = one_family(checked_runs(runs), family)
    fits, failed = fit_laws(mine, settings_of(mine, at, budgets, draws, seed))
    parts = [made.tables["estimators"].assign(law=law) for law, made in fits.items()] + [
        pd.DataFrame(
            {"law": [law], "estimator": [""], "status": [FAILED], "message": [f["message"]]}
        )
        for law, f in failed.items()
    ]
    table = pd.concat(parts, ignore_index=True).set_index(["law", "estimator"])
    numbers = [
        f"{name}{end}" for name in QUANTITIES if name in MAIN for end in ("", "_lo95", "_hi95")
    ]
    return table.reindex(columns=["status", *numbers, "message"])


def audit_runs(
    runs: pd.DataFrame,
    at: float | None = None,
    *,
    names: Sequence[str] = AUDITS,
    budgets: Sequence[float] | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
    family: str | None = None,
) -> pd.DataFrame:
    """What the audits find: held-out ladder, identifiability, the next run, sensitivity.

    Returns:
        One row per audit: verdict and sentence; `frame.attrs["tables"]` holds the tables by audit.

    Raises:
        FloplineError: for a table that lacks a column, and for an audit that is not known.

    Examples:
        >>> audit_runs(read_runs("sweep.csv"), at=1e22)  # doctest: +SKIP
    """
    unknown = [name for name in names if name not in AUDITS]
    if unknown:
        raise FloplineError(f"no audit is called {unknown[0]!r}: choose of {', '.join(AUDITS)}.")
    mine, _ = one_family(checked_runs(runs), family)
    given = settings_of(mine, at, budgets, draws, seed)
    fits, failed = fit_laws(mine, given)
    findings = findings_of(names, mine, given, fits, failed)
    rows = [
        {"audit": name, "verdict": finding["verdict"], "sentence": finding["sentence"]}
        for name, finding in findings.items()
    ]
    table = pd.DataFrame(rows).set_index("audit")
    table.attrs["tables"] = {name: dict(f["tables"]) for name, f in findings.items()}
    return table
