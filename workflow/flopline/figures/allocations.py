"""Where the bootstrap draws of every law put N and D at the target, beside 6ND = C."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from flopline.documents import Stated, TargetJson
from flopline.figures.lawpanel import number
from flopline.figures.panels import law_style, log_axis, say_instead
from flopline.figures.style import GREY, is_dense
from flopline.laws.spec import ranked
from flopline.schema import target_column
from flopline.surfaces.count import Count, tokens_for

Floats = NDArray[np.float64]
PAIR: Final[tuple[Stated, ...]] = ("params", "tokens")


def draw_allocations(
    axes: Axes,
    at_target: Mapping[str, TargetJson],
    draws: Mapping[str, pd.DataFrame],
    target_flops: float,
    most_draws: int,
    count: Count | None = None,
) -> None:
    """Tokens against params of every law's draws, its own pair with 95 % bars, and what spends C:
    6ND = C, or `count`.

    `at_target` maps a law to what its fit states at `target_flops`. A cloud along the line spends
    the budget and only its split is unsure; one that leaves it has N and D that were fitted apart.
    """
    laws = [law for law in ranked(at_target) if "tokens" in at_target[law]]
    names = [target_column(q, target_flops) for q in PAIR]
    clouds = {law: _pairs(draws.get(law), names) for law in laws}
    points = {law: [number(at_target[law][q]) for q in PAIR] for law in laws}
    if not laws:
        say_instead(axes, "", "no law gives N and D at the target")
        return
    for i, along in enumerate("xy"):
        spans = [np.quantile(c[:, i], (0.005, 0.995)) for c in clouds.values() if len(c)]
        log_axis(axes, along, [*np.ravel(spans), *(p[i] for p in points.values())], pad=0.08)
    x = np.array(axes.get_xlim())
    x = np.geomspace(x[0], x[-1], 60) if count is not None else x
    axes.plot(
        x, tokens_for(count, target_flops, x), "--", color=GREY, lw=0.9, zorder=1.5, gid="budget"
    )
    axes.set_xlim(x[0], x[-1])
    for law in laws:
        look, cloud = law_style(law), clouds[law][:most_draws]
        axes.plot(
            *cloud.T, look.marker, ms=1.7, mew=0, alpha=0.45, color=look.color, zorder=2,
            gid="draws", rasterized=is_dense(len(cloud)),
        )  # fmt: skip
        (n, d), stated = points[law], at_target[law]
        for ends, place in ((stated["params"], "x"), (stated["tokens"], "y")):
            span = [number(ends, e) for e in ("lo95", "hi95")]
            if np.isfinite(span).all():
                data = (span, [d, d]) if place == "x" else ([n, n], span)
                axes.plot(*data, "-", color=look.color, lw=0.9, zorder=3, gid="interval")
        axes.plot(
            n, d, look.marker, ms=5.5, color=look.color, mec="white", mew=0.8, zorder=5, gid=law
        )
    axes.set(xlabel="N at the target", ylabel="D at the target")
    spent = "6ND = C" if count is None else "C spent by the study's count"
    axes.set_title(f"dashed: {spent}", loc="right", fontsize=6.5, color="#555555")


def _pairs(draws: pd.DataFrame | None, names: list[str]) -> Floats:
    """Finite draws of N and D, shape (draws, 2); none where they are not there."""
    if draws is None or not set(names) <= set(draws.columns):
        return np.empty((0, 2))
    values = draws[names].to_numpy(dtype=float)
    return np.asarray(values[(np.isfinite(values) & (values > 0)).all(axis=1)])
