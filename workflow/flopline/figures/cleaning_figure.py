"""What cleaning kept and what it left out: runs and rows, per family, by reason and place."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from flopline.errors import FloplineError
from flopline.figures.layout import PAGE, Box, laid_out
from flopline.figures.panels import say_instead
from flopline.figures.spec import FigureSpec, Needs, Section, Setting
from flopline.figures.spots import size_in
from flopline.figures.style import (
    INK,
    MAKO_MAP,
    SMALL_PT,
    literal,
    mark_synthetic,
    styled,
)
from flopline.numbers import count, humanise
from flopline.points import last_steps
from flopline.results import StudyResults
from flopline.schema import HELD_OUT, KEPT, QUARANTINED

Floats = NDArray[np.float64]

STATUS: Final = {
    KEPT: ("kept", "#b4bcc4", ""),
    HELD_OUT: ("held out", "#7d8790", "...."),
    QUARANTINED: ("set aside", "#2f3640", "////"),
}
"""Label, colour and hatching of what became of a run, in greys, which mean no law and no family."""
UNKNOWN_FAMILY: Final = "(no family)"
BINS: Final = 20
"""Stretches of a run's steps in which dropped rows are counted."""
LINE_IN: Final = 0.17
"""Height of a line of the tables [inch]."""
TABLE_IN: Final = 2.95
CELL_IN: Final = 1.1
"""Widest table of rows, and widest column of it [inch]."""
MOST_LINES: Final = 15
"""Reasons shown of each kind; the rest are summed up in the last line."""
FEWEST_LINES: Final = 3
"""Lines that the upper panels have room for at least."""
LONGEST: Final = 44
"""Letters of a reason that have room."""


@styled
def cleaning(
    runs: pd.DataFrame,
    dropped: pd.DataFrame,
    last_steps: Mapping[str, float] | None = None,
    *,
    labels: Mapping[str, str],
    width: str = PAGE,
    synthetic: bool = False,
) -> Figure:
    """Runs kept, held out and set aside, and rows read = kept + dropped, per family.

    `runs` and `dropped` are the tables of clean/ (schema.RUNS, schema.DROPPED), `labels` the
    families' by identifier; `last_steps` maps a run to its last step, by which the place of a
    dropped row along training is told. Above: runs per family by what became of them, and why runs
    were set aside. Below: for every family the rows read, kept and dropped by reason; beside each
    reason, where along training its rows stood. Raises FloplineError without runs, and where the
    rows of a family do not add up.
    """
    if runs.empty:
        raise FloplineError("The figure of cleaning needs one run or more, but got none.")
    runs = runs.assign(family=_family_of(runs, labels))
    columns = [*labels.values(), *sorted(set(runs["family"]) - set(labels.values()))]
    columns = [c for c in columns if (runs["family"] == c).any()]
    rows = rows_by_reason(runs, dropped, columns)
    causes = set_aside(runs)
    upper = LINE_IN * max(len(columns), len(causes), FEWEST_LINES)
    lower = LINE_IN * len(rows)
    cells = min(TABLE_IN, CELL_IN * len(columns))
    figure, (bars, listed, table, places) = laid_out(
        width,
        [
            Box(2.2, upper, left=1.3, bottom=0.2, top=0.3),
            Box(0.8, upper, left=2.6, bottom=0.2, top=0.3) if causes
            else Box(3.0, upper, left=0.4, bottom=0.2, top=0.3),
            Box(cells, lower, left=1.6, bottom=0.42, top=0.42),
            Box(4.85 - cells, lower, left=0.25, bottom=0.42, top=0.42),
        ],
    )  # fmt: skip
    _draw_runs(bars, runs, columns)
    _draw_causes(listed, causes, len(runs))
    _draw_rows(table, rows)
    _draw_places(places, rows, dropped, last_steps or {})
    if synthetic:
        mark_synthetic(figure)
    return figure


