"""The short row of verdicts: what a reader must know before trusting the headline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pandas as pd

from flopline.documents import (
    AgreementJson,
    ChoiceJson,
    FindingJson,
    FitsJson,
    HeadlineJson,
    VerdictJson,
)
from flopline.family_comparison import wins_clearly
from flopline.laws.common.fit_result import CONVERGED, FAILED
from flopline.laws.spec import spec_of
from flopline.numbers import count, factor
from flopline.report.formatting import gist
from flopline.schema import HELD_OUT, KEPT
from flopline.verdict_scale import OF_FIT, Verdict, worst

GOOD, WARNED, REFUTED, NOT_CHECKED = Verdict

_AGREEMENT: Final[Mapping[bool | None, tuple[Verdict, str]]] = {
    True: (GOOD, "The laws agree"),
    False: (REFUTED, "The laws disagree"),
    None: (NOT_CHECKED, "No second law to compare"),
}

_BASIS: Final[Mapping[str, tuple[Verdict, str, str]]] = {
    "held_out": (
        GOOD,
        "Chosen by held-out budgets",
        "Fitted to smaller budgets, its N wasted least compute at larger ones.",
    ),
    "held_out_loss": (
        GOOD,
        "Chosen by losses at held-out budgets",
        "The sizes were a tie: fitted to smaller budgets, its N and another line's wasted as "
        "little compute at larger ones. It predicted the lowest losses there best.",
    ),
    "tie": (
        WARNED,
        "Held-out budgets leave a tie",
        "Other lines did as well at larger budgets; a fixed order decided.",
    ),
    "order": (
        WARNED,
        "Not chosen by held-out budgets",
        "Too little was held out to tell the lines apart; a fixed order decided.",
    ),
    "only": (
        NOT_CHECKED,
        "Only one line to choose",
        "There was no other line to hold it against.",
    ),
    "none": (
        REFUTED,
        "No line to follow",
        "Every line failed, or says more than the runs bear.",
    ),
}

_AUDITS: Final[Mapping[str, tuple[str, Mapping[Verdict, str]]]] = {
    "ladder": (
        "Do small runs predict large ones?",
        {GOOD: "They do", WARNED: "Only roughly", REFUTED: "They do not"},
    ),
    "held_out": (
        "Do the runs held out confirm the laws?",
        {GOOD: "They do", WARNED: "Only in part", REFUTED: "They refute them"},
    ),
    "identifiability": (
        "Can the runs tell the terms of the parametric law apart?",
        {GOOD: "They can", WARNED: "Only in part", REFUTED: "They cannot"},
    ),
    "hygiene": (
        "Were the runs trained alike, and well?",
        {GOOD: "They were", WARNED: "Not in every respect", REFUTED: "They were not"},
    ),
}
"""The audits that have a verdict of their own: the question, and the answer of each verdict."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A question, its answer, a detail, and the place on the page that holds the evidence."""

    verdict: Verdict
    question: str
    finding: str
    detail: str
    href: str


@dataclass(frozen=True, slots=True)
class Places:
    """Where the evidence stands: of agreement, and of each audit; `appendix` is the other page.

    `labels` are those of families.
    """

    agreement: str
    audits: Mapping[str, str]
    appendix: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def tiles(
    verdict: VerdictJson,
    decision: pd.DataFrame,
    fits: Mapping[str, FitsJson],
    runs: pd.DataFrame,
    dropped_rows: int,
    findings: Mapping[str, FindingJson],
    places: Places,
) -> list[Tile]:
    """Agreement, audits, convergence, choice, families, reach and data, in this order.

    `findings` are the audits of the headline's family.

    Returns one tile for each question that the study can answer or has left open.
    """
    return [
        _agreement(verdict, places.agreement),
        *_audits(findings, places, bool(verdict.get("headline"))),
        _convergence(fits, f"{places.appendix}#fits"),
        *_misfit(fits, f"{places.appendix}#fits", places.labels),
        *_choice(verdict),
        *_families(verdict),
        _extrapolation(decision, f"{places.appendix}#laws"),
        _data(runs, dropped_rows),
    ]


