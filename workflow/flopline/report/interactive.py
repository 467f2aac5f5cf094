"""What the interactive panels of the page draw: one JSON for all, rounded where it is said."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypedDict

import numpy as np
import pandas as pd

from flopline.documents import EstimateJson, FitJson, SilenceJson
from flopline.figures.style import MAKO_MAP, mako
from flopline.figures.surface_figure import COLOR_MAPS, color_map
from flopline.figures.ticks import flops_labels
from flopline.laws.common.fit_result import FAILED
from flopline.loss_units import stated_unit, with_unit, words
from flopline.numbers import flops_label, humanise, interval, number
from flopline.report.formatting import as_float
from flopline.report.packing import packed_json, plotly_script
from flopline.report.planning import planner_view
from flopline.results import FamilyResults
from flopline.schema import KEPT, LOSS_LABEL
from flopline.study_document import StudyDocument
from flopline.surfaces.chinchilla import PARAMETERS, POWER

MOST_POINTS: Final = 5000
"""Points of a family that a panel holds; of more, every k-th by compute is drawn and it says so."""
DIGITS: Final = 7
"""Significant digits of the numbers of runs and budgets in the panels."""
PAST_DATA: Final = 0.22
"""How far a parabola is drawn past its outermost sizes, as a share of their distance in logs."""
CURVE_POINTS: Final = 60
DARK_SPAN: Final = 0.62
"""The part of the budgets' colours that stands out from a dark page."""
MAP_LEVELS: Final = 12


class PanelsJson(TypedDict):
    """What the panels show, as their script reads it; of each family, None where it has nothing."""

    loss_label: str
    loss_words: str
    loss_unit: str
    families: list[str]
    family_ids: list[str]
    isoflop: list[dict[str, object] | None]
    surface: list[dict[str, object] | None]
    planner: dict[str, object]


@dataclass(frozen=True, slots=True)
class Panels:
    """What the templates need: packed data and script, and which panels there are.

    `planner` is the data of the planner, `figures` that of the interactive figures, `first` the
    place of the family that they show before one is chosen.
    """

    planner: str
    figures: str
    plotly: str
    families: Sequence[str]
    first: int
    has_valleys: bool
    has_surfaces: bool


def panels(
    results: Mapping[str, FamilyResults],
    study: StudyDocument,
    runs: pd.DataFrame,
    decision: pd.DataFrame,
    headline: str = "",
    silent: Sequence[SilenceJson] = (),
) -> Panels:
    """The panels of a study; the arguments are those of `payload`.

    Returns their data packed as text, and which of them have anything to show.
    """
    content = payload(results, study, runs, decision, headline, silent)
    drawn = ("isoflop", "surface")
    return Panels(
        packed_json({key: value for key, value in content.items() if key not in drawn}),
        packed_json({key: value for key, value in content.items() if key != "planner"}),
        plotly_script(),
        content["families"],
        content["family_ids"].index(headline) if headline in content["family_ids"] else 0,
        any(content["isoflop"]),
        any(content["surface"]),
    )


def payload(
    results: Mapping[str, FamilyResults],
    study: StudyDocument,
    runs: pd.DataFrame,
    decision: pd.DataFrame,
    headline: str = "",
    silent: Sequence[SilenceJson] = (),
) -> PanelsJson:
    """Everything that the panels show, ready for JSON, the same for the same inputs.

    `results` are by family, `study` holds families {id: label} and targets [FLOPs] and maybe
    loss_label, `runs` and `decision` are the tables of the report, `headline` names the family
    that the decision recommends.

    Returns one entry for each kind of panel, empty where no family has it.
    """
    unit = stated_unit(study)
    families = {f: label for f, label in study["families"].items() if f in results}
    label = str(study.get("loss_label") or LOSS_LABEL)
    return {
        "loss_label": with_unit(label, unit),
        "loss_words": label,
        "loss_unit": words(unit),
        "families": list(families.values()),
        "family_ids": list(families),
        "isoflop": [
            _isoflop(results[f], label, runs[runs["family"] == f]) for f, label in families.items()
        ],
        "surface": [
            _surface(results[f], families[f], name)
            for f, name in zip(families, _cycled(COLOR_MAPS), strict=False)
        ],
        "planner": planner_view(
            {f: results[f] for f in families},
            study,
            runs,
            decision,
            headline,
            silent,
        ),
    }


def _usable(family: FamilyResults, law: str) -> bool:
    return law in family.fits and family.fits[law]["status"] != FAILED


def _isoflop(family: FamilyResults, label: str, runs: pd.DataFrame) -> dict[str, object] | None:
    """The budgets and runs of one family's valleys; None where there are none."""
    vertices, profiles = family.table("isoflop", "vertices"), family.table("isoflop", "profiles")
    if vertices is None or profiles is None or vertices.empty or not _usable(family, "isoflop"):
        return None
    budgets = vertices.sort_values("budget_flops", ignore_index=True)
    kept = profiles[np.isfinite(profiles["params"]) & np.isfinite(profiles["loss"])]
    kept = kept.sort_values(["budget_flops", "params", "tokens", "run"], ignore_index=True)
    place = {flops: i for i, flops in enumerate(budgets["budget_flops"])}
    nominal = budgets["nominal_flops"].fillna(budgets["budget_flops"])
    light = mako(len(budgets))
    dark = [_hex(c) for c in MAKO_MAP(np.linspace(0.0, DARK_SPAN, len(budgets)))]
    views = [
        {"label": label, "light": light[i], "dark": dark[i]}
        | _budget(row, kept[kept["budget_flops"] == row["budget_flops"]])
        for i, (label, row) in enumerate(
            zip(flops_labels(list(nominal)), budgets.to_dict("records"), strict=True)
        )
    ]
    drawn = _thinned(kept)
    set_aside = runs[(runs["status"] != KEPT) & np.isfinite(runs["params"] * runs["loss"])]
    aside = _thinned(set_aside.sort_values(["flops", "run"]))
    return {
        "about": _about_valleys(label, family.fits["isoflop"]),
        "budgets": views,
        "runs": _runs(drawn) | {"budget": [place.get(c, -1) for c in drawn["budget_flops"]]},
        "loose": sorted(set(kept["reason"][kept["budget_flops"].isna()])),
        "aside": _runs(aside) | {"why": _texts(aside["reason"])},
        "all_runs": len(kept),
    }


