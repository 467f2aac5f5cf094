"""The short row of verdicts: what a reader must know before trusting the headline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from flopline.laws.common.fit_result import CONVERGED, FAILED
from flopline.numbers import count, factor
from flopline.report.formatting import gist
from flopline.schema import HELD_OUT, KEPT

GOOD, MIND, BAD, UNKNOWN = "good", "mind", "bad", "unknown"
STATES: Final = {"fine": GOOD, "mind": MIND, "refuse": BAD, "not made": UNKNOWN}
"""What an audit says, as a state of the page."""
SAID: Final = {"fine": "fine", "mind": "caveat", "refuse": "refused", "not made": "not checked"}
"""What an audit says, in a word for readers."""

_AGREEMENT: Final[Mapping[bool | None, tuple[str, str]]] = {
    True: (GOOD, "The laws agree"),
    False: (BAD, "The laws disagree"),
    None: (MIND, "No second law to compare"),
}

_BASIS: Final[Mapping[str, tuple[str, str, str]]] = {
    "held_out": (
        GOOD,
        "Chosen by held-out budgets",
        "Fitted to smaller budgets, its N wasted least compute at larger ones.",
    ),
    "tie": (
        MIND,
        "Held-out budgets leave a tie",
        "Other lines did as well at larger budgets; a fixed order decided.",
    ),
    "order": (
        MIND,
        "Not chosen by held-out budgets",
        "Too little was held out to tell the lines apart; a fixed order decided.",
    ),
    "only": (MIND, "Only one line to choose", "There was no other line to hold it against."),
    "none": (BAD, "No line to follow", "Every line failed, or says more than the runs bear."),
}

_AUDITS: Final = {
    "ladder": ("Do small runs foretell large ones?", "Held-out ladder"),
    "held_out": ("What did the runs held out show?", "Runs held out"),
    "identifiability": ("Can the runs tell the terms apart?", "Identifiability"),
    "hygiene": ("Were the runs trained alike, and well?", "Run hygiene"),
}
"""The audits that have a verdict of their own: the question, and what the check is called."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A question, its answer, a detail, and the place on the page that holds the evidence."""

    state: str
    question: str
    finding: str
    detail: str
    href: str


@dataclass(frozen=True, slots=True)
class Places:
    """Where on the page the evidence stands: of agreement, and of each audit, as #anchors."""

    agreement: str
    audits: Mapping[str, str]


def verdicts(
    verdict: VerdictJson,
    decision: pd.DataFrame,
    fits: Mapping[str, FitsJson],
    runs: pd.DataFrame,
    dropped_rows: int,
    findings: Mapping[str, FindingJson],
    places: Places,
) -> list[Verdict]:
    """Agreement, audits, convergence, choice, families, reach and data, in this order.

    `findings` are the audits of the headline's family.
    """
    return [
        _agreement(verdict, places.agreement),
        *_audits(findings, places.audits),
        _convergence(fits),
        *_choice(verdict),
        *_families(verdict),
        _extrapolation(decision),
        _data(runs, dropped_rows),
    ]


def _audits(findings: Mapping[str, FindingJson], places: Mapping[str, str]) -> Iterator[Verdict]:
    if not findings:
        said = "Whether small runs foretell large ones was not tested."
        yield Verdict(UNKNOWN, "Was the law put to the test?", "No audit was made", said, "#audit")
    for name, (question, called) in _AUDITS.items():
        if name in findings:
            word = str(findings[name]["verdict"])
            state = STATES.get(word, MIND)
            said = f"{called}: {SAID.get(word, word)}"
            detail = gist(str(findings[name]["sentence"]))
            yield Verdict(state, question, said, detail, places[name])


def _choice(verdict: VerdictJson) -> Iterator[Verdict]:
    """What decided the headline's line."""
    choices = verdict.get("choices", ())
    head = verdict.get("headline")
    for entry in choices:
        if _is_headline(entry, head) if head else entry is choices[0]:
            state, finding, detail = _BASIS[entry["basis"]]
            yield Verdict(state, "Why this law?", finding, detail, "#why")
            return


