"""What every fit returns: one shape for all laws, with intervals and a certificate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.documents import EstimateJson, FitJson, TargetJson
from flopline.laws.common.percentiles import percentiles
from flopline.schema import LEVELS, QUANTITIES, target_column

CONVERGED = "converged"
WARNING = "warning"
FAILED = "failed"

FEWEST_DRAWS: Final = 0.5
"""Share of the draws that must have a value for it to have an interval: where more fail, those that
do not are no sample of what the runs might have said."""

ENDS: Final = tuple(f"{side}{level}" for level in LEVELS for side in ("lo", "hi"))
"""Names of the ends of an Estimate's intervals."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 80 and 95 % bootstrap percentile intervals (NaN where there is none)."""

    point: float
    lo80: float = math.nan
    hi80: float = math.nan
    lo95: float = math.nan
    hi95: float = math.nan
    at_bound: bool = False

    @classmethod
    def of(cls, point: float, draws: NDArray[np.float64], at_bound: bool = False) -> Estimate:
        """The estimate `point` with percentile intervals of the finite `draws` (shape: draws).

        It has none where fewer than FEWEST_DRAWS of them are finite.
        """
        finite = draws[np.isfinite(draws)]
        if finite.size < max(2, FEWEST_DRAWS * draws.size):
            return cls(float(point), at_bound=at_bound)
        q80, q95 = ((50 - level / 2, 50 + level / 2) for level in LEVELS)
        lo80, hi80, lo95, hi95 = percentiles(finite, [*q80, *q95])
        return cls(float(point), lo80, hi80, lo95, hi95, at_bound)

    def to_json(self) -> EstimateJson:
        """A plain mapping; what is not finite becomes None, since JSON has no NaN."""
        ends = (self.lo80, self.hi80, self.lo95, self.hi95)
        return {**estimate_json(self.point, *ends), "at_bound": self.at_bound}


@dataclass(frozen=True, slots=True)
class Target:
    """What a law says at one compute budget [FLOPs]; keys of `values` are schema.QUANTITIES."""

    budget_flops: float
    values: Mapping[str, Estimate]

    def to_json(self) -> TargetJson:
        """A plain mapping of all that is stated."""
        stated: Any = {name: estimate.to_json() for name, estimate in self.values.items()}
        out: TargetJson = {"budget_flops": self.budget_flops} | stated
        return out


