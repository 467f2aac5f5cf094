"""The readings of one set of isoFLOP runs that stand side by side, and their estimators.

All see the same draws of the same runs, and weigh a budget by the error of its parabola's vertex,
so that neither resampling nor weights set them apart. (Akima's minimum jumps from size to size, and
weights from its own draws would change with the seed.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.laws.common.allocation import stated
from flopline.laws.common.fit_result import CONVERGED, FAILED, WARNING, Estimate, Estimator, Target
from flopline.laws.isoflop.between_budgets import Chances
from flopline.laws.isoflop.plugin_bias import PluggedIn, plugin_bias
from flopline.laws.isoflop.profiles import PARABOLA, READERS, WINDOW
from flopline.laws.isoflop.quality import Checks
from flopline.laws.isoflop.valley import Resamples, Valley, Vertices, side_by_side
from flopline.laws.isoflop.vertex_laws import EQUAL, MIN_BUDGETS, Laws, laws_through
from flopline.numbers import flops_label
from flopline.schema import QUANTITIES

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CORRECTED: Final = "corrected"
LABELS: Final = {
    PARABOLA: "parabola per budget, weighted power laws through the vertices",
    WINDOW: "parabola through the runs near the bottom of each budget",
    CORRECTED: "vertices less the parabola's plug-in bias on the runs' own grids",
    "cubic": "cubic per budget instead of the parabola",
    "akima": "minimum of Akima's interpolant through the sizes of each budget",
    "unweighted": "the same vertices, all of equal weight",
    "all_budgets": "every budget that has a vertex, whatever the checks say",
    "checked": "without the budgets that a check flags",
}
FITTING_SURFACE: Final = (2.0, 1e-6)
"""The bias is taken from a surface only if its relative residuals are at most this many standard
deviations of a run, or below rounding: a surface that misses the runs cannot tell how a parabola
misses them by less."""
MODEST: Final = float(np.log(1.5))
"""Nor is a bias taken off that moves some vertex farther than this [ln N]: such a grid is for
reading the valley otherwise, not for mending a parabola on it."""


@dataclass(frozen=True, slots=True)
class VertexReading:
    """Vertices (1, budgets) of the data and (draws, budgets) of the draws; NaN where left out.

    `wanted` are the budgets that it can use, `weighing` the draws whose errors weigh them by
    `weights` (of the options). `lacking` says which budgets it cannot use, and why. `twin` names
    the reading that has the very same vertices, budgets and weights; `fault` says why there is no
    law, `note` a warning about it.
    """

    name: str
    point: Vertices
    drawn: Vertices
    wanted: Bools
    weighing: Vertices
    weights: str
    lacking: str = ""
    twin: str = ""
    fault: str = ""
    note: str = ""

    @property
    def there(self) -> Bools:
        """The budgets that carry the laws."""
        return np.asarray(self.wanted & self.point.present[0])

    @property
    def failed(self) -> bool:
        """Whether there is no law."""
        return bool(self.fault) or int(self.there.sum()) < MIN_BUDGETS

    def laws(self, chances: Chances) -> Laws:
        """The laws of the data and of the draws; `chances` are those of all budgets."""
        kept = self.there
        point, drawn, weighing = (v.pick(kept) for v in (self.point, self.drawn, self.weighing))
        return laws_through(point, drawn, weighing, self.weights, chances.pick(kept))


def readings(
    valleys: Sequence[Valley],
    checks: Sequence[Checks],
    surfaces: PluggedIn,
    draws: Resamples,
    weights: str,
) -> dict[str, VertexReading]:
    """Every reading by name, the main one first; columns of their vertices are the `valleys`.

    `draws` are those of the whole table, of which the rows of a valley carry their positions;
    `weights` is that of the options.

    Returns those without a law, too: `fault` or `lacking` of each says why.
    """
    main = valleys[0].main
    used = np.array([v.used for v in valleys])
    point = {name: side_by_side([v.point[name] for v in valleys]) for name in READERS}
    drawn = {name: side_by_side([v.drawn[name] for v in valleys]) for name in READERS}
    able = {name: np.array([not (v.faults[name] or v.excluded) for v in valleys])
            for name in READERS}  # fmt: skip
    raw, raw_drawn = point[main], drawn[main]
    every = np.array([not v.chained for v in valleys]) & raw.present[0]
    sound = used & np.array([not c.flags for c in checks])

    def raw_over(name: str, wanted: Bools, weights: str = weights) -> VertexReading:
        same = np.array_equal(wanted, used) and weights == weighing
        twin = main if name != main and same else ""
        return VertexReading(name, raw, raw_drawn, wanted, raw_drawn, weights, twin=twin)

    weighing = weights
    read = {
        name: VertexReading(
            name, point[name], drawn[name], able[name], raw_drawn, weights, _lacking(valleys, name)
        )
        for name in READERS
    }
    all_readings = [
        read.pop(main),
        *(read.pop(name) for name in (PARABOLA, WINDOW) if name in read),
        _corrected(valleys, surfaces, draws, weights),
        *read.values(),
        raw_over("unweighted", used, EQUAL),
        raw_over("all_budgets", every),
        raw_over("checked", sound),
    ]
    return {r.name: r for r in all_readings}


def _lacking(valleys: Sequence[Valley], reading: str) -> str:
    """The budgets that a reading cannot use, by reason, without those that no reading can use."""
    why: dict[str, list[str]] = {}
    for v in valleys:
        if v.faults[reading] and not all(v.faults.values()):
            why.setdefault(v.faults[reading], []).append(flops_label(float(np.exp(v.ln_flops))))
    return "; ".join(f"{fault} at {', '.join(at)} FLOPs" for fault, at in why.items())


def _corrected(
    valleys: Sequence[Valley], surfaces: PluggedIn, draws: Resamples, weights: str
) -> VertexReading:
    """The vertices of the main parabola less its bias, if a surface gives one."""
    base = valleys[0].main if valleys[0].main in valleys[0].views else PARABOLA
    raw, raw_drawn = (
        side_by_side([getattr(v, which)[base] for v in valleys]) for which in ("point", "drawn")
    )
    able = np.array([not (v.faults[base] or v.excluded) for v in valleys])
    bias, bias_drawn = _biases(valleys, base, surfaces, draws)
    return VertexReading(
        CORRECTED,
        raw.less(bias),
        raw_drawn.less(bias_drawn),
        able,
        raw_drawn,
        weights,
        fault=_no_correction(surfaces, bias.ln_params[0][able], draws.typical_noise),
        note=_surface_note(surfaces),
    )


def _no_correction(surfaces: PluggedIn, bias: Floats, noise: float) -> str:
    """Why no bias is taken off, empty if it is: no surface, one that misses the runs, or a bias
    that is too large to be taken on trust.
    """
    if surfaces.reason:
        return f"no surface to take the bias from: {surfaces.reason}"
    misfit = surfaces.certificate["rms_log_residual"]
    times, rounding = FITTING_SURFACE
    if misfit > max(times * noise, rounding):
        return (
            f"the surface misses the runs by {100 * misfit:.2g} %, which scatter by "
            f"{100 * noise:.2g} % about their valleys, so it cannot tell the parabola's bias"
        )
    largest = float(np.abs(bias).max(initial=0.0))
    if largest > MODEST:
        return (
            f"its bias of up to {100 * float(np.expm1(largest)):.2g} % in N is too large to be "
            "taken off on trust"
        )
    return ""


def _biases(
    valleys: Sequence[Valley], reading: str, surfaces: PluggedIn, draws: Resamples
) -> tuple[Vertices, Vertices]:
    """Bias of a parabola's vertices of the data (1, budgets) and of the draws (draws, budgets)."""
    rows = [v.rows[v.views[reading].runs] for v in valleys]
    once = [np.ones((1, len(r))) for r in rows]
    weights = [draws.weights_of(r.index.to_numpy()) for r in rows]
    return (
        side_by_side([plugin_bias(surfaces.point, r, w) for r, w in zip(rows, once, strict=True)]),
        side_by_side(
            [plugin_bias(surfaces.drawn, r, w) for r, w in zip(rows, weights, strict=True)]
        ),
    )


