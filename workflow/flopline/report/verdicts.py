"""The short row of verdicts: what a reader must know before trusting the headline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from flopline.fits.result import CONVERGED, FAILED
from flopline.numbers import count, factor
from flopline.schema import HELD_OUT, KEPT

GOOD, MIND, BAD = "good", "mind", "bad"


_AGREEMENT: Mapping[bool | None, tuple[str, str]] = {
    True: (GOOD, "The laws agree"),
    False: (BAD, "The laws disagree"),
    None: (MIND, "No second law to compare"),
}


_BASIS: Mapping[str, tuple[str, str]] = {
    "held_out": (GOOD, "Chosen by held-out budgets"),
    "tie": (MIND, "Held-out budgets leave a tie"),
    "order": (MIND, "Not chosen by held-out budgets"),
    "only": (MIND, "Only one line to choose"),
    "none": (BAD, "No line to choose"),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A finding, its detail, and the place on the page that holds the evidence."""

    state: str
    finding: str
    detail: str
    href: str


def verdicts(
    verdict: Mapping[str, Any],
    decision: pd.DataFrame,
    fits: Mapping[str, Mapping[str, Mapping[str, Any]]],
    runs: pd.DataFrame,
    dropped_rows: int,
) -> list[Verdict]:
    """Choice, agreement, families, convergence, data and extrapolation, in this order."""
    return [
        *_choice(verdict),
        _agreement(verdict),
        *_families(verdict),
        _convergence(fits),
        _data(runs, dropped_rows),
        _extrapolation(decision),
    ]


def _choice(verdict: Mapping[str, Any]) -> list[Verdict]:
    """What decided the headline's line."""
    for entry in verdict.get("choices", ()):
        if _is_headline(entry, verdict.get("headline")):
            state, finding = _BASIS[entry["basis"]]
            return [Verdict(state, finding, str(entry["short"]), "#why")]
    return []


def _families(verdict: Mapping[str, Any]) -> list[Verdict]:
    """Whether the headline's family wins beyond doubt."""
    entries = verdict.get("families") or ()
    if not entries:
        return []
    entry = entries[0]
    others = entry["others"]
    clear = bool(others) and not any(other["overlap"] for other in others)
    clear = clear and entry["laws_agreeing"] == entry["laws_compared"]
    finding = "One family wins clearly" if clear else "No family wins clearly"
    return [Verdict(GOOD if clear else MIND, finding, str(entry["short"]), "#families")]


def _agreement(verdict: Mapping[str, Any]) -> Verdict:
    entries: Sequence[Mapping[str, Any]] = verdict["agreement"]
    if not entries:
        return Verdict(MIND, "No law to compare", "Agreement cannot be judged.", "#laws")
    entry = next((e for e in entries if _is_headline(e, verdict.get("headline"))), entries[0])
    state, finding = _AGREEMENT[entry["overlap"]]
    detail = str(entry["short"])
    apart = sum(e["overlap"] is False for e in entries)
    if apart and len(entries) > 1:
        detail += (
            f" Of all {len(entries)} pairs of family and target, the laws disagree at {apart}."
        )
    return Verdict(state, finding, detail, "#laws")


def _is_headline(entry: Mapping[str, Any], head: Mapping[str, Any] | None) -> bool:
    return (
        head is not None
        and entry["family"] == head["family"]
        and math.isclose(entry["budget_flops"], head["budget_flops"])
    )


def _convergence(fits: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Verdict:
    statuses = [fit["status"] for laws in fits.values() for fit in laws.values()]
    converged, failed = statuses.count(CONVERGED), statuses.count(FAILED)
    warned = len(statuses) - converged - failed
    if not statuses:
        return Verdict(BAD, "No law was fitted", "There is nothing to certify.", "#fits")
    if converged == len(statuses):
        finding = "Every fit converged"
        return Verdict(GOOD, finding, f"{count(converged, 'fit')}, none with a warning.", "#fits")
    finding = f"{failed} of {len(statuses)} fits failed" if failed else "Every fit is usable"
    detail = f"{converged} converged, {warned} with a warning, {failed} failed."
    return Verdict(BAD if failed else MIND, finding, detail, "#fits")


def _data(runs: pd.DataFrame, dropped_rows: int) -> Verdict:
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
        return Verdict(BAD, finding, detail, "#data")
    detail = f"{rows_lost:,} of {count(rows_in, 'row')} dropped, each with its reason."
    if not rows_lost:
        detail = f"No row was dropped out of {rows_in:,}."
    return Verdict(MIND if aside else GOOD, finding, detail, "#data")


def _extrapolation(decision: pd.DataFrame) -> Verdict:
    reach = decision["extrapolation"].dropna()
    if reach.empty:
        return Verdict(MIND, "Reach unknown", "No budget in the data to compare with.", "#laws")
    farthest = float(reach.max())
    if farthest <= 1:
        return Verdict(GOOD, "Targets within the data", "No target is extrapolated.", "#laws")
    beyond = decision.loc[decision["extrapolation"] > 1, "budget_flops"].nunique()
    total = decision["budget_flops"].nunique()
    return Verdict(
        MIND,
        f"Extrapolated up to {factor(farthest)}",
        f"{beyond} of {count(total, 'target')} beyond the largest budget in the data.",
        "#laws",
    )
