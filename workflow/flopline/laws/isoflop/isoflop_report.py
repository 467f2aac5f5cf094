"""What an isoFLOP fit leaves beside its laws: its tables, its certificate, its warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.documents import BetweenBudgetsJson
from flopline.flops import six_nd
from flopline.laws.common.allocation import ResidualsJson, residuals
from flopline.laws.common.budgets import Grouping
from flopline.laws.common.fit_result import FAILED, WARNING, Estimate, Estimator
from flopline.laws.common.power_law import fit_power_law
from flopline.laws.isoflop.between_budgets import BetweenBudgets
from flopline.laws.isoflop.plugin_bias import PluggedIn, SurfaceCertificate
from flopline.laws.isoflop.profiles import PARABOLA, READERS
from flopline.laws.isoflop.quality import Checks
from flopline.laws.isoflop.readings import CORRECTED, VertexReading
from flopline.laws.isoflop.valley import Valley
from flopline.laws.isoflop.vertex_laws import Laws, log_spread, spread
from flopline.numbers import count, flops_label, humanise, significant

Floats = NDArray[np.float64]

FEW_BUDGETS: Final = 5
GRID_DRIFT: Final = (float(np.log(2.0)), 2.0)
"""Change of the grids' offset from the vertices over the budgets [ln N], and the same in standard
errors, beyond which it is warned about: an offset that drifts with compute biases the exponent,
where a constant one moves the level only (Czech et al. 2026, arXiv 2603.22339)."""


LOSS_REJECTED: Final = 0.01
"""Below this p value of the scatter of lowest losses the loss law itself is warned of."""
FLAGGED: Final = " is flagged: "
CHECKED: Final = "checked"
"""The reading of the budgets without a flag."""
NOT_USED: Final = " not used: "
FEW: Final = " budgets carry the laws"
DRIFTING: Final = "the grids drift against their vertices"
LOSS_LAWS: Final = ("loss law ", "the lowest losses ")
"""What warnings about the loss law hold; those above, what warnings of other kinds do."""

SCATTERING: Final = {"params": ("vertices", "N"), "loss": ("lowest losses", "the loss")}
"""What scatters between budgets, in words."""


class GridDriftJson(TypedDict):
    """How the grids' centres lie and drift against the vertices [ln N]."""

    grid_offset_mean: float
    grid_offset_drift: float
    grid_offset_drift_se: float
    grid_offset_change: float


class IsoflopCertificate(GridDriftJson, ResidualsJson):
    """What certifies the laws through the vertices."""

    budgets: int
    budgets_used: int
    budgets_flagged: int
    budgets_found_by: str
    draws: int
    draws_failed: int
    between_budgets: dict[str, BetweenBudgetsJson]
    largest_flops_spread: float
    largest_flops_shift: float
    least_curvature_t: float
    equal_weights: dict[str, float]
    loss_law: str
    draws_without_floor: int
    largest_bias_ln_params: float
    surface: SurfaceCertificate


def vertex_table(
    valleys: Sequence[Valley],
    checks: Sequence[Checks],
    readings: Mapping[str, VertexReading],
    weights: Mapping[str, Floats],
) -> pd.DataFrame:
    """One row per budget: its runs, its optima with intervals, every check, whether it is used.

    `flagged` budgets have a vertex that a check doubts (`flags` says which); `reason` says why a
    budget is not used. The corrected vertex is there where a surface gives its bias. `weights`
    (budgets used,) by axis are those of the main laws.
    """
    rows = [
        _vertex_row(i, v, c, readings) for i, (v, c) in enumerate(zip(valleys, checks, strict=True))
    ]
    table = pd.DataFrame(rows)
    for axis, each in weights.items():
        table[f"{axis}_weight"] = 0.0
        table.loc[table["used"], f"{axis}_weight"] = each
    return table


