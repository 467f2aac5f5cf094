"""The report page: tables, fits and figures in, one self-contained HTML text out."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from flopline.numbers import count
from flopline.report.audits import (
    Audits,
    audit_verdict,
    audit_views,
    held_out_sentence,
)
from flopline.report.decision import headline, law_tables, ordered, recommended
from flopline.report.evidence import exponents, fit_ids, fit_views
from flopline.report.hygiene import hygiene
from flopline.report.methods import methods
from flopline.report.shown import QUANTITY_VIEWS, value_text
from flopline.report.tables import ColumnSpec, DataTable, data_table
from flopline.report.verdicts import verdicts

PAGE_WIDTH_PT = 518.4
"""Width of a page-wide figure, as in figures.style, which would load Matplotlib."""


@dataclass(frozen=True)
class ReportInputs:
    """Everything that the page shows; the page reads nothing else.

    study: title, name, synthetic, families {id: label}, params_convention, flops_convention,
        loss_split, points (final | checkpoints), targets [FLOPs], source, notes and, where there
        is one, description and held_out (what was held out to test the laws, and the outcome).
    decision: one row per family, target, law and estimator, as decision.decide makes it: family,
        law, estimator, label, main, budget_flops, status, message, recommended, refused,
        extrapolation (budget over the largest training budget), held_out_steps and
        held_out_wasted_percent, cost_percent and cost_flops, and for every quantity q of
        schema.QUANTITIES the columns q, q_lo80, q_hi80, q_lo95, q_hi95.
    verdict: headline (family, law, estimator, budget_flops and estimates as of Estimate.to_json;
        None where every law failed), rule (how the recommended line is chosen) and caveat, choices
        (per family and target: family, budget_flops, basis, short, sentence), agreement (also
        params_ratio and overlap, None where fewer than two laws have a number), families (per
        target: short, sentence, others, laws_agreeing, laws_compared; empty for one family).
    fits: {family: {law: FitResult.to_json()}}.
    runs, dropped: tables with the columns of schema.RUNS and schema.DROPPED.
    figures: mappings with name, family (its label or ""), section (laws or audit), title, caption
        and svg (text).
    provenance: files (path, sha256, bytes), versions {package: version}, seeds {name: seed},
        config (YAML), command, code (digest).
    audits: {family: [Finding.to_json() with its tables under "tables"]}, empty where none was made.
    """

    study: Mapping[str, Any]
    decision: pd.DataFrame
    verdict: Mapping[str, Any]
    fits: Mapping[str, Mapping[str, Mapping[str, Any]]]
    runs: pd.DataFrame
    dropped: pd.DataFrame
    figures: Sequence[Mapping[str, str]]
    provenance: Mapping[str, Any]
    audits: Audits = field(default_factory=dict)


def render(inputs: ReportInputs, template_dir: Path) -> str:
    """The page as HTML text, the same bytes for the same inputs in any row order.

    `template_dir` holds page.html.j2, style.css and tables.js. The page loads nothing from
    elsewhere: style and script stand in it, figures are data URIs.
    """
    environment = Environment(
        loader=FileSystemLoader(template_dir),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page = environment.get_template("page.html.j2")
    return page.render(
        **_view(inputs),
        style=_verbatim(template_dir / "style.css"),
        script=_verbatim(template_dir / "tables.js"),
    )


def _view(inputs: ReportInputs) -> dict[str, Any]:
    families = inputs.study["families"]
    held_out = held_out_sentence(inputs.audits, families)
    study = {**inputs.study, "held_out": held_out or inputs.study.get("held_out")}
    decision = ordered(inputs.decision, families)
    laws = law_tables(decision, families, inputs.verdict, fit_ids(inputs.fits, families))
    # Numbered as they stand on the page: the audit comes before the laws' own figures.
    sections = [figure.get("section", "laws") for figure in inputs.figures]
    order = sorted(range(len(sections)), key=lambda i: sections[i] != "audit")
    figures = _figures([inputs.figures[i] for i in order])
    of_audit = figures[: sections.count("audit")]
    return {
        "study": study,
        "description": study.get("description") or "",
        "headline": headline(inputs.verdict, decision, families),
        "rule": inputs.verdict["rule"],
        "caveat": inputs.verdict.get("caveat", ""),
        "between": [str(entry["sentence"]) for entry in inputs.verdict.get("families", ())],
        "verdicts": [
            *verdicts(inputs.verdict, decision, inputs.fits, inputs.runs, len(inputs.dropped)),
            *filter(None, [audit_verdict(inputs.audits, families)]),
        ],
        "audits": audit_views(inputs.audits, families, of_audit),
        "quantities": QUANTITY_VIEWS,
        "laws": laws,
        "recommended": recommended(laws),
        "figures": figures[len(of_audit) :],
        "exponents": exponents(inputs.fits, families),
        "fits": fit_views(inputs.fits, families),
        "hygiene": hygiene(inputs.runs, inputs.dropped, study),
        "methods": methods(study, inputs.fits, inputs.runs, inputs.verdict["rule"]),
        "provenance": inputs.provenance,
        "seeds": [(name, value_text(seed)) for name, seed in inputs.provenance["seeds"].items()],
        "files": _files(inputs.provenance["files"]),
    }


def _figures(figures: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The figures at one scale: each as wide as it is beside a page-wide one, or the widest."""
    widths = [_width(figure["svg"]) for figure in figures]
    widest = max([PAGE_WIDTH_PT, *widths])
    return [
        {**_figure(figure, i), "share": f"{width / widest:.3f}"}
        for i, (figure, width) in enumerate(zip(figures, widths, strict=True), start=1)
    ]


def _width(svg: str) -> float:
    """The width in points that an SVG declares; that of a page where it declares none."""
    found = re.search(r'<svg[^>]*\swidth="([0-9.]+)', svg)
    return float(found[1]) if found else PAGE_WIDTH_PT


def _figure(figure: Mapping[str, str], index: int) -> dict[str, str]:
    """A figure as an <img>: a data URI keeps the ids of one SVG from clashing with another's."""
    encoded = base64.b64encode(figure["svg"].encode()).decode("ascii")
    title = f"{figure['title']}, {figure['family']}" if figure["family"] else figure["title"]
    return {
        "id": f"figure-{index}",
        "number": str(index),
        "family": figure["family"],
        "title": title,
        "caption": figure["caption"],
        "alt": f"{title}. {figure['caption']}",
        "src": f"data:image/svg+xml;base64,{encoded}",
    }


def _files(files: Sequence[Mapping[str, Any]]) -> DataTable | None:
    if not files:
        return None
    specs = (
        ColumnSpec("path", "File", style="path"),
        ColumnSpec("bytes", "Bytes", lambda x: count(int(x))),
        ColumnSpec("sha256", "SHA-256", style="hash"),
    )
    size = sum(int(f["bytes"]) for f in files)
    caption = f"{count(len(files), 'input file')}, {count(size, 'byte')}"
    return data_table("table-files", caption, pd.DataFrame(list(files)), specs)


def _verbatim(path: Path) -> Markup:
    """A style sheet or script of this project, which autoescaping would break."""
    return Markup(path.read_text(encoding="utf-8"))  # noqa: S704 - files of this project alone