def _audits(findings: Mapping[str, FindingJson], places: Places, answered: bool) -> Iterator[Tile]:
    """A tile for each audit that has a verdict of its own.

    What the ladder says of the line that is followed stands beside an answer.
    """
    if not findings:
        sentence = "Whether small runs predict large ones was not tested."
        yield Tile(
            NOT_CHECKED,
            "Was the law put to the test?",
            "No audit was made",
            sentence,
            f"{places.appendix}#audit",
        )
    for name, (question, answers) in _AUDITS.items():
        if name in findings:
            made = Verdict(findings[name]["verdict"])
            stands_there = answered and name == "ladder"
            detail = "" if stands_there else gist(str(findings[name]["sentence"]))
            finding = answers.get(made, "Not checked")
            yield Tile(made, question, finding, detail, places.audits[name])


def _choice(verdict: VerdictJson) -> Iterator[Tile]:
    """What decided the headline's line."""
    choices = verdict.get("choices", ())
    head = verdict.get("headline")
    for entry in choices:
        if _is_headline(entry, head) if head else entry is choices[0]:
            made, finding, detail = _BASIS[entry["basis"]]
            law = f"the {spec_of(entry['law']).label}" if entry.get("law") else "this"
            yield Tile(made, f"Why {law} law?", finding, detail, "#rule")
            return


def _families(verdict: VerdictJson) -> Iterator[Tile]:
    """Whether the headline's family wins beyond doubt."""
    entries = verdict.get("families") or ()
    if not entries:
        return
    entry = entries[0]
    question = "Which family is better?"
    if entry["winner"] is None:
        why = str(entry["short"])
        yield Tile(NOT_CHECKED, question, "Families are not ranked", why, "#targets")
        return
    clear = wins_clearly(entry)
    finding = "One family wins clearly" if clear else "No family wins clearly"
    made, words = (GOOD, entry["short"]) if clear else (WARNED, entry["sentence"])
    yield Tile(made, question, finding, str(words), "#targets")


def _agreement(verdict: VerdictJson, href: str) -> Tile:
    question = "Do the laws agree?"
    entries: Sequence[AgreementJson] = verdict["agreement"]
    if not entries:
        return Tile(NOT_CHECKED, question, "No law to compare", "Agreement cannot be judged.", href)
    entry = next((e for e in entries if _is_headline(e, verdict.get("headline"))), entries[0])
    made, finding = _AGREEMENT[entry["overlap"]]
    if entry["overlap"] and not entry["agree"]:
        made, finding = WARNED, "The laws differ, and the data cannot tell"
    detail = gist(str(entry["short"]))
    apart = sum(e["overlap"] is False for e in entries)
    if apart and len(entries) > 1:
        detail += f" Over all families and targets, the laws disagree at {apart} of {len(entries)}."
    return Tile(made, question, finding, detail, href)


def _is_headline(entry: AgreementJson | ChoiceJson, head: HeadlineJson | None) -> bool:
    return (
        head is not None
        and entry["family"] == head["family"]
        and math.isclose(entry["budget_flops"], head["budget_flops"])
    )


def _convergence(fits: Mapping[str, FitsJson], href: str) -> Tile:
    question = "Did every fit converge?"
    statuses = [fit["status"] for laws in fits.values() for fit in laws.values()]
    converged, failed = statuses.count(CONVERGED), statuses.count(FAILED)
    warned = len(statuses) - converged - failed
    if not statuses:
        return Tile(
            NOT_CHECKED, question, "No law was fitted", "There is nothing to certify.", href
        )
    if converged == len(statuses):
        sentence = f"{count(converged, 'fit')}, none with a warning."
        return Tile(GOOD, question, "Every fit converged", sentence, href)
    finding = (
        f"{failed} of {len(statuses)} fits failed"
        if failed
        else f"{warned} of {len(statuses)} fits carry a warning"
    )
    detail = f"{converged} converged, {warned} with a warning, {failed} failed."
    return Tile(worst(OF_FIT[status] for status in statuses), question, finding, detail, href)