def _vertex_row(
    i: int, v: Valley, checks: Checks, readings: Mapping[str, VertexReading]
) -> dict[str, object]:
    ln_c = np.log(v.rows["flops"].to_numpy())
    ln_n, ln_d, bottom = v.optimum
    n, d = float(np.exp(ln_n)), float(np.exp(ln_d))
    flops = float(np.exp(v.ln_flops))
    drawn, view = v.drawn[v.main], v.view
    seen = v.rows["params"].to_numpy()[view.runs]
    point, sure = readings[CORRECTED].point, readings[CORRECTED].drawn
    raw = v.point[v.main if v.main in v.views else PARABOLA]
    return {
        "budget_flops": flops,
        "nominal_flops": v.nominal,
        "n_runs": len(v.rows),
        "n_sizes": v.n_sizes,
        "flops_min": float(np.exp(ln_c.min())),
        "flops_max": float(np.exp(ln_c.max())),
        "ln_flops_sd": float(ln_c.std()),
        **_interval("params", n, np.exp(drawn.ln_params)),
        "params_se_ln": float(spread(drawn.ln_params[:, None])[0]),
        **_interval("tokens", d, np.exp(drawn.ln_tokens)),
        "tokens_se_ln": float(spread(drawn.ln_tokens[:, None])[0]),
        **_interval("loss", bottom, drawn.loss),
        "loss_se_ln": float(log_spread(drawn.loss[:, None])[0]),
        **_interval(
            "params_corrected", float(np.exp(point.ln_params[0, i])), np.exp(sure.ln_params[:, i])
        ),
        **_interval(
            "tokens_corrected", float(np.exp(point.ln_tokens[0, i])), np.exp(sure.ln_tokens[:, i])
        ),
        "loss_corrected": float(point.loss[0, i]),
        "bias_ln_params": float(raw.ln_params[0] - point.ln_params[0, i]),
        "bias_ln_tokens": float(raw.ln_tokens[0] - point.ln_tokens[0, i]),
        **{
            f"{axis}_{name}": float(np.exp(getattr(v.point[name], f"ln_{axis}")[0]))
            for name in v.point
            for axis in ("params", "tokens")
        },
        "flops_ratio": float(six_nd(n, d)) / flops,
        "centre_ln_params": view.in_params.centre,
        "c0": float(view.in_params.c0[0]),
        "c1": float(view.in_params.c1[0]),
        "c2": float(view.in_params.c2[0]),
        "near_min": float(seen.min()),
        "near_max": float(seen.max()),
        **{f"usable_{name}": not fault for name, fault in v.faults.items()},
        "draws_present": int(drawn.present.sum()),
        "inside": view.inside,
        **checks.columns(),
        "flagged": bool(checks.flags),
        "used": v.used,
        "reason": v.reason,
    }


def _interval(name: str, point: float, draws: Floats) -> dict[str, float]:
    e = Estimate.of(point, draws)
    return {
        name: e.point,
        f"{name}_lo80": e.lo80,
        f"{name}_hi80": e.hi80,
        f"{name}_lo95": e.lo95,
        f"{name}_hi95": e.hi95,
    }


def profile_table(
    table: pd.DataFrame, grouping: Grouping, valleys: Sequence[Valley], tolerance: float
) -> pd.DataFrame:
    """One row per run, with its budget and its parabola's loss, or why it is in no budget."""
    parts = [
        v.rows.assign(
            budget_flops=np.exp(v.ln_flops),
            fitted=np.where(
                v.view.runs, v.view.in_params.at(np.log(v.rows["params"].to_numpy())), np.nan
            ),
            reason="",
        )
        for v in valleys
    ]
    left = table[grouping.group < 0]
    if not left.empty:
        why = [f"no budget within {tolerance:g} of ln C at {c:.4g} FLOPs" for c in left["flops"]]
        parts.append(left.assign(budget_flops=np.nan, fitted=np.nan, reason=why))
    columns = ["run", "budget_flops", "params", "tokens", "flops", "loss", "fitted", "reason"]
    return pd.concat(parts, ignore_index=True)[columns]


def certificate(
    laws: Mapping[str, Laws], vertices: pd.DataFrame, surfaces: PluggedIn, how: str
) -> IsoflopCertificate:
    """Numbers that certify the laws: what was used, what drifts, how large the bias is."""
    used = vertices[vertices["used"]]
    main = next(iter(laws))
    point, resampled = laws[main].point, laws[main].drawn
    equal = laws["unweighted"].point
    bias = used["bias_ln_params"].abs().max()
    return {
        "budgets": len(vertices),
        "budgets_used": int(vertices["used"].sum()),
        "budgets_flagged": int(vertices["flagged"].sum()),
        "budgets_found_by": how,
        "draws": int(resampled.params.p.size),
        "draws_failed": int(resampled.absent.sum()),
        **residuals(used.assign(flops=used["budget_flops"]), point),
        "between_budgets": {q: b.to_json() for q, b in laws[main].between.items()},
        **_grid_drift(used),
        "largest_flops_spread": float((used["flops_max"] / used["flops_min"]).max() - 1.0),
        "largest_flops_shift": float(used["flops_shift"].abs().max()),
        "least_curvature_t": float(used["curvature_t"].min()),
        "equal_weights": {k: float(v[0]) for k, v in list(equal.parameters().items())[:4]},
        "loss_law": point.loss.form(),
        "draws_without_floor": int((resampled.loss.few | resampled.loss.unidentified).sum()),
        "largest_bias_ln_params": float(bias),
        "surface": surfaces.certificate,
    }


def _grid_drift(used: pd.DataFrame) -> GridDriftJson:
    """Trend over ln C of the grid's centre less the vertex [ln N], its error and whole change."""
    ln_c = np.log(used["budget_flops"].to_numpy())
    offset = (used["centre_ln_params"] - np.log(used["params"])).to_numpy()
    line = fit_power_law(ln_c, offset, 1.0)
    rest = offset - line.ln_at(ln_c)
    spare = ln_c.size - 2
    u = ln_c - ln_c.mean()
    return {
        "grid_offset_mean": float(offset.mean()),
        "grid_offset_drift": float(line.p),
        "grid_offset_drift_se": float(np.sqrt(rest @ rest / spare / (u @ u))),
        "grid_offset_change": float(line.p * np.ptp(ln_c)),
    }


