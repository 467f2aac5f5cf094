"""Which reading of the valleys is the main one: a rule, from what the runs themselves show.

Two pieces of evidence. A parabola is tested against its own runs: do terms of third and fourth
order fit them better than noise can? And every reading is held out: the law through its vertices of
the smaller budgets names a size at the next larger one, whose own runs say how far their loss there
lies above their lowest. That needs no reading of the larger budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from flopline.laws.common.inputs import size_classes
from flopline.laws.common.power_law import fit_power_law
from flopline.laws.isoflop.parabola import CORNERS, fit_polynomials
from flopline.laws.isoflop.profiles import PARABOLA, WINDOW
from flopline.laws.isoflop.valley import Valley, above_bottom
from flopline.numbers import significant

Floats = NDArray[np.float64]

AUTO: Final = "auto"
ORDER: Final = (PARABOLA, WINDOW, "cubic", "akima")
"""Readings that may be the main one, the least noisy first."""
MIN_BUDGETS: Final = 3
TERMS: Final = 5
"""Terms of the polynomial that a parabola is held against: two more than its own."""
MISFIT: Final = 0.01
"""A parabola whose lack of fit has a smaller p value does not fit its runs ..."""
MOVED: Final = 0.05
"""... and is given up if the runs near the bottom put some vertex farther off than this [ln N], the
error of a vertex of ten runs: a misfit that moves no vertex is none of our concern."""
BEATEN: Final = (0.001, 2.0)
"""Excess loss at held-out budgets [share of the loss], and the same in standard deviations of a run
over the root of the budgets held out, by which a reading must exceed the least to be given up."""
ROUNDING: Final = 1e-11
"""Relative residuals below this are those of arithmetic."""

RULE: Final = (
    "The main reading is the first of parabola through all runs, parabola through the runs near "
    "the bottom, cubic, Akima's interpolant that has a vertex at three budgets or more, that fits "
    "its own runs (or whose misfit moves no vertex by more than "
    f"{100 * MOVED:.0f} %), and that at held-out budgets costs no more loss than the best of them, "
    "within noise."
)


class ReadingTestsJson(TypedDict):
    """The tests of one reading as the certificate holds them."""

    budgets: int
    lack_of_fit_p: float
    largest_move_ln_params: float
    held_out_excess_percent: float
    held_out_budgets: int


@dataclass(frozen=True, slots=True)
class ReadingTests:
    """The tests of one reading.

    `budgets` have a vertex by it. `lack_of_fit` is the p value that its parabolas fit their runs,
    NaN where it has none or no run is to spare; `moved` the farthest [ln N] that one of its
    vertices lies from that of the runs near the bottom. `excess` is the mean loss above the lowest
    of held-out budgets, as a share, over `held_out` of them.
    """

    budgets: int
    lack_of_fit: float
    moved: float
    excess: float
    held_out: int

    @property
    def fits(self) -> bool:
        """Whether its parabolas fit their runs well enough for where their vertices lie."""
        return not (self.lack_of_fit < MISFIT and self.moved > MOVED)

    def to_json(self) -> ReadingTestsJson:
        """The certificate's entry."""
        return {
            "budgets": self.budgets,
            "lack_of_fit_p": self.lack_of_fit,
            "largest_move_ln_params": self.moved,
            "held_out_excess_percent": 100 * self.excess,
            "held_out_budgets": self.held_out,
        }


def evidence(valleys: Sequence[Valley]) -> dict[str, ReadingTests]:
    """The tests of every reading of ORDER."""
    usable = {name: np.array([not v.faults[name] for v in valleys], dtype=bool) for name in ORDER}
    ln_n = {name: np.array([v.point[name].ln_params[0] for v in valleys]) for name in ORDER}
    excess = _held_out(valleys, usable, ln_n)
    out = {}
    for name in ORDER:
        both = usable[name] & usable[WINDOW]
        moved = np.abs(ln_n[name] - ln_n[WINDOW])[both]
        mine = [v for v, there in zip(valleys, usable[name], strict=True) if there]
        out[name] = ReadingTests(
            budgets=int(usable[name].sum()),
            lack_of_fit=lack_of_fit(mine, name) if name in (PARABOLA, WINDOW) else np.nan,
            moved=float(moved.max()) if moved.size else 0.0,
            excess=float(np.mean(excess[name])) if excess[name] else np.nan,
            held_out=len(excess[name]),
        )
    return out