def _surface_note(surfaces: PluggedIn) -> str:
    notes = []
    if surfaces.certificate.get("bounds"):
        bounds = " and ".join(surfaces.certificate["bounds"])
        notes.append(f"{bounds} of the surface plugged in on the bound of the search")
    if surfaces.certificate.get("starts_agree", 2) < 2:
        notes.append("only one start reached the surface plugged in")
    return "; ".join(notes)


def all_laws(all_readings: Mapping[str, VertexReading], chances: Chances) -> dict[str, Laws]:
    """The laws of every reading that has some, those of twins only once."""
    made = {name: r.laws(chances) for name, r in all_readings.items() if not (r.failed or r.twin)}
    return made | {name: made[r.twin] for name, r in all_readings.items() if r.twin}


def of_laws(
    laws: Laws, targets: Sequence[float], new_run: Floats, chances: Chances
) -> tuple[dict[str, Estimate], list[Target], pd.DataFrame]:
    """What the laws state, see allocation.stated; `new_run` (draws,) is the error of a new run.

    One more run belongs to one more budget, whose bottom scatters as those of the others do.
    """
    error = new_run + laws.between["loss"].drawn * chances.new_budget
    return stated(laws.point, laws.drawn, targets, error)


def estimators(
    all_readings: Mapping[str, VertexReading],
    laws: Mapping[str, Laws],
    targets: Sequence[float],
    new_run: Floats,
    chances: Chances,
) -> list[Estimator]:
    """An estimator for every reading but the main one; one that cannot be made has failed.

    `laws` are those of `all_laws`, `targets` budgets [FLOPs], `new_run` (draws,) the error of ln L
    of one more run. Returns them in the order of the readings.
    """
    return [
        _estimator(r, laws.get(name), targets, new_run, chances)
        for name, r in list(all_readings.items())[1:]
    ]


def _estimator(
    r: VertexReading,
    laws: Laws | None,
    targets: Sequence[float],
    new_run: Floats,
    chances: Chances,
) -> Estimator:
    """One reading of the vertices as an estimator beside the law.

    Returns:
        The estimator; a failed one that says what is missing where `laws` is None.
    """
    if laws is None:
        few = f"only {r.there.sum()} budgets carry it, needs {MIN_BUDGETS}"
        message = r.fault or "; ".join(filter(None, [few, r.lacking]))
        nothing = Estimate(np.nan)
        nowhere = [Target(float(c), dict.fromkeys(QUANTITIES, nothing)) for c in targets]
        return Estimator(
            r.name, LABELS[r.name], FAILED, message, {"a": nothing, "b": nothing}, nowhere
        )
    parameters, at_targets, _ = of_laws(laws, targets, new_run, chances)
    cautions = "; ".join(filter(None, [r.note, r.lacking]))
    same = "the same budgets as the main estimate" if r.twin else ""
    status = WARNING if cautions else CONVERGED
    return Estimator(r.name, LABELS[r.name], status, cautions or same, parameters, at_targets)