def _misfit(fits: Mapping[str, FitsJson], href: str, labels: Mapping[str, str]) -> Iterator[Tile]:
    """Whether the surfaces fit their runs, judged by the runs' own scatter."""
    question = "Does the parametric law fit its runs?"
    checked = {
        family: fit["certificate"].get("misfit")
        for family, laws in fits.items()
        for fit in laws.values()
        if fit["status"] != FAILED and "misfit" in fit["certificate"]
    }
    if not checked:
        return
    lacking = {f: m for f, m in checked.items() if m is not None and m["found"]}
    unknown = all(m is None or m["p_value"] is None for m in checked.values())
    if lacking:
        finding = f"{len(lacking)} of {len(checked)} do not" if len(checked) > 1 else "It does not"
        names = " and ".join(labels.get(family, family) for family in lacking)
        sentence = f"The runs of {names} lie about it otherwise than by chance."
        yield Tile(WARNED, question, finding, sentence, href)
    elif unknown:
        sentence = "There are too few runs beside the parameters of the law."
        yield Tile(NOT_CHECKED, question, "Not tested", sentence, href)
    else:
        lowest = min(m["p_value"] for m in checked.values() if m and m["p_value"] is not None)
        sentence = (
            "By stretch of compute, at the largest runs, sizes and tokens per param, and beside a "
            f"wider form they lie about it as by chance (p = {lowest:.2g} for all tests together)."
        )
        yield Tile(GOOD, question, "No lack of fit is found", sentence, href)


def _data(runs: pd.DataFrame, dropped_rows: int) -> Tile:
    question, href = "Was anything left out?", "#data"
    kept = int((runs["status"] == KEPT).sum())
    rows_in, rows_kept, rows_lost = (
        int(runs[c].sum()) for c in ("rows_in", "rows_kept", "rows_dropped")
    )
    held = int((runs["status"] == HELD_OUT).sum())
    aside = len(runs) - kept - held
    finding = f"{count(kept, 'run')} kept, {aside:,} quarantined"
    finding += f", {held:,} held out" if held else ""
    if rows_in != rows_kept + rows_lost or rows_lost != dropped_rows:
        detail = (
            f"The counts do not add up: {rows_in:,} rows read, {rows_kept:,} kept, "
            f"{rows_lost:,} dropped, {dropped_rows:,} listed as dropped."
        )
        return Tile(REFUTED, question, finding, detail, href)
    detail = f"{rows_lost:,} of {count(rows_in, 'row')} dropped, each with its reason."
    if not rows_lost:
        detail = f"No row was dropped out of {rows_in:,}."
    return Tile(WARNED if aside else GOOD, question, finding, detail, href)


def _extrapolation(decision: pd.DataFrame, href: str) -> Tile:
    question = "How far beyond the data?"
    reach = decision["extrapolation"].dropna()
    if reach.empty:
        sentence = "No budget in the data to compare with."
        return Tile(NOT_CHECKED, question, "Reach unknown", sentence, href)
    farthest = float(reach.max())
    below = float(decision["below_data"].max())
    if below > 1:
        sentence = f"The smallest run has {factor(below)} the compute of the smallest target."
        return Tile(WARNED, question, "Extrapolated downwards", sentence, href)
    if farthest <= 1:
        sentence = "No target is extrapolated."
        return Tile(GOOD, question, "Targets within the data", sentence, href)
    beyond = decision.loc[decision["extrapolation"] > 1, "budget_flops"].nunique()
    total = decision["budget_flops"].nunique()
    return Tile(
        WARNED,
        question,
        f"Extrapolated up to {factor(farthest)}",
        f"{beyond} of {count(total, 'target')} beyond the largest budget in the data.",
        href,
    )
