"""The gates of a headline, judged by every step of the ladders: what they refuse, what they spare.

At each step the decision is made as it would have been then: the laws fitted to the runs so far,
the steps of the ladder that had been seen, no more. A headline that is given wastes compute at the
size seen later; so would one that is refused, had it been given.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from flopline.audit.finding import Finding, surface_of
from flopline.audit.identifiability import audit as identifiability
from flopline.audit.waste import wasted_share
from flopline.bearing import span_of
from flopline.choice import choose
from flopline.decision import decide
from flopline.documents import FindingJson
from flopline.errors import FloplineError
from flopline.forecast.line_forecasts import REACHED
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.not_fitted import not_fitted
from flopline.laws.isoflop.isoflop_options import IsoflopOptions
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.laws.spec import spec_of
from flopline.options import StudyOptions
from flopline.results import FamilyResults

LAWS: Final = ("parametric", "isoflop")
DRAWS: Final = 100
"""Resamples behind the intervals that the gates read; of other forms as many."""
FARTHEST: Final = 100.0
"""Times the largest run's compute beyond which no budget is asked for."""
GATES: Final = {
    "no interval": "no interval",
    "an interval too wide": "95 % interval of N goes",
    "a parameter on its bound": "on the bound",
    "tokens per param outside those of the runs": "outside those of the runs",
    "laws apart, none held out": "nothing was held out",
    "forecasts that failed on the ladder": "its own 95 % forecast",
    "losses that do not fall": "do not fall with compute",
}
"""What tells the gates by their sentences."""


def decided(
    study: str,
    family: str,
    points: pd.DataFrame,
    ladder_finding: Finding,
    grouping: IsoflopOptions | None,
) -> Iterator[dict[str, Any]]:
    """One row per step and larger budget: whether a headline was given, and what its N wastes.

    `found` is the ladder of all runs, `points` those runs; `grouping` groups them into budgets.
    """
    optima, steps = ladder_finding.tables["optima"], ladder_finding.tables["steps"]
    exponents = ladder_finding.numbers["alpha"], ladder_finding.numbers["beta"]
    for c in sorted(steps["largest_flops"].unique()):
        ahead = optima[(optima["largest_flops"] == c) & (optima["budget_flops"] > c)]
        seen = ahead.groupby("budget_flops")[["params_seen"]].first()
        seen = seen[seen.index <= FARTHEST * c]
        runs = points[points["flops"] <= c]
        if seen.empty:
            continue
        targets = [float(b) for b in seen.index]
        results = fitted_to(runs, targets, grouping, family)
        results = FamilyResults(
            results.fits,
            results.draws,
            results.tables,
            {"ladder": seen_by(ladder_finding, float(c)), **pinned(runs, results, targets[0])},
        )
        table, verdict = decide(
            {family: results}, targets, {family: family}, {family: span_of(runs)}
        )
        why = {s["budget_flops"]: s["why"] for s in verdict["silent"]}
        for budget, size in zip(targets, seen["params_seen"].astype(float), strict=True):
            lines = table[table["budget_flops"] == budget]
            given = lines[lines["recommended"]]
            line = given.index[0] if len(given) else choose(lines, results.findings).line
            off = np.nan if line is None else np.log(lines.loc[line, "params"] / size)
            yield {
                "study": study,
                "family": family,
                "step": float(c),
                "flops": budget,
                "refused": given.empty,
                "why": why.get(budget, "") if given.empty else "",
                "waste": 100 * float(wasted_share(*exponents, np.array(off))),
            }


def seen_by(ladder_finding: Finding, c: float) -> FindingJson:
    """The ladder as it stood when the largest run had `c` FLOPs: steps before, budgets reached.

    Its forecasts are by the prior of all studies, in which the study itself is one of many.
    """
    optima = ladder_finding.tables["optima"]
    known = optima[(optima["largest_flops"] < c) & (optima["budget_flops"] <= c * REACHED)]
    known = known[known["budget_flops"] > known["largest_flops"]]
    off = np.log(known["params_predicted"].astype(float) / known["params_seen"].astype(float))
    exponents = ladder_finding.numbers["alpha"], ladder_finding.numbers["beta"]
    known = known.assign(
        wasted_percent=100 * wasted_share(*exponents, off.to_numpy()),
        bottom_error_percent=100
        * np.abs(known["loss_predicted"].astype(float) / known["loss_seen"].astype(float) - 1),
    )
    by = ["law", "estimator", "largest_flops"]
    steps = known.groupby(by, sort=False)[["wasted_percent", "bottom_error_percent"]].mean()
    return {
        "audit": "ladder",
        "verdict": "fine",
        "sentence": "",
        "numbers": ladder_finding.numbers,
        "tables": {"steps": steps.reset_index(), "optima": known},
    }


def fitted_to(
    runs: pd.DataFrame, targets: list[float], grouping: IsoflopOptions | None, family: str
) -> FamilyResults:
    """LAWS fitted to `runs`, which `grouping` groups into budgets, with DRAWS resamples."""
    options: dict[str, Any] = {
        "parametric": ParametricOptions(variant_draws=DRAWS),
        "isoflop": grouping or IsoflopOptions(),
    }
    fits = {}
    for law in LAWS:
        spec = spec_of(law)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                fits[law] = spec.fitted(
                    runs,
                    targets,
                    options[law],
                    bootstrap=BootstrapOptions(draws=DRAWS),
                    family=family,
                )
        except FloplineError as reason:
            fits[law] = not_fitted(spec, targets, str(reason), points=runs, draws=DRAWS)
    return FamilyResults.of(fits)


def pinned(runs: pd.DataFrame, results: FamilyResults, target: float) -> Mapping[str, FindingJson]:
    """Whether the runs pin down the terms of the surface, where that can be asked."""
    try:
        surface = surface_of(results.fits["parametric"])
        finding = identifiability(runs, surface, target, StudyOptions())
    except FloplineError:
        return {}
    return {"identifiability": {**finding.to_json(), "tables": finding.tables}}


def tables(rows: pd.DataFrame) -> list[tuple[list[str], list[list[str]]]]:
    """Head and rows of two tables of `decided`: by study and over all, and by gate."""
    parts = [(str(name), part) for name, part in rows.groupby("study")]
    by_study = [
        [name, str(len(part)), f"{100 * part['refused'].mean():.0f}", *_wastes(part)]
        for name, part in [*parts, ("all", rows)]
    ]
    head = ["study", "n", "refused", "given waste", "worst", "refused would", "worst of these"]
    refused = rows[rows["refused"]]
    by_gate = []
    for gate, words in GATES.items():
        mine = refused[refused["why"].str.contains(words, regex=False)]
        mean, worst = _waste(mine["waste"])
        by_gate.append([gate, str(len(mine)), str(mine["study"].nunique()), mean, worst])
    return [(head, by_study), (["refused for", "n", "studies", "would waste", "worst"], by_gate)]


def _wastes(part: pd.DataFrame) -> list[str]:
    given, refused = (
        part.loc[part["refused"] == is_refused, "waste"] for is_refused in (False, True)
    )
    return [*_waste(given), *_waste(refused)]


def _waste(percent: pd.Series) -> tuple[str, str]:
    """Mean and largest waste, dashes where no size was seen."""
    known = percent[np.isfinite(percent)]
    return (f"{known.mean():.2f}", f"{known.max():.1f}") if len(known) else ("–", "–")