def _families(verdict: VerdictJson) -> Iterator[Verdict]:
    """Whether the headline's family wins beyond doubt."""
    entries = verdict.get("families") or ()
    if not entries:
        return
    entry = entries[0]
    question = "Which family is better?"
    if entry["winner"] is None:
        said = str(entry["short"])
        yield Verdict(UNKNOWN, question, "Families are not ranked", said, "#families")
        return
    others = entry["others"]
    clear = bool(others) and not any(other["overlap"] for other in others)
    clear = clear and entry["laws_agreeing"] == entry["laws_compared"]
    finding = "One family wins clearly" if clear else "No family wins clearly"
    state = GOOD if clear else MIND
    yield Verdict(state, question, finding, str(entry["short"]), "#families")


def _agreement(verdict: VerdictJson, href: str) -> Verdict:
    question = "Do the laws agree?"
    entries: Sequence[AgreementJson] = verdict["agreement"]
    if not entries:
        return Verdict(MIND, question, "No law to compare", "Agreement cannot be judged.", href)
    entry = next((e for e in entries if _is_headline(e, verdict.get("headline"))), entries[0])
    state, finding = _AGREEMENT[entry["overlap"]]
    if entry["overlap"] and not entry["agree"]:
        state, finding = MIND, "The laws differ, and the data cannot tell"
    detail = str(entry["short"])
    apart = sum(e["overlap"] is False for e in entries)
    if apart and len(entries) > 1:
        detail += f" Over all families and targets, the laws disagree at {apart} of {len(entries)}."
    return Verdict(state, question, finding, detail, href)


def _is_headline(entry: AgreementJson | ChoiceJson, head: HeadlineJson | None) -> bool:
    return (
        head is not None
        and entry["family"] == head["family"]
        and math.isclose(entry["budget_flops"], head["budget_flops"])
    )


def _convergence(fits: Mapping[str, FitsJson]) -> Verdict:
    question, href = "Did every fit converge?", "#fits"
    statuses = [fit["status"] for laws in fits.values() for fit in laws.values()]
    converged, failed = statuses.count(CONVERGED), statuses.count(FAILED)
    warned = len(statuses) - converged - failed
    if not statuses:
        return Verdict(BAD, question, "No law was fitted", "There is nothing to certify.", href)
    if converged == len(statuses):
        said = f"{count(converged, 'fit')}, none with a warning."
        return Verdict(GOOD, question, "Every fit converged", said, href)
    finding = (
        f"{failed} of {len(statuses)} fits failed"
        if failed
        else f"{warned} of {len(statuses)} fits carry a warning"
    )
    detail = f"{converged} converged, {warned} with a warning, {failed} failed."
    return Verdict(BAD if failed else MIND, question, finding, detail, href)


def _data(runs: pd.DataFrame, dropped_rows: int) -> Verdict:
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
        return Verdict(BAD, question, finding, detail, href)
    detail = f"{rows_lost:,} of {count(rows_in, 'row')} dropped, each with its reason."
    if not rows_lost:
        detail = f"No row was dropped out of {rows_in:,}."
    return Verdict(MIND if aside else GOOD, question, finding, detail, href)


def _extrapolation(decision: pd.DataFrame) -> Verdict:
    question, href = "How far beyond the data?", "#laws"
    reach = decision["extrapolation"].dropna()
    if reach.empty:
        said = "No budget in the data to compare with."
        return Verdict(MIND, question, "Reach unknown", said, href)
    farthest = float(reach.max())
    below = float(decision["below_data"].max())
    if below > 1:
        said = f"The smallest run has {factor(below)} the compute of the smallest target."
        return Verdict(MIND, question, "Extrapolated downwards", said, href)
    if farthest <= 1:
        said = "No target is extrapolated."
        return Verdict(GOOD, question, "Targets within the data", said, href)
    beyond = decision.loc[decision["extrapolation"] > 1, "budget_flops"].nunique()
    total = decision["budget_flops"].nunique()
    return Verdict(
        MIND,
        question,
        f"Extrapolated up to {factor(farthest)}",
        f"{beyond} of {count(total, 'target')} beyond the largest budget in the data.",
        href,
    )