def rows_by_reason(runs: pd.DataFrame, dropped: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Rows read, kept and dropped for each reason, one column per family of `runs`.

    The index is "read", "kept" and then the reasons, most frequent first. Raises FloplineError
    where read differs from kept and dropped together.
    """
    totals = runs.groupby("family")[["rows_in", "rows_kept"]].sum().reindex(columns)
    family = (
        dropped["run"]
        .astype(object)
        .map(dict(zip(runs["run"].astype(object), runs["family"], strict=True)))
    )
    lost = dropped.assign(family=family.fillna(UNKNOWN_FAMILY))
    counted = pd.crosstab(lost["reason"], lost["family"]).reindex(columns=columns, fill_value=0)
    order = sorted(counted.index, key=lambda r: (-int(counted.loc[r].sum()), str(r)))
    out = pd.concat([totals.T.set_axis(["read", "kept"]), counted.loc[order]]).astype("int64")
    wrong = out.loc["read"] != out.loc["kept"] + out.iloc[2:].sum()
    if wrong.any():
        name = str(out.columns[wrong.to_numpy()][0])
        raise FloplineError(
            f"The rows of '{name}' do not add up: {out.loc['read', name]:,} read, "
            f"{out.loc['kept', name]:,} kept, {out.iloc[2:][name].sum():,} dropped; give the "
            "figure the runs and the dropped rows of one and the same study."
        )
    if len(out) > 2 + MOST_LINES:
        rest = out.iloc[1 + MOST_LINES :]
        others = rest.sum().to_frame(f"{len(rest)} more reasons").T
        out = pd.concat([out.iloc[: 1 + MOST_LINES], others])
    return out


def set_aside(runs: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Why runs are not kept: (status, reason, runs), most frequent first.

    Reasons are sentences about one run; those that differ by names and numbers alone are one.
    """
    out = runs[runs["status"] != KEPT]
    kinds = pd.DataFrame({"status": out["status"], "why": [kind_of(str(r)) for r in out["reason"]]})
    sizes = kinds.value_counts()
    groups = [(str(s), str(w), int(n)) for (s, w), n in sizes.items()]
    groups.sort(key=lambda x: (-x[2], x[0], x[1]))
    if len(groups) > MOST_LINES:
        rest = groups[MOST_LINES - 1 :]
        more = (QUARANTINED, f"{len(rest)} more reasons", sum(n for *_, n in rest))
        groups = [*groups[: MOST_LINES - 1], more]
    return groups


def kind_of(reason: str) -> str:
    """A reason without what is of one run alone: names, numbers and the details after a colon."""
    excluded = re.match(r"Excluded in the study file: (.*)", reason)
    if excluded:
        return f"excluded: {excluded[1].rstrip('.')}"
    head = re.split(r":|, from ", reason)[0]
    head = re.sub(r"'[^']*'|\([^)]*\)|\d[\d.,]*(e[+-]?\d+)?\s?%?", "…", head)
    head = re.sub(r"(…[\s,]*)+", "… ", head).strip()
    return re.sub(r"^It(s| ) ?", lambda m: "its " if m[1] == "s" else "", head).rstrip(". ")


def _family_of(runs: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    return [UNKNOWN_FAMILY if pd.isna(f) else labels.get(str(f), str(f)) for f in runs["family"]]


def _draw_runs(axes: Axes, runs: pd.DataFrame, columns: list[str]) -> None:
    counts = pd.crosstab(runs["family"], runs["status"]).reindex(columns)
    most = int(counts.sum(axis=1).max())
    y = np.arange(len(columns))[::-1]
    left = np.zeros(len(columns))
    for status, (label, color, hatch) in STATUS.items():
        if status not in counts:
            continue
        width = counts[status].to_numpy(dtype=float)
        axes.barh(y, width, left=left, height=0.62, color=color, hatch=hatch, edgecolor="white",
                  lw=0.4, label=label, zorder=3, gid=status)  # fmt: skip
        left += width
    for row, name in zip(y, columns, strict=True):
        text = ", ".join(
            f"{int(counts.loc[name, s]):,} {STATUS[s][0]}" for s in STATUS
            if s in counts and (counts.loc[name, s] or s == KEPT)
        )  # fmt: skip
        # Beside the bar: on it, the hatching would cross the words.
        axes.annotate(text, (float(counts.loc[name].sum()), row), (3, 0), va="center",
                      textcoords="offset points", fontsize=SMALL_PT, gid="text")  # fmt: skip
    axes.set_yticks(y, [literal(textwrap.shorten(c, 22, placeholder=" …")) for c in columns])
    axes.set_xlim(0, most)
    widest = max(size_in(axes, text)[0] for text in axes.texts)
    axes.set_xlim(0, most / max(1 - widest - 0.04, 0.3))
    axes.set_ylim(min(-0.6, len(columns) - 0.4 - FEWEST_LINES), len(columns) - 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_title("Runs")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.2,
                handlelength=1.1, columnspacing=0.9, handletextpad=0.4)  # fmt: skip


def _draw_causes(axes: Axes, causes: list[tuple[str, str, int]], runs: int) -> None:
    title = "Why runs are not in the fits"
    if not causes:
        say_instead(axes, title, f"All {count(runs, 'run')} are kept.")
        return
    y = np.arange(len(causes))[::-1]
    for row, (status, _, n) in zip(y, causes, strict=True):
        color, hatch = STATUS[status][1:]
        axes.barh(row, n, height=0.62, color=color, hatch=hatch, edgecolor="white", lw=0.4,
                  zorder=3, gid="cause")  # fmt: skip
        axes.annotate(f"{n:,}", (n, row), (2, 0), textcoords="offset points", va="center",
                      fontsize=SMALL_PT, zorder=4)  # fmt: skip
    labels = [literal(textwrap.shorten(why, LONGEST, placeholder=" …")) for _, why, _ in causes]
    axes.set_yticks(y, labels, fontsize=SMALL_PT)
    axes.set(xlim=(0, 1.35 * max(n for *_, n in causes)), xticks=[])
    axes.set_ylim(min(-0.6, len(causes) - 0.4 - FEWEST_LINES), len(causes) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)
    axes.set_title("")
    axes.set_title(title, loc="right")


def _draw_rows(axes: Axes, rows: pd.DataFrame) -> None:
    """The equation of rows as a table: a cell per family, shaded by its share of the rows read."""
    n, wide = rows.shape
    total = np.maximum(rows.loc["read"].to_numpy(dtype=float), 1.0)
    for i, (name, line) in enumerate(rows.iterrows()):
        for j, value in enumerate(line):
            # A share of 1 % is already much for rows that are dropped.
            share = 0.0 if i < 2 or not value else 0.12 + 0.5 * min(1, (value / total[j]) ** 0.25)
            place = (j + 0.02, n - 0.94 - i)
            axes.add_patch(Rectangle(place, 0.96, 0.88, fc=MAKO_MAP(0.15), alpha=share, lw=0))
            axes.text(j + 0.94, n - 0.5 - i, f"{int(value):,}", ha="right", va="center",
                      fontsize=_cell_size(wide), color=INK if value else "#888888",
                      weight="bold" if i < 2 else "normal", gid=f"rows {name}")  # fmt: skip
    axes.axhline(n - 2, color="#777777", lw=0.6)
    axes.set(xlim=(0, wide), ylim=(0, n))
    names = [str(name).replace("_", " ") for name in rows.index]
    names[:2] = ["rows read", "= rows kept"]
    names[2:] = [f"+ {name}" for name in names[2:]]
    axes.set_yticks(n - 0.5 - np.arange(n), names, fontsize=SMALL_PT)
    letters = int(axes.bbox.width / axes.figure.dpi * 72 / wide / (0.62 * _cell_size(wide)))
    heads = [c if len(c) <= letters else f"{c[: letters - 1].rstrip()}…" for c in rows.columns]
    labels = list(map(literal, heads))
    axes.set_xticks(np.arange(wide) + 0.94, labels, fontsize=_cell_size(wide), ha="right")
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.grid(visible=False)
    axes.set_xlabel("Rows of the logs")
    for side in axes.spines.values():
        side.set_visible(False)


def _cell_size(columns: int) -> float:
    return SMALL_PT if columns <= 4 else SMALL_PT - 1.0


def _draw_places(
    axes: Axes, rows: pd.DataFrame, dropped: pd.DataFrame, last_steps: Mapping[str, float]
) -> None:
    """Where along training the rows of each reason stood, darker where there were more."""
    n, lost = len(rows), len(dropped)
    if not lost:
        say_instead(axes, "", "No row was dropped.")
        return
    step = dropped["step"].astype("Float64").to_numpy(dtype=float, na_value=np.nan)
    last = dropped["run"].astype(object).map(last_steps).to_numpy(dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        place = np.where(last > 0, np.clip(step / last, 0.0, 1.0), np.nan)
    named = set(rows.index[2:])
    reason = [r if r in named else rows.index[-1] for r in dropped["reason"].astype(object)]
    table = pd.DataFrame({"reason": reason, "place": place})
    for i, name in enumerate(rows.index[2:], start=2):
        mine = table.loc[table["reason"] == name, "place"].to_numpy(dtype=float)
        known = mine[np.isfinite(mine)]
        y = n - 1 - i
        if len(known):
            inside, edges = np.histogram(known, BINS, (0.0, 1.0))
            shade = np.where(inside > 0, 0.2 + 0.8 * inside / inside.max(), np.nan)
            axes.pcolormesh(
                edges, [y + 0.1, y + 0.9], shade[None], cmap=MAKO_MAP, vmin=0, vmax=1, zorder=2,
                gid=f"places {name}",
            )  # fmt: skip
        if len(known) < len(mine):
            text = "step not known" if not len(known) else f"{humanise(len(mine) - len(known))} not"
            axes.text(0.98, y + 0.5, text, ha="right", va="center", fontsize=SMALL_PT - 1,
                      color="#555555", gid="unknown", zorder=3)  # fmt: skip
    axes.axhline(n - 2, color="#777777", lw=0.6)
    axes.text(0.02, n - 1.0, "darker where more were dropped", va="center", fontsize=SMALL_PT - 0.5,
              color="#555555")  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, n), yticks=[], xlabel="Place along training (step over last)")
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "¼", "½", "¾", "1"])
    axes.grid(visible=False, axis="y")


