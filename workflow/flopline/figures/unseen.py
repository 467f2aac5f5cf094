"""Marks of what no fit has seen: the forecast at the target, and runs that were held out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from flopline.audit.held_out_kinds import THIS_RUN
from flopline.documents import EstimateJson, VerdictJson, number_in
from flopline.figures.style import INK
from flopline.numbers import count, significant
from flopline.results import StudyResults

FORECAST_COLOR: Final = "#7b2d8e"
FORECAST_MARKER: Final = "P"
HELD_MARKER: Final = "*"
HELD_STYLE: Final[dict[str, Any]] = {
    "marker": HELD_MARKER,
    "ms": 6.5,
    "mfc": INK,
    "mec": "white",
    "mew": 0.6,
}
COLUMNS: Final = ("run", "params", "tokens", "flops", "loss")


@dataclass(frozen=True, slots=True)
class Unseen:
    """What no fit of a family has seen: runs held out, and the forecast at the first target.

    `held` has COLUMNS; `loss`, `params` and `tokens` are the forecast of the decision's line, None
    where none is made. Figures without either are drawn as if there were no such marks.
    """

    held: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(COLUMNS)))
    loss: EstimateJson | None = None
    params: EstimateJson | None = None
    tokens: EstimateJson | None = None
    forecasts: tuple[tuple[float, EstimateJson], ...] = ()
    """The forecasts of the loss at the other targets, with their FLOPs."""

    def ends(self, quantity: str) -> list[float]:
        """Point and 95 % ends of the forecast of loss, params or tokens, as far as made."""
        estimate: EstimateJson | None = getattr(self, quantity)
        numbers = [number_in(estimate, end) for end in ("point", "lo95", "hi95")]
        return [value for value in numbers if math.isfinite(value)]

    def placed(self, *quantities: str) -> Unseen:
        """The same, but no forecast where one of `quantities` has none: it has no place then."""
        return self if all(map(self.ends, quantities)) else replace(self, loss=None)

    def column(self, name: str) -> list[float]:
        """A column of the runs held out."""
        return [float(value) for value in self.held[name]]


NOTHING: Final = Unseen()


def unseen_of(results: StudyResults, family: str, target: float) -> Unseen:
    """What no fit of `family` has seen, of its findings and the verdict; `target` in FLOPs."""
    held = pd.DataFrame(columns=list(COLUMNS))
    finding = results.families[family].findings.get("held_out")
    predictions = None if finding is None else finding.get("tables", {}).get("predictions")
    if predictions is not None and len(predictions):
        own = predictions[predictions["of"] == THIS_RUN].drop_duplicates("run")
        held = own.rename(columns={"seen": "loss"})[list(COLUMNS)].reset_index(drop=True)
    # A notebook draws what nobody has decided on.
    verdict: VerdictJson | None = results.of_all.get("decision")
    if verdict is None:
        return Unseen(held)
    made = {
        float(choice["budget_flops"]): forecast
        for choice in verdict.get("choices", ())
        if choice["family"] == family and (forecast := choice.get("forecast")) is not None
    }
    others = tuple((c, own["loss"]) for c, own in made.items() if not math.isclose(c, target))
    mine = next((own for c, own in made.items() if math.isclose(c, target)), None)
    if mine is None:
        return Unseen(held, forecasts=others)
    return Unseen(held, mine["loss"], mine["params"], mine["tokens"], others)


def draw_forecast(
    axes: Axes,
    at: float,
    estimate: EstimateJson | None,
    *,
    upright: bool = True,
    wide: float = 1.0,
) -> None:
    """The 80 and 95 % forecasts, thick and thin, along the y axis if `upright`, at `at` on the
    other; nothing without an interval. `wide` times as thick as elsewhere.
    """
    point = number_in(estimate)
    for level, width in (("95", 1.0 * wide), ("80", 2.8 * wide)):
        ends = [number_in(estimate, end) for end in (f"lo{level}", f"hi{level}")]  # type: ignore[arg-type]
        if not all(map(math.isfinite, ends)):
            return
        data = ([at, at], ends) if upright else (ends, [at, at])
        axes.plot(
            *data, "-", color=FORECAST_COLOR, lw=width, solid_capstyle="butt", zorder=5.2,
            gid=f"forecast-{level}",
        )  # fmt: skip
    spot = (at, point) if upright else (point, at)
    axes.plot(
        *spot, FORECAST_MARKER, ms=4.6, color=FORECAST_COLOR, mew=0, zorder=5.6,
        gid="forecast",
    )  # fmt: skip


def draw_held(axes: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    """The runs held out."""
    if len(x):
        axes.plot(x, y, ls="none", zorder=5.4, gid="held out", **HELD_STYLE)


def handles_of(unseen: Unseen, words: str = "") -> list[Line2D]:
    """What a legend says of them: the forecast first, with `words` behind it."""
    handles = []
    if unseen.loss is not None:
        handles.append(
            Line2D([], [], color=FORECAST_COLOR, marker=FORECAST_MARKER, ms=4.0, mew=0, lw=1.4,
                   label=f"forecast{words}")
        )  # fmt: skip
    if len(unseen.held):
        style = {**HELD_STYLE, "ms": 5.5}
        handles.append(Line2D([], [], ls="none", label="held out", **style))
    return handles


def interval_words(estimate: EstimateJson | None) -> str:
    """A forecast of a loss with its 95 % interval."""
    point, low, high = (number_in(estimate, end) for end in ("point", "lo95", "hi95"))
    if not math.isfinite(low):
        return significant(point)
    return f"{significant(point)} [{significant(low)}, {significant(high)}]"


def caption_of(unseen: Unseen) -> str:
    """What a caption says of the marks, empty where there are none."""
    words = words_of(unseen)
    return f" Also: {words}." if words else ""


def words_of(unseen: Unseen) -> str:
    """What the marks are, to stand in a sentence."""
    parts = []
    if unseen.loss is not None:
        parts.append(
            "the forecast at the target, with what laws have missed when carried this far: loss "
            f"{interval_words(unseen.loss)} (purple, 80 and 95 %)"
        )
    if len(unseen.held):
        parts.append(f"{count(len(unseen.held), 'run')} held out, that no fit has seen (stars)")
    return "; ".join(parts)
