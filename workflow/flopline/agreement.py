"""How far the laws agree at a target, what it costs to follow another, and which family wins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.audit.waste import wasted_at
from flopline.choice import line_name
from flopline.decision_lines import disagreed
from flopline.documents import (
    NO_ESTIMATE,
    AgreementJson,
    ComparisonJson,
    EstimateJson,
    FitJson,
    OtherFamilyJson,
    number_in,
)
from flopline.family_comparison import (
    NOT_COMPARABLE,
    holds_one,
    loss_law,
    multiplier_of,
    said_times,
)
from flopline.numbers import factor, flops_label, humanise, significant
from flopline.results import FamilyResults, LawResults
from flopline.schema import LEVELS, target_column
from flopline.surfaces.chinchilla import LossSurface, per_point
from flopline.surfaces.loss_of_compute import LossOfCompute

Floats = NDArray[np.float64]

WIDE: Final = 4.0
"""Ratio of the ends of a 95 % interval of N from which a line is followed only with a word beside
it: N may be off by 2 either way, which wastes a sixth of compute (alpha + beta = 0.7, the quadratic
form of audit.waste). From bearing.WIDEST_FACTOR on, no line is followed at all."""
COMPARED: Final = {"params": "N", "tokens": "D", "loss": "the loss"}
"""What the laws must agree on, as it is called in a sentence."""
CONSISTENT: Final = 0.02
"""How far 6ND/C of a line may lie from 1 before it is told."""
NEGLIGIBLE_PERCENT: Final = 0.01
"""Waste below this share of compute is not written out."""


def agreement(
    family: str,
    budget: float,
    lines: pd.DataFrame,
    chosen: Any,
    surface: LossSurface | None,
    counted: bool = False,
) -> AgreementJson:
    """How far the main lines agree on N, D and loss at one target, and whether the data can tell.

    `lines` are the rows of one family and target, with their cost columns; `chosen` is the row of
    the recommended one or None; `counted` says that budgets are spent by the study's own count of
    FLOPs. Lines agree where they lie near each other; intervals that overlap without that say no
    more than that the data cannot tell which is right.

    Returns the ratios of the largest to the smallest N and loss, whether intervals overlap and
    whether the lines agree (all None with fewer than two lines), a short and a full sentence.
    """
    usable = lines[lines["params"].notna() & lines["main"]]
    if len(usable) < 2:
        number = "Only one law gives a number" if len(usable) else "No law gives a number"
        sentence = f"{number} here, so nothing can be compared."
        text = " ".join(filter(None, [sentence, _spent(usable, counted)]))
        return {
            "family": family,
            "budget_flops": float(budget),
            "params_ratio": None,
            "loss_ratio": None,
            "overlap": None,
            "agree": None,
            "short": sentence,
            "sentence": text,
        }
    low, high = usable["params"].min(), usable["params"].max()
    apart = [words for q, words in COMPARED.items() if not _overlap(usable, q)]
    ratio = float(high / low)
    losses = usable["loss"]
    loss_ratio = float(losses.max() / losses.min())
    off = disagreed(ratio, loss_ratio)
    worst = _worst(usable, surface, float(budget)) if off else ""
    sentence = (
        f"{len(usable)} laws put N between {humanise(low)} and {humanise(high)}, a factor of "
        f"{ratio:.2f}{worst}, and the loss between {significant(losses.min())} and "
        f"{significant(losses.max())}; {_told_apart(usable, apart, off)}"
    )
    text = " ".join(
        filter(None, [sentence, _costs(lines, chosen, surface), _spent(usable, counted)])
    )
    return {
        "family": family,
        "budget_flops": float(budget),
        "params_ratio": ratio,
        "loss_ratio": loss_ratio,
        "overlap": not apart,
        "agree": not off and not apart,
        "short": sentence,
        "sentence": text,
    }


def _worst(usable: pd.DataFrame, surface: LossSurface | None, budget: float) -> str:
    """What following the wrong one of the two lines farthest apart in N wastes at most."""
    if surface is None:
        return ""
    ends = usable["params"].min(), usable["params"].max()
    wasted = max(
        float(cost_percent(pd.Series([other]), right, surface, budget)[0])
        for right, other in (ends, ends[::-1])
    )
    return f" (to follow the wrong one wastes up to {significant(wasted, 2)} % of compute)"


def _told_apart(usable: pd.DataFrame, apart: Sequence[str], off: Sequence[str]) -> str:
    """Whether the data tell the lines apart, by their 95 % intervals.

    `off` is what their points do not agree on.
    """
    if apart:
        kept = f"not all of their 95 % intervals of {' and '.join(apart)} overlap"
        return f"{kept}, so the data contradict at least one of them."
    spans = usable["params_hi95"] / usable["params_lo95"]
    if not off:
        return "their 95 % intervals overlap."
    opposed = f"they do not agree on {' and '.join(off)}, and"
    if not np.isfinite(spans).all():
        return f"{opposed} without intervals the data cannot tell which is right."
    widest = usable.loc[spans.idxmax()]
    return (
        f"{opposed} the data cannot tell which is right: their 95 % intervals overlap, "
        f"that of N by the {line_name(widest)} line over a factor of {spans.max():.2f}."
    )


def too_wide(line: pd.Series | Mapping[Any, Any]) -> str:
    """That the interval of N is too wide to follow a line without a word, empty where it is not.

    It is that which is stated: the forecast's where there is one.
    """
    low, high = (float(line.get(f"forecast_params_{end}", math.nan)) for end in ("lo95", "hi95"))
    what = "forecast"
    if not math.isfinite(high / low):
        low, high, what = float(line["params_lo95"]), float(line["params_hi95"]), "interval"
    if not high / low > WIDE:
        return ""
    return f"the 95 % {what} of N spans {factor(high / low)}, so these runs hardly tell the size"


def cost_percent(
    params: pd.Series, params_chosen: float, surface: LossSurface | None, flops: float
) -> Floats:
    """Compute [percent] of `flops` that training `params` wastes if `params_chosen` is the best.

    The exact form of `audit.waste.wasted_share`, with the exponents of `surface`; NaN without it.
    """
    if surface is None:
        return np.full(len(params), math.nan)
    x = np.log(params.to_numpy(dtype=float) / params_chosen)
    return 100 * wasted_at(surface, flops, x)


def between(
    table: pd.DataFrame,
    budget: float,
    labels: Mapping[str, str],
    results: Mapping[str, FamilyResults],
) -> ComparisonJson | None:
    """Which family wins at one target and how much more compute the others need for its loss.

    `table` are the rows of that target; families are compared by the line that most of them are
    recommended by among those that all of them have and their runs bear, by its forecasts of the
    loss where each family has one. None with fewer than two
    families that have a recommended line. The multiplier pairs the draws of two families, which
    are independent; of a form, whose draws are not kept, it joins the intervals of their losses,
    and so does its forecast.
    """
    chosen = table[table["recommended"]].set_index("family")
    if len(chosen) < 2:
        return None
    families = list(chosen.index)
    common = _in_common(table, families, results)
    if not common:
        return _across(chosen, budget, labels)

    def followed(line: tuple[str, str]) -> tuple[int, bool]:
        law, form = line
        named = chosen["estimator"].where(~chosen["main"].astype(bool), "")
        return int(((chosen["law"] == law) & (named == form)).sum()), not form

    law, form = max(common, key=followed)
    lines = common[law, form]
    ranked_by = _ranked_by(lines)
    winner = str(lines[ranked_by].idxmin())
    agreeing = sum(str(rows[_ranked_by(rows)].idxmin()) == winner for rows in common.values())
    others: list[OtherFamilyJson] = []
    for family in families:
        if family != winner:
            pair = lines.loc[winner], lines.loc[family]
            of_other = loss_law(results[family], law, form)
            if form or of_other is None:
                times = of_other and multiplier_of(*pair, of_other)
            else:
                times = multiplier(results[winner].of_law(law), results[family].of_law(law), budget)
            forecast = of_other and multiplier_of(*pair, of_other, "forecast_loss")
            others.append(
                {
                    "family": family,
                    "overlap": _overlap(lines.loc[[winner, family]], ranked_by),
                    "multiplier": times or NO_ESTIMATE,
                    "forecast": forecast,
                }
            )
    named = line_name(lines.iloc[0])
    head = (
        f"At {flops_label(budget)} FLOPs {labels[winner]} reaches the lowest loss, "
        f"{_lowest(lines.loc[winner], ranked_by)} by the {named} law"
    )
    if len(common) > 1:
        head += f" ({agreeing} of {len(common)} laws say so)"
    sentences = [_beside(labels, lines, other, ranked_by) for other in others]
    return {
        "budget_flops": float(budget),
        "winner": winner,
        "law": law,
        "estimator": form,
        "laws_agreeing": agreeing,
        "laws_compared": len(common),
        "others": others,
        "short": f"{head}.",
        "sentence": " ".join([f"{head}.", *sentences]),
    }


def _in_common(
    table: pd.DataFrame, families: Sequence[str], results: Mapping[str, FamilyResults]
) -> dict[tuple[str, str], pd.DataFrame]:
    """The lines that every family has and its runs bear, by law and form, each with its rows.

    Main lines, whose form is empty, and forms of a surface that some family is recommended by.
    """
    borne = table[table["params"].notna() & ~table["refused"] & (table["barred"] == "")]
    recommended = borne[borne["recommended"] & ~borne["main"]]
    forms = {*zip(recommended["law"], recommended["estimator"], strict=True)}
    form_of = borne["estimator"].where(~borne["main"].astype(bool), "")
    out = {}
    for (law, form), rows in borne.groupby([borne["law"], form_of], sort=False):
        if len(rows) != len(families) or (form and (law, form) not in forms):
            continue
        if not form or all(loss_law(results[f], law, form) for f in families):
            out[str(law), str(form)] = rows.set_index("family").loc[list(families)]
    return out


def unranked(budget: float) -> ComparisonJson:
    """What is said of families at one target [FLOPs] whose losses cannot be compared."""
    return {
        "budget_flops": float(budget),
        "winner": None,
        "law": None,
        "estimator": "",
        "laws_agreeing": 0,
        "laws_compared": 0,
        "others": [],
        "short": NOT_COMPARABLE,
        "sentence": NOT_COMPARABLE,
    }


def multiplier(best: LawResults, other: LawResults, budget: float) -> EstimateJson:
    """Compute that the other family needs for the loss of the best at `budget`, over `budget`.

    Infinite where the other's floor lies above that loss.
    """
    best_draws, other_draws = best.draws, other.draws
    at = next(t for t in best.content["targets"] if math.isclose(t["budget_flops"], budget))
    point = float(_needed(_points(other.content), at["loss"]["point"])) / budget
    name = target_column("loss", budget)
    known = min(len(best_draws), len(other_draws))
    if name not in best_draws or not known:
        return _multiplier(point)
    columns = {str(c): other_draws[c].to_numpy(float)[:known] for c in other_draws}
    losses = best_draws[name].to_numpy(float)[:known, None]
    drawn = _needed(columns, losses)[:, 0] / budget
    drawn = drawn[~np.isnan(drawn)]
    if drawn.size < 2:
        return _multiplier(point)
    quantiles = [q for level in LEVELS for q in (50 - level / 2, 50 + level / 2)]
    # Between a finite and an infinite draw there is nothing to interpolate.
    ends = np.percentile(drawn, quantiles, method="nearest")
    return _multiplier(point, *map(float, ends))


def _multiplier(
    point: float,
    lo80: float | None = None,
    hi80: float | None = None,
    lo95: float | None = None,
    hi95: float | None = None,
) -> EstimateJson:
    """A multiplier, which may be infinite.

    Returns it as an estimate of decision.json.
    """
    return {"point": point, "lo80": lo80, "hi80": hi80, "lo95": lo95, "hi95": hi95}


def multipliers(best: LawResults, other: LawResults, flops: Floats) -> tuple[Floats, Floats]:
    """`multiplier` over budgets `flops` (points,): the points' own, and the draws (draws, points).

    The laws alone: at a target `multiplier` also holds the misfit by which a fit widens its loss.
    """
    loss = LossOfCompute.stated(_points(best.content)).loss(flops)
    known = min(len(best.draws), len(other.draws))
    columns = [c for c in best.draws if c in other.draws and "@" not in str(c)]
    of_best, of_other = (
        {str(c): d[c].to_numpy(float)[:known] for c in columns} for d in (best.draws, other.draws)
    )
    drawn = flops[None][:0]
    if known:
        drawn = _needed(of_other, LossOfCompute.stated(of_best).loss(flops))
    return _needed(_points(other.content), loss) / flops, drawn / flops


def _points(fit: FitJson) -> dict[str, float]:
    """The numbers of a fit's parameters by name, NaN where there is none."""
    return {name: number_in(e) for name, e in fit["parameters"].items()}