def messages(
    valleys: Sequence[Valley],
    checks: Sequence[Checks],
    certified: IsoflopCertificate,
    runs: int,
    laws: Laws,
) -> tuple[list[str], list[str]]:
    """What makes the status a warning, and what a reader should know besides.

    `runs` is the number of runs given, `laws` are those of the main reading. Returns both as lists
    of clauses, empty where there is nothing to say.
    """
    warnings = [f"{_budget(v)}{NOT_USED}{v.reason}" for v in valleys if v.reason]
    n_used = sum(v.used for v in valleys)
    if n_used < FEW_BUDGETS:
        warnings.append(f"only {n_used}{FEW}")
    notes: list[str] = []
    for v, c in zip(valleys, checks, strict=True):
        if v.used and c.flags:
            (notes if c.curved else warnings).append(f"{_budget(v)}{FLAGGED}{c.flags}")
    loose = runs - sum(len(v.rows) for v in valleys)
    if loose:
        warnings.append(f"{loose} run{'s' if loose > 1 else ''} near no budget left out")
    change, drift = certified["grid_offset_change"], certified["grid_offset_drift"]
    if (
        abs(change) > GRID_DRIFT[0]
        and abs(drift) > GRID_DRIFT[1] * certified["grid_offset_drift_se"]
    ):
        warnings.append(
            f"{DRIFTING} by a factor of "
            f"{significant(float(np.exp(abs(change))), 2)} in N over the budgets, which biases the "
            "exponent"
        )
    loss = laws.point.loss
    if loss.few[0] or loss.unidentified[0] or not np.isfinite(loss.c[0]):
        warnings.append(f"loss law {loss.form()}")
    rejected = loss_law_rejected(laws)
    warnings += rejected
    scatter = [scatter_sentence("params", laws.between["params"])]
    scatter += [scatter_sentence("loss", laws.between["loss"])] * (not rejected)
    return warnings, [*notes, *filter(None, [*scatter, loss.note()])]


def loss_law_rejected(laws: Laws) -> list[str]:
    """That the lowest losses of budgets refute their law; nothing where they do not."""
    between = laws.between["loss"]
    return [scatter_sentence("loss", between)] if between.p_value < LOSS_REJECTED else []


def inherited(warnings: Sequence[str], reading: str) -> str:
    """What another reading takes over of the warnings of the main one, whose budgets it stands on.

    The reading without flagged budgets does not stand on these, the corrected one mends a drift,
    and the loss law of each is judged by itself; one that reads valleys in its own way says itself
    which of them it cannot use.
    """
    lifted = [*LOSS_LAWS]
    lifted += {CHECKED: [FLAGGED], CORRECTED: [DRIFTING]}.get(reading, [])
    if reading in READERS:
        lifted += [NOT_USED, FEW]
    kept = [w for w in warnings if not any(words in w for words in lifted)]
    return f"it stands on budgets that are warned of: {'; '.join(kept)}" if kept else ""


def scatter_sentence(quantity: str, between: BetweenBudgets) -> str:
    """A sentence on how the optima of budgets scatter about their law, empty where they do not."""
    if not between.significant:
        return ""
    what, size = SCATTERING[quantity]
    return (
        f"the {what} of the budgets lie off their law by more than their own errors (chi-square "
        f"{between.chi_square:.2g} on {count(between.freedom, 'degree')} of freedom, "
        f"p = {between.p_value:.1g}): every interval holds a scatter between budgets "
        f"of {significant(100 * between.sd, 2)} % in {size}"
    )


def _budget(v: Valley) -> str:
    return f"budget {np.exp(v.ln_flops):.3g}"


def warned_with(other: Estimator, warnings: Sequence[str], laws: Laws | None) -> Estimator:
    """An estimator with the main one's `warnings` that hold for it, and those of its own `laws`."""
    if other.status == FAILED or laws is None:
        return other
    mine = [inherited(warnings, other.name), *loss_law_rejected(laws)]
    mine = list(filter(None, mine))
    if not mine:
        return other
    own = [other.message] if other.status == WARNING else []
    return replace(other, status=WARNING, message="; ".join([*own, *mine]))


def held_against_checked(main: Estimator, beside: Sequence[Estimator]) -> Estimator:
    """`main` with a note on how the flagged budgets change it; a warning if they change it much.

    Much is a change of N at the first target to outside of its 95 % interval.
    """
    other = next(e for e in beside if e.name == CHECKED)
    here, there = main.targets[0], other.targets[0]
    n, sound = here.values["params"], there.values["params"].point
    if other.status == FAILED or sound == n.point:
        return main
    note = (
        f"without the flagged budgets N at {flops_label(here.budget_flops)} FLOPs is "
        f"{humanise(sound)} instead of {humanise(n.point)}"
    )
    outside = sound < n.lo95 or sound > n.hi95
    message = "; ".join(filter(None, [main.message, note]))
    return replace(main, status=WARNING if outside else main.status, message=message)