def _budget(vertex: Mapping[Any, Any], profile: pd.DataFrame) -> dict[str, object]:
    quantities = {
        q: [_rounded(vertex[f"{q}{end}"]) for end in ("", "_lo80", "_hi80", "_lo95", "_hi95")]
        for q in ("params", "tokens", "loss")
    }
    return {
        "flops": _rounded(vertex["budget_flops"]),
        "used": bool(vertex["used"]),
        "flags": str(vertex["flags"] or ""),
        "reason": str(vertex["reason"] or ""),
        **quantities,
        "curve": _parabola(vertex, profile),
    }


def _parabola(vertex: Mapping[Any, Any], profile: pd.DataFrame) -> list[list[float | None]]:
    terms = np.array([vertex[k] for k in ("centre_ln_params", "c0", "c1", "c2")], dtype=float)
    if profile.empty or not np.isfinite(terms).all():
        return [[], []]
    low = np.log(vertex.get("near_min", profile["params"].min()))
    high = np.log(vertex.get("near_max", profile["params"].max()))
    past = PAST_DATA * (high - low)
    ln_params = np.linspace(low - past, high + past, CURVE_POINTS)
    x = ln_params - terms[0]
    loss = terms[1] + terms[2] * x + terms[3] * x**2
    return [_numbers(np.exp(ln_params)), _numbers(loss)]


def _surface(family: FamilyResults, label: str, colors: str) -> dict[str, object] | None:
    """The points of one family and its law; None where the parametric law was not fitted."""
    points = family.table("parametric", "points")
    if points is None or points.empty or "parametric" not in family.fits:
        return None
    fit = family.fits["parametric"]
    drawn = _thinned(points.sort_values(["flops", "run", "tokens"]))
    stated = fit["parameters"]
    law = [stated[name]["point"] if name in stated else None for name in PARAMETERS]
    law.append(stated[POWER]["point"] if POWER in stated else 1.0)
    usable = _usable(family, "parametric") and None not in law
    scale = color_map(colors)(np.linspace(0.0, 1.0, MAP_LEVELS))
    return {
        "about": _about_surface(label, fit) if usable else f"{label}: {fit['message']}",
        "law": law if usable else None,
        "colors": [_hex(c) for c in scale],
        "runs": _runs(drawn) | {"fitted": _numbers(drawn["predicted"])},
        "all_runs": len(points),
    }


def _about_valleys(label: str, fit: FitJson) -> str:
    """What the isoFLOP panel shows, for those who do not see it."""
    certificate, target = fit["certificate"], fit["targets"][0]
    n, d = (as_float(target[q]["point"]) for q in ("params", "tokens"))
    return (
        f"{label}: loss against params, {certificate['budgets_used']} of {certificate['budgets']} "
        f"budgets give a valley. Its bottom moves to more params as C^{_point(fit, 'a')} and to "
        f"more tokens as C^{_point(fit, 'b')}: {humanise(n)} params and {humanise(d)} tokens at "
        f"{flops_label(target['budget_flops'])} FLOPs."
    )


def _about_surface(label: str, fit: FitJson) -> str:
    """What the loss surface shows, for those who do not see it."""
    return (
        f"{label}: loss over tokens and params. It falls with params to the power "
        f"{_point(fit, 'alpha')} and with tokens to the power {_point(fit, 'beta')} towards "
        f"{_point(fit, 'E')}; on the efficient frontier params grow as C^{_point(fit, 'a')}."
    )


def _point(fit: FitJson, name: str) -> str:
    e = fit["parameters"][name]
    return f"{number(as_float(e['point']), 3)} (95 % {interval(*_ends(e), lambda x: number(x, 3))})"


def _ends(estimate: EstimateJson) -> tuple[float, float]:
    return as_float(estimate["lo95"]), as_float(estimate["hi95"])


def _runs(table: pd.DataFrame) -> dict[str, object]:
    numbers = {q: _numbers(table[q]) for q in ("params", "tokens", "flops", "loss")}
    return {"run": _texts(table["run"]), **numbers}


def _thinned(table: pd.DataFrame) -> pd.DataFrame:
    """At most MOST_POINTS rows, evenly over their order, the first and last among them."""
    if len(table) <= MOST_POINTS:
        return table
    return table.iloc[np.linspace(0, len(table) - 1, MOST_POINTS).round().astype(int)]


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [_rounded(v) for v in values]


def _rounded(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _texts(values: Iterable[Any]) -> list[str]:
    return [str(v) for v in values]


def _hex(color: Sequence[float]) -> str:
    return "#" + "".join(f"{round(255 * c):02x}" for c in color[:3])


def _cycled(names: Iterable[str]) -> Iterable[str]:
    listed = list(names)
    while True:
        yield from listed