def _needed(parameters: Mapping[str, float | Floats], loss: Any) -> Floats:
    """Compute [FLOPs] at which a law's lowest loss is `loss`; infinite where it never is."""
    law = LossOfCompute.stated(parameters)
    above = np.asarray(loss, dtype=float) - per_point(law.E)
    with np.errstate(divide="ignore", over="ignore"):
        needed = law.flops_for(loss)
    return np.where(above > 0, needed, np.where(np.isnan(above), math.nan, math.inf))


def _ranked_by(lines: pd.DataFrame) -> str:
    """What lines are ranked by: the loss that is forecast where each has one, else that of its law.

    The headline states the same, and so does what a family needs for the loss of another.
    """
    forecast = lines.get("forecast_loss")
    return "loss" if forecast is None or forecast.isna().any() else "forecast_loss"


def _lowest(line: pd.Series, ranked_by: str) -> str:
    stated = significant(line[ranked_by])
    return stated if ranked_by == "loss" else f"{stated} as forecast"


def _beside(
    labels: Mapping[str, str], lines: pd.DataFrame, other: OtherFamilyJson, ranked_by: str
) -> str:
    family, times = other["family"], other["multiplier"]
    held = "overlap" if other["overlap"] else "do not overlap"
    stated = "intervals" if ranked_by == "loss" else "forecasts"
    sentence = f"The 95 % {stated} of the loss {held} with {labels[family]}'s"
    # A table may state this family's loss by another law, which it is recommended by.
    sentence += f" {significant(lines.loc[family, ranked_by])} (by the same law)"
    point = number_in(times)
    if math.isinf(point):
        return f"{sentence}, whose law never comes down to that loss."
    if math.isnan(point):
        return f"{sentence}."
    sentence += f", which needs {said_times(times, other['forecast'])} the compute for it"
    if holds_one(other["forecast"] or times):
        sentence += "; this interval holds 1, so the order may be the other way round"
    return f"{sentence}."


