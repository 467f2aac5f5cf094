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
from numpy.typing import NDArray

from flopline.laws.common.allocation import Allocation, stated
from flopline.laws.common.fit_result import CONVERGED, FAILED, WARNING, Estimate, Estimator, Target
from flopline.laws.isoflop.plugin_bias import PluggedIn, plugin_bias
from flopline.laws.isoflop.quality import Checks
from flopline.laws.isoflop.valley import Resamples, Valley, Vertices, side_by_side
from flopline.laws.isoflop.vertex_laws import MIN_BUDGETS, laws_through
from flopline.numbers import flops_label
from flopline.schema import QUANTITIES

MAIN: Final = "parabola"
CORRECTED: Final = "corrected"
LABELS: Final = {
    MAIN: "parabola per budget, weighted power laws through the vertices",
    CORRECTED: "vertices less the parabola's plug-in bias on the runs' own grids",
    "cubic": "cubic per budget instead of the parabola",
    "akima": "minimum of Akima's interpolant through the sizes of each budget",
    "unweighted": "the parabola's vertices, all of equal weight",
    "all_budgets": "every budget that has a vertex, whatever the checks say",
    "checked": "without the budgets that a check flags",
}


Laws = tuple[Allocation, Allocation]
"""The laws of the data and those of every draw."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Vertices (1, budgets) of the data and (draws, budgets) of the draws; NaN where left out.

    `wanted` are the budgets that should have a vertex, `weighing` the draws that weigh them (None:
    equally). `twin` names the reading that has the very same vertices, budgets and weights; `fault`
    says why there is no law, `note` what to mind of it.
    """

    name: str
    point: Vertices
    drawn: Vertices
    wanted: NDArray[np.bool_]
    weighing: Vertices | None
    twin: str = ""
    fault: str = ""
    note: str = ""

    @property
    def there(self) -> NDArray[np.bool_]:
        """The budgets that carry the laws."""
        return np.asarray(self.wanted & self.point.present[0])

    @property
    def failed(self) -> bool:
        """Whether there is no law."""
        return bool(self.fault) or int(self.there.sum()) < MIN_BUDGETS

    def laws(self) -> Laws:
        """The laws of the data and of the draws."""
        kept = self.there
        weighing = None if self.weighing is None else self.weighing.pick(kept)
        return laws_through(self.point.pick(kept), self.drawn.pick(kept), weighing)


def readings(
    valleys: Sequence[Valley], checks: Sequence[Checks], surfaces: PluggedIn, draws: Resamples
) -> dict[str, Reading]:
    """Every reading by name, the main one first; columns of their vertices are the `valleys`.

    `draws` are those of the whole table, of which the rows of a valley carry their positions.
    """
    used = np.array([v.used for v in valleys])
    point = {name: side_by_side([v.point[name] for v in valleys]) for name in valleys[0].point}
    drawn = {name: side_by_side([v.drawn[name] for v in valleys]) for name in valleys[0].drawn}
    raw, raw_drawn = point[MAIN], drawn[MAIN]
    every = np.array([not v.chained for v in valleys]) & raw.present[0]
    sound = used & np.array([not c.flags for c in checks])

    def raw_over(name: str, wanted: NDArray[np.bool_]) -> Reading:
        twin = MAIN if name != MAIN and np.array_equal(wanted, used) else ""
        return Reading(name, raw, raw_drawn, wanted, raw_drawn, twin)

    bias, bias_drawn = _biases(valleys, surfaces, draws)
    corrected = Reading(
        CORRECTED,
        raw.less(bias),
        raw_drawn.less(bias_drawn),
        used,
        raw_drawn,
        fault=f"no surface to take the bias from: {surfaces.reason}" if surfaces.reason else "",
        note=_surface_note(surfaces),
    )
    beside = [
        Reading(name, point[name], drawn[name], used, raw_drawn) for name in ("cubic", "akima")
    ]
    found = [
        raw_over(MAIN, used),
        corrected,
        *beside,
        Reading("unweighted", raw, raw_drawn, used, None),
        raw_over("all_budgets", every),
        raw_over("checked", sound),
    ]
    return {r.name: r for r in found}


def _biases(
    valleys: Sequence[Valley], surfaces: PluggedIn, draws: Resamples
) -> tuple[Vertices, Vertices]:
    once = [np.ones((1, len(v.rows))) for v in valleys]
    weights = [draws.weights[:, v.rows.index.to_numpy()] for v in valleys]
    return (
        side_by_side(
            [plugin_bias(surfaces.point, v.rows, w) for v, w in zip(valleys, once, strict=True)]
        ),
        side_by_side(
            [plugin_bias(surfaces.drawn, v.rows, w) for v, w in zip(valleys, weights, strict=True)]
        ),
    )


def _surface_note(surfaces: PluggedIn) -> str:
    said = []
    if surfaces.certificate.get("bounds"):
        bounds = " and ".join(surfaces.certificate["bounds"])
        said.append(f"{bounds} of the surface plugged in on the bound of the search")
    if surfaces.certificate.get("starts_agree", 2) < 2:
        said.append("only one start reached the surface plugged in")
    return "; ".join(said)


def all_laws(found: Mapping[str, Reading]) -> dict[str, Laws]:
    """The laws of every reading that has some, those of twins only once."""
    made = {name: r.laws() for name, r in found.items() if not (r.failed or r.twin)}
    return made | {name: made[r.twin] for name, r in found.items() if r.twin}


def estimators(
    found: Mapping[str, Reading],
    laws: Mapping[str, Laws],
    valleys: Sequence[Valley],
    targets: Sequence[float],
    new_run: NDArray[np.float64],
) -> list[Estimator]:
    """An estimator for every reading but the main one; one that cannot be made has failed."""
    return [
        _estimator(r, laws.get(name), valleys, targets, new_run)
        for name, r in found.items()
        if name != MAIN
    ]


def _estimator(
    r: Reading,
    laws: Laws | None,
    valleys: Sequence[Valley],
    targets: Sequence[float],
    new_run: NDArray[np.float64],
) -> Estimator:
    lacking = [
        flops_label(float(np.exp(v.ln_flops)))
        for v, wanted, there in zip(valleys, r.wanted, r.there, strict=True)
        if wanted and not there
    ]
    without = f"no minimum inside the grid at {', '.join(lacking)} FLOPs" if lacking else ""
    if laws is None:
        few = f"only {r.there.sum()} budgets carry it, needs {MIN_BUDGETS}"
        message = r.fault or "; ".join(filter(None, [few, without]))
        nothing = Estimate(np.nan)
        nowhere = [Target(float(c), dict.fromkeys(QUANTITIES, nothing)) for c in targets]
        return Estimator(
            r.name, LABELS[r.name], FAILED, message, {"a": nothing, "b": nothing}, nowhere
        )
    parameters, at_targets, _ = stated(*laws, targets, new_run)
    mind = "; ".join(filter(None, [r.note, without]))
    same = "the same budgets as the main estimate" if r.twin else ""
    status = WARNING if mind else CONVERGED
    return Estimator(r.name, LABELS[r.name], status, mind or same, parameters, at_targets)