def chosen_reading(tests: Mapping[str, ReadingTests], noise: float) -> str:
    """The main reading by RULE; the first that has a vertex at three budgets if none fits.

    `noise` is the relative standard deviation of a run, NaN where unknown. The parabola where none
    has a vertex at three budgets.
    """
    able = [name for name in ORDER if tests[name].budgets >= MIN_BUDGETS]
    fitting = [name for name in able if tests[name].fits] or able
    if not fitting:
        return PARABOLA
    least = min((e.excess for e in (tests[n] for n in fitting) if e.held_out), default=0.0)
    for name in fitting:
        e = tests[name]
        slack = BEATEN[1] * np.nan_to_num(noise) / np.sqrt(max(e.held_out, 1))
        if not e.held_out or e.excess - least <= max(BEATEN[0], slack):
            return name
    return fitting[0]


def sentence(tests: Mapping[str, ReadingTests], main: str) -> str:
    """Why the main reading is not the parabola through all runs, empty where it is."""
    raw = tests[PARABOLA]
    if main == PARABOLA:
        return ""
    if raw.budgets < MIN_BUDGETS:
        why = f"the parabola through all runs has a vertex at only {raw.budgets}"
    elif not raw.fits:
        why = (
            "the parabolas do not fit all runs of their budgets (lack of fit p = "
            f"{raw.lack_of_fit:.1g}) and lie up to {significant(100 * np.expm1(raw.moved), 2)} % "
            "in N from where the runs near the bottom put them"
        )
    else:
        why = (
            "at held-out budgets the parabola's sizes lie "
            f"{significant(100 * raw.excess, 2)} % above the lowest loss, against "
            f"{significant(100 * tests[main].excess, 2)} %"
        )
    return f"valleys are read by {WORDS[main]}: {why}"


WORDS: Final = {
    PARABOLA: "the parabola through all runs",
    WINDOW: "the parabola through the runs near the bottom",
    "cubic": "a cubic",
    "akima": "Akima's interpolant",
}


def lack_of_fit(valleys: Sequence[Valley], reading: str) -> float:
    """p value that the parabolas of a reading fit their runs, by an F test over all budgets.

    What terms of third and fourth order gain, where a budget has sizes to spare, against the noise
    that the runs near the bottoms show. NaN where no budget has one, or no noise is known.
    """
    gain, gained, spare = 0.0, 0, 0
    for v in valleys:
        runs = v.views[reading].runs
        x, y = np.log(v.rows["params"].to_numpy())[runs], v.rows["loss"].to_numpy()[runs]
        sizes = size_classes(np.exp(x))
        terms = min(TERMS, int(sizes.max()))
        if terms <= CORNERS or not np.isfinite(v.noise):
            continue
        few, many = (_squares(x, y / v.optimum[2], sizes, t) for t in (CORNERS, terms))
        gain += (few - many) / max(v.noise, ROUNDING) ** 2
        gained += terms - CORNERS
        spare += int(v.views[WINDOW].runs.sum()) - CORNERS
    return float(fdtrc(gained, spare, gain / gained)) if gained and spare > 0 else float("nan")


def _squares(x: Floats, y: Floats, sizes: NDArray[np.int64], terms: int) -> float:
    centre, c = fit_polynomials(x, y, sizes, np.ones((1, x.size)), terms)
    rest = y - (x - centre)[:, None] ** np.arange(terms) @ c[0]
    return float(rest @ rest)


def _held_out(
    valleys: Sequence[Valley], usable: Mapping[str, NDArray[np.bool_]], ln_n: Mapping[str, Floats]
) -> dict[str, list[float]]:
    """Excess loss of each reading at every budget for which all of them give a size."""
    ln_c = np.array([v.ln_flops for v in valleys])
    able = [name for name in ORDER if usable[name].sum() >= MIN_BUDGETS]
    out: dict[str, list[float]] = {name: [] for name in ORDER}
    for k, v in enumerate(valleys):
        below = {name: usable[name] & (np.arange(ln_c.size) < k) for name in able}
        asked = able and not v.chained and v.n_sizes >= CORNERS
        if not asked or any(rows.sum() < MIN_BUDGETS for rows in below.values()):
            continue
        for name, rows in below.items():
            line = fit_power_law(ln_c[rows], ln_n[name][rows], 1.0)
            out[name].append(above_bottom(v, float(line.ln_at(ln_c[k : k + 1])[0])))
    return out