def _across(chosen: pd.DataFrame, budget: float, labels: Mapping[str, str]) -> ComparisonJson:
    """Families that have no law in common: the losses of their own lines, and no more."""
    ranked_by = _ranked_by(chosen)
    winner = str(chosen[ranked_by].idxmin())
    sentence = (
        f"At {flops_label(budget)} FLOPs {labels[winner]} has the lowest loss, "
        f"{_lowest(chosen.loc[winner], ranked_by)}, but the families have no usable law in "
        "common, so that their losses come from different laws and are compared with caution."
    )
    return {
        "budget_flops": float(budget),
        "winner": winner,
        "law": None,
        "estimator": "",
        "laws_agreeing": 0,
        "laws_compared": 0,
        "others": [],
        "short": sentence,
        "sentence": sentence,
    }


def _costs(lines: pd.DataFrame, chosen: Any, surface: LossSurface | None) -> str:
    """What following each other main line would waste if the recommended one is right."""
    if chosen is None:
        return ""
    right = lines.loc[chosen]
    if surface is None:
        return "What a wrong size costs is not known, since no loss surface could be used."
    others = lines[lines["main"] & lines["params"].notna() & (lines.index != chosen)]
    if others.empty:
        return ""
    costs = [f"the {line_name(line)} line {_cost(line)}" for _, line in others.iterrows()]
    return (
        f"If the {line_name(right)} line is right, following another would waste compute: "
        f"{', '.join(costs)}."
    )