def draw(results: StudyResults, setting: Setting) -> Figure:
    """The figure of a study."""
    return cleaning(
        results.runs,
        results.dropped,
        last_steps(results.curves, results.dropped),
        labels=setting.labels,
        width=setting.width,
        synthetic=setting.synthetic,
    )


def caption(results: StudyResults, setting: Setting) -> str:
    """What stands below the figure."""
    return (
        "Above: what became of the runs of each family, and why runs are not in the fits. Below: "
        "the rows of the logs, read = kept + dropped by reason, and where along training the "
        f"dropped rows stood. {alt(results, setting)}"
    )


def alt(results: StudyResults, setting: Setting) -> str:
    """The finding, for those who cannot see it."""
    runs = results.runs
    read, kept, lost = (int(runs[n].sum()) for n in ("rows_in", "rows_kept", "rows_dropped"))
    return (
        f"{int((runs['status'] == KEPT).sum()):,} of {count(len(runs), 'run')} are in the fits; "
        f"{count(read, 'row')} read = {kept:,} kept + {lost:,} dropped."
    )


def instead(results: StudyResults, setting: Setting) -> str:
    """What stands in the place of the figure where nothing was left out."""
    nothing = (results.runs["status"] == KEPT).all() and results.dropped.empty
    return f"Nothing was left out: {alt(results, setting)}" if nothing else ""


FIGURE = FigureSpec(
    name="cleaning",
    title="What cleaning left out",
    about="Runs kept, held out and set aside with the reasons; rows read, kept and dropped by "
    "reason for every family, and where along training the dropped rows stood.",
    section=Section.DATA,
    needs=Needs(runs=True, dropped=True, curves=True),
    per_family=False,
    options=("families",),
    draw=draw,
    caption=caption,
    alt=alt,
    instead=instead,
)
