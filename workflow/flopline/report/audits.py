"""The audit section: a verdict and a sentence per question, and the tables behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from flopline.numbers import count, number
from flopline.report.tables import ColumnSpec, DataTable, data_table
from flopline.report.verdicts import BAD, GOOD, MIND, Verdict

Audits = Mapping[str, Sequence[Mapping[str, Any]]]

QUESTIONS: Final = {
    "ladder": "Do small runs foretell large ones?",
    "held_out": "Do the laws foretell the runs held out?",
    "identifiability": "Can the runs tell the terms apart?",
    "regret": "What does the fit's uncertainty cost?",
    "bias": "How far off are the parabolas?",
    "sensitivity": "What does N hang on?",
    "next_run": "Which run would help most?",
    "inference": "Which size if it will be served?",
    "hygiene": "Were the runs trained alike, and well?",
    "published": "What do published laws say?",
}
STATES: Final = {"fine": GOOD, "mind": MIND, "refuse": BAD}
SHOWN: Final = {
    ("ladder", "scores"): "Held-out ladder, law by law",
    ("ladder", "steps"): "Held-out ladder, step by step",
    ("held_out", "predictions"): "Runs held out: foretold and seen",
    ("sensitivity", "changes"): "Refits and what they cost",
    ("regret", "sizes"): "Compute wasted by other sizes",
    ("regret", "disagreements"): "What it costs that laws disagree",
    ("identifiability", "ratios"): "Tokens per param wanted, beside those of the runs",
    ("identifiability", "ray"): "The law along the runs' own ray",
    ("next_run", "runs"): "The worth of one more run",
    ("inference", "lifetime"): "Sizes for a lifetime of serving",
    ("bias", "vertices"): "Bias of every valley",
    ("hygiene", "checks"): "How the runs were trained",
    ("published", "laws"): "Published laws at the targets",
    ("published", "losses"): "The runs under published loss surfaces",
    ("published", "sources"): "Sources of the published laws",
}
"""Tables on the page; all stand in the results folder."""


@dataclass(frozen=True, slots=True)
class AuditView:
    """The findings of one family and their tables."""

    id: str
    family: str
    rows: Sequence[tuple[str, str, str, str]]
    tables: Sequence[DataTable]
    figures: Sequence[Mapping[str, str]]


def audit_views(
    audits: Audits, families: Mapping[str, str], figures: Sequence[Mapping[str, str]] = ()
) -> list[AuditView]:
    """One view per family; rows are (question, verdict, state, sentence).

    `figures` are those of the audits, each with the label of its family.
    """
    return [
        AuditView(
            id=f"audit-{i}",
            family=families[family],
            rows=[
                (_question(f["audit"]), f["verdict"], STATES.get(f["verdict"], MIND), f["sentence"])
                for f in audits[family]
            ],
            tables=[
                _table(f"audit-{i}-{f['audit']}-{name}", SHOWN[f["audit"], name], table)
                for f in audits[family]
                for name, table in f["tables"].items()
                if (f["audit"], name) in SHOWN and len(table)
            ],
            figures=[figure for figure in figures if figure["family"] == families[family]],
        )
        for i, family in enumerate((name for name in families if audits.get(name)), start=1)
    ]


def audit_verdict(audits: Audits, families: Mapping[str, str]) -> Verdict | None:
    """How many audits are fine, for the row of verdicts; None where nothing was audited."""
    findings = [(families[name], f) for name in families for f in audits.get(name, [])]
    if not findings:
        return None
    wanting = [(family, f) for family, f in findings if f["verdict"] != "fine"]
    fine = len(findings) - len(wanting)
    if not wanting:
        return Verdict(GOOD, f"All {count(fine, 'audit')} fine", "None has a caveat.", "#audit")
    worst = BAD if any(f["verdict"] == "refuse" for _, f in wanting) else MIND
    named: dict[str, list[str]] = {}
    for family, f in wanting:
        named.setdefault(family, []).append(f["audit"].replace("_", " "))
    listed = "; ".join(f"{family}: {', '.join(audits)}" for family, audits in named.items())
    return Verdict(worst, f"{fine} of {count(len(findings), 'audit')} fine", listed, "#audit")


def held_out_sentence(audits: Audits, families: Mapping[str, str]) -> str:
    """What the ladders and the runs held out told, for the methods; empty where neither is."""
    return " ".join(
        f"{families[name]}: {f['sentence']}"
        for name in families
        for f in audits.get(name, [])
        if f["audit"] in ("ladder", "held_out") and f["tables"]
    )


def _question(audit: str) -> str:
    """What an audit asks; one that is not listed here is called by its name."""
    return QUESTIONS.get(audit, audit.replace("_", " ").capitalize())


def _table(table_id: str, caption: str, table: pd.DataFrame) -> DataTable:
    specs = [
        ColumnSpec(name, name.replace("_", " "), None if _is_text(table[name]) else _four)
        for name in table
    ]
    return data_table(table_id, caption, table, specs)


def _is_text(column: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)


def _four(x: float) -> str:
    return number(x, 4)
