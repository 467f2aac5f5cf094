"""The audit section: a verdict and a sentence per question, and the tables behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from flopline.documents import FindingJson
from flopline.numbers import count, number
from flopline.report.html_tables import ColumnSpec, Csv, DataTable, csv_file, data_table
from flopline.verdict_scale import Verdict, tally

Audits = Mapping[str, Mapping[str, FindingJson]]

QUESTIONS: Final = {
    "ladder": "Do small runs predict large ones?",
    "form": "Which form of the parametric law?",
    "held_out": "Do the laws predict the runs held out?",
    "identifiability": "Can the runs tell the terms of the parametric law apart?",
    "regret": "What does the uncertainty of the parametric law cost?",
    "bias": "How far off are the parabolas of the isoFLOP law?",
    "sensitivity": "What does N depend on?",
    "next_run": "Which run would help the parametric law most?",
    "inference": "Which size if it will be served?",
    "hygiene": "Were the runs trained alike, and well?",
    "published": "What do published laws say?",
}
SHOWN: Final = {
    ("ladder", "scores"): "Held-out ladder, law by law",
    ("ladder", "steps"): "Held-out ladder, step by step",
    ("form", "forms"): "Forms of the surface on the held-out ladder",
    ("held_out", "predictions"): "Runs held out: predicted and seen",
    ("sensitivity", "changes"): "Refits and what they cost",
    ("regret", "sizes"): "Compute wasted by other sizes",
    ("regret", "disagreements"): "What it costs that laws disagree",
    ("identifiability", "ratios"): "Tokens per param wanted, beside those of the runs",
    ("identifiability", "ray"): "The law along the line on which the runs lie",
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
class FindingRow:
    """A question, the audit's verdict and sentence, and its anchor."""

    id: str
    audit: str
    question: str
    verdict: Verdict
    sentence: str


@dataclass(frozen=True, slots=True)
class AuditView:
    """The findings of one family and their tables."""

    id: str
    family: str
    summary: str
    rows: Sequence[FindingRow]
    tables: Sequence[DataTable]
    csv: Csv


def audit_views(audits: Audits, families: Mapping[str, str], first: str = "") -> list[AuditView]:
    """One view per family that was audited, the family `first` before all others."""
    order = sorted((f for f in families if audits.get(f)), key=lambda family: family != first)
    return [
        AuditView(
            id=f"audit-{i}",
            family=families[family],
            summary=_summary(audits[family]),
            rows=[
                FindingRow(
                    f"audit-{i}-{f['audit']}",
                    f["audit"],
                    _question(f["audit"]),
                    Verdict(f["verdict"]),
                    f["sentence"],
                )
                for f in audits[family].values()
            ],
            tables=[
                _table(f"audit-{i}-{f['audit']}-{name}", SHOWN[f["audit"], name], table)
                for f in audits[family].values()
                for name, table in f["tables"].items()
                if (f["audit"], name) in SHOWN and len(table)
            ],
            csv=_csv(audits[family]),
        )
        for i, family in enumerate(order, start=1)
    ]


def audit_places(view: AuditView | None, figures: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """{audit: #anchor of its evidence}: its figure, else its first table, else its finding."""
    if view is None:
        return {}
    drawn = {f["name"]: f["id"] for f in figures if f["family"] == view.family}
    places = {}
    for row in view.rows:
        own = [t.id for t in view.tables if t.id.startswith(f"{view.id}-{row.audit}-")]
        places[row.audit] = "#" + (drawn.get(row.audit) or (own[0] if own else row.id))
    return places


def held_out_sentence(audits: Audits, families: Mapping[str, str]) -> str:
    """What the ladders and the runs held out told, for the methods; empty where neither is."""
    return " ".join(
        f"{families[name]}: {f['sentence']}"
        for name in families
        for f in audits.get(name, {}).values()
        if f["audit"] in ("ladder", "held_out") and f["tables"]
    )


def _summary(findings: Mapping[str, FindingJson]) -> str:
    verdicts = tally(Verdict(f["verdict"]) for f in findings.values())
    return f"{count(len(findings), 'audit')}: {verdicts}"


def _csv(findings: Mapping[str, FindingJson]) -> Csv:
    rows = [
        (f["audit"], _question(f["audit"]), f["verdict"], f["sentence"]) for f in findings.values()
    ]
    frame = pd.DataFrame(rows, columns=["audit", "question", "verdict", "finding"])
    return csv_file(frame, dict.fromkeys(frame, ""))


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