def _cost(line: pd.Series) -> str:
    percent = line["cost_percent"]
    if percent < NEGLIGIBLE_PERCENT:
        return f"less than {NEGLIGIBLE_PERCENT} %"
    money = line.get("cost_money", math.nan)
    paid = "" if pd.isna(money) else f", {humanise(money)} in money"
    return f"{significant(percent, 2)} % ({flops_label(line['cost_flops'])} FLOPs{paid})"


def _spent(usable: pd.DataFrame, counted: bool) -> str:
    """Whether N and D of every line spend the budget."""
    off = usable[np.abs(usable["flops_ratio"] - 1) > CONSISTENT]
    if usable.empty or off["flops_ratio"].notna().sum() == 0:
        return "N and D spend the budget: 6ND/C is 1 within 2 %." if len(usable) else ""
    ratios = [
        f"{significant(line['flops_ratio'], 3)} for the {line_name(line)} line"
        for _, line in off.iterrows()
    ]
    if counted:
        return (
            "N and D spend the budget as the study counts FLOPs, which is not as 6ND: 6ND/C is "
            f"{' and '.join(ratios)}."
        )
    return (
        f"6ND/C is {' and '.join(ratios)}: "
        "N and D were fitted apart, or FLOPs are counted otherwise."
    )


def _overlap(lines: pd.DataFrame, quantity: str) -> bool:
    """Whether the 95 % intervals of every two lines have a point in common."""
    return bool(lines[f"{quantity}_lo95"].max() <= lines[f"{quantity}_hi95"].min())
