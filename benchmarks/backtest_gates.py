"""The gates of a headline, judged by every step of the ladders: what they refuse, what they spare.

At each step the decision is made as it would have been then: laws, audits and ladder of the runs
so far, no more; only the prior of forecasts is that of all studies, the study among them. A
headline that is given wastes compute at the size seen later; so would one that is refused, had it
been given. Whether the forecast that it states held the size is told, too.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.special import ndtri

from flopline.audit import ladder
from flopline.audit.finding import Finding, surface_of
from flopline.audit.identifiability import audit as identifiability
from flopline.audit.waste import wasted_share
from flopline.bearing import span_of
from flopline.choice import choose
from flopline.decision import decide
from flopline.documents import FindingJson
from flopline.errors import FloplineError
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.not_fitted import not_fitted
from flopline.laws.isoflop.isoflop_options import IsoflopOptions
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.laws.spec import spec_of
from flopline.options import StudyOptions
from flopline.results import FamilyResults
from flopline.schema import LEVELS

LAWS: Final = ("parametric", "isoflop")
DRAWS: Final = 100
"""Resamples behind the intervals that the gates read; of other forms as many."""
FARTHEST: Final = 100.0
"""Times the largest run's compute beyond which no budget is asked for."""
GATES: Final = {
    "no interval": "no interval",
    "an interval too wide": " of N goes from",
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

    `ladder_finding` is the ladder of all runs, which says what is seen at each budget, `points`
    those runs; `grouping` groups them into budgets.
    """
    optima, steps = ladder_finding.tables["optima"], ladder_finding.tables["steps"]
    exponents = ladder_finding.numbers["alpha"], ladder_finding.numbers["beta"]
    for c in sorted(steps["largest_flops"].unique()):
        ahead = optima[(optima["largest_flops"] == c) & (optima["budget_flops"] > c)]
        seen = ahead.groupby("budget_flops")[["params_seen", "params_seen_se_ln"]].first()
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
            {**stepped(runs, targets, grouping, family), **pinned(runs, results, targets[0])},
        )
        table, verdict = decide(
            {family: results}, targets, {family: family}, {family: span_of(runs)}
        )
        why = {s["budget_flops"]: s["why"] for s in verdict["silent"]}
        for budget, size, error in zip(targets, *seen.astype(float).to_numpy().T, strict=True):
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
                **(stated(given.iloc[0], size, error) if len(given) else {}),
            }


def stepped(
    runs: pd.DataFrame, targets: list[float], grouping: IsoflopOptions | None, family: str
) -> Mapping[str, FindingJson]:
    """The ladder of the runs so far with what is forecast at `targets`, where there is one."""
    options = StudyOptions(*([grouping] if grouping else []))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            made = ladder.audit(runs, targets[0], options, more_targets=targets[1:], family=family)
    except FloplineError:
        return {}
    return {"ladder": {**made.to_json(), "tables": made.tables}}


def stated(line: pd.Series, size: float, error_ln: float) -> dict[str, float]:
    """Whether the forecast intervals of a headline's N held `size`, and how wide they were.

    What is seen has an error of its own (`error_ln`, one standard deviation), which the forecast
    of the size does not hold: it is added to either side.
    """
    if not np.isfinite([line["forecast_params"], size]).all():
        return {}
    made = {}
    for level in LEVELS:
        low, high = (float(line[f"forecast_params_{end}{level}"]) for end in ("lo", "hi"))
        noise = float(np.nan_to_num(error_ln)) * float(ndtri(0.5 + level / 200))
        off, point = np.log(size), np.log(line["params"])
        below, above = np.hypot(point - np.log(low), noise), np.hypot(np.log(high) - point, noise)
        made |= {
            f"stated{level}": float(point - below <= off <= point + above),
            f"stated{level}_wide": high / low - 1,
        }
    return made


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
    return [
        (head, by_study),
        (["refused for", "n", "studies", "would waste", "worst"], by_gate),
        (STATED_HEAD, _stated_rows(rows)),
    ]


STATED_HEAD: Final = ["N as stated", "beyond the runs", "n", "80 holds", "95 holds", "width"]


def _stated_rows(rows: pd.DataFrame) -> list[list[str]]:
    """How often the forecast N of the headlines that were given held what was then seen."""
    held = rows[rows["stated95"].notna()]
    reach = held["flops"] / held["step"]
    parts = [(str(name), "", part) for name, part in held.groupby("study")]
    parts += [
        ("all", name, held[(reach > low) & (reach <= high)])
        for name, (low, high) in {
            "up to 3x": (1, 3),
            "3 to 10x": (3, 10),
            "10 to 100x": (10, 100),
        }.items()
    ]
    return [
        [
            name,
            band,
            str(len(part)),
            *(f"{100 * part[f'stated{level}'].mean():.0f}" for level in LEVELS),
            f"{100 * part['stated95_wide'].median():.0f}",
        ]
        for name, band, part in [*parts, ("all", "all", held)]
    ]


def _wastes(part: pd.DataFrame) -> list[str]:
    given, refused = (
        part.loc[part["refused"] == is_refused, "waste"] for is_refused in (False, True)
    )
    return [*_waste(given), *_waste(refused)]


def _waste(percent: pd.Series) -> tuple[str, str]:
    """Mean and largest waste, dashes where no size was seen."""
    known = percent[np.isfinite(percent)]
    return (f"{known.mean():.2f}", f"{known.max():.1f}") if len(known) else ("–", "–")