@dataclass(frozen=True, slots=True)
class FitResult:
    """One law fitted to one family.

    `parameters` always holds the exponents a and b of N_opt ~ C^a, D_opt ~ C^b. `draws` has one
    row per bootstrap resample: `draw`, one column per parameter, and `schema.target_column`
    columns for every target. `status` is converged, warning (usable, `message` says what to
    watch for) or failed (no number may be used, `message` says why).
    """

    law: str
    estimator: str
    status: str
    message: str
    n_runs: int
    n_points: int
    settings: Mapping[str, object]
    parameters: Mapping[str, Estimate]
    targets: Sequence[Target]
    certificate: Mapping[str, object]
    draws: pd.DataFrame
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    def to_json(self) -> FitJson:
        """Everything but the tables, in a fixed key order, ready for json.dumps."""
        return {
            "law": self.law,
            "estimator": self.estimator,
            "status": self.status,
            "message": self.message,
            "n_runs": self.n_runs,
            "n_points": self.n_points,
            "settings": plain(dict(self.settings)),
            "parameters": {name: e.to_json() for name, e in self.parameters.items()},
            "targets": [t.to_json() for t in self.targets],
            "certificate": plain(dict(self.certificate)),
        }

    def summary(self) -> str:
        """A few lines for a person: status, parameters with 95 % intervals, targets."""
        lines = [f"{self.law}: {self.status} ({self.n_runs} runs). {self.message}".strip()]
        lines += [
            f"  {name} = {e.point:.6g}  [{e.lo95:.4g}, {e.hi95:.4g}]"
            for name, e in self.parameters.items()
        ]
        for t in self.targets:
            numbers = ", ".join(f"{name} {e.point:.4g}" for name, e in t.values.items())
            lines.append(f"  at {t.budget_flops:.4g} FLOPs: {numbers}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Estimator:
    """One way of reading a law from the same runs, to stand beside the others at every target.

    `name` is a short identifier, unique within its law; `label` says it in a few words.
    `parameters` holds at least a and b. The first estimator of a law is its main one, whose
    numbers are those of the FitResult; the others are variants that show what it depends on.
    """

    name: str
    label: str
    status: str
    message: str
    parameters: Mapping[str, Estimate]
    targets: Sequence[Target]


def estimator_table(estimators: Sequence[Estimator]) -> pd.DataFrame:
    """One row per estimator and target: names, status, a and b, every quantity, with intervals.

    Columns: estimator, label, main (true for the first), status, message, budget_flops, then for
    a, b and each of schema.QUANTITIES the columns q, q_lo80, q_hi80, q_lo95, q_hi95.
    """
    columns: dict[str, list[object]] = {}
    for number, e in enumerate(estimators):
        for target in e.targets:
            row: dict[str, object] = {
                "estimator": e.name,
                "label": e.label,
                "main": number == 0,
                "status": e.status,
                "message": e.message,
                "budget_flops": target.budget_flops,
            }
            estimates = {"a": e.parameters["a"], "b": e.parameters["b"], **target.values}
            for name, estimate in estimates.items():
                row[name] = estimate.point
                for end in ENDS:
                    row[f"{name}_{end}"] = getattr(estimate, end)
            for name, cell in row.items():
                columns.setdefault(name, []).append(cell)
    return pd.DataFrame(columns)


def targets_of(
    budgets: Sequence[float],
    point: Mapping[str, NDArray[np.float64]],
    draws: Mapping[str, NDArray[np.float64]],
    scatter: NDArray[np.float64] | None = None,
) -> tuple[list[Target], dict[str, NDArray[np.float64]]]:
    """Targets with intervals, and the draw columns that go with them.

    `point` maps params, tokens and loss to arrays of shape (budgets,), `draws` to arrays of shape
    (draws, budgets); tokens_per_param and flops_ratio (6ND/C) are derived here, draw by draw.
    `scatter` (draws,) holds the error of ln L of one more run in each draw; without it, where a law
    does not know how runs scatter, loss_new_run has no interval.
    """
    c = np.asarray(budgets, dtype=float)
    run = np.nan if scatter is None else np.exp(scatter)[:, None]

    def derived(
        v: Mapping[str, NDArray[np.float64]], run: float | NDArray[np.float64]
    ) -> dict[str, NDArray[np.float64]]:
        return {
            "params": v["params"],
            "tokens": v["tokens"],
            "tokens_per_param": v["tokens"] / v["params"],
            "loss": v["loss"],
            "loss_new_run": v["loss"] * run,
            "flops_ratio": 6.0 * v["params"] * v["tokens"] / c,
        }

    p, d = derived(point, 1.0), derived(draws, run)
    targets = [
        Target(float(b), {q: Estimate.of(p[q][i], d[q][:, i]) for q in QUANTITIES})
        for i, b in enumerate(c)
    ]
    columns = {target_column(q, b): d[q][:, i] for i, b in enumerate(c) for q in QUANTITIES}
    return targets, columns


def failed_json(law: str, message: str) -> FitJson:
    """A fit that could not be made, and why."""
    return {
        "law": law,
        "estimator": "",
        "status": FAILED,
        "message": message,
        "n_runs": 0,
        "n_points": 0,
        "settings": {},
        "parameters": {},
        "targets": [],
        "certificate": {},
    }


def plain(value: Any) -> Any:
    """`value` with NumPy scalars and arrays as Python ones and non-finite floats as None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return _finite(value)
    return value


def estimate_json(point: float, lo80: float, hi80: float, lo95: float, hi95: float) -> EstimateJson:
    """An estimate as JSON holds it, what is not finite as None.

    Returns the number with the ends of its 80 and 95 % intervals, in the order of the arguments.
    """
    return {
        "point": _finite(point),
        "lo80": _finite(lo80),
        "hi80": _finite(hi80),
        "lo95": _finite(lo95),
        "hi95": _finite(hi95),
    }


def _finite(x: float) -> float | None:
    return float(x) if math.isfinite(x) else None
