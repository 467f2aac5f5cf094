"""The report page: tables, fits and figures in, one self-contained HTML text out."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from flopline.decision_lines import family_lines, silent_lines
from flopline.documents import (
    FitsJson,
    InputFileJson,
    ProvenanceJson,
    SilenceJson,
    VerdictJson,
)
from flopline.figures.style import PAGE_WIDTH_IN
from flopline.loss_units import stated_unit
from flopline.numbers import count, flops_label
from flopline.planner import MFU_PERCENT
from flopline.report.answer import Evidence, answered, next_run, unanswered
from flopline.report.audit_views import (
    Audits,
    AuditView,
    audit_places,
    audit_views,
    held_out_sentence,
)
from flopline.report.caveats import counted_apart
from flopline.report.checklist import checklist, checklist_view, paragraphs
from flopline.report.decision_csv import decision_csv, spends_budget
from flopline.report.decision_view import (
    FamilyLaws,
    LawRow,
    headline,
    law_tables,
    ordered,
    recommended,
)
from flopline.report.fit_views import exponents, exponents_csv, fit_ids, fit_views, fits_csv
from flopline.report.formatting import (
    gist,
    head_and_rest,
    quantity_views,
    sentence,
    sentences_of,
    value_text,
)
from flopline.report.html_tables import ColumnSpec, DataTable, data_table, text_file
from flopline.report.hygiene_view import hygiene, hygiene_sentence
from flopline.report.interactive import Panels
from flopline.report.intervals import interval_note, other_splits, resampled_words
from flopline.report.methods import Method, as_text, methods, methods_bibtex
from flopline.report.provenance import made_from
from flopline.report.questions_view import question_columns, questions_view
from flopline.report.references import LATEX, PLAIN
from flopline.report.room import (
    MOST_FIGURE_BYTES,
    MOST_LAW_ROWS,
    MOST_TABLE_BYTES,
    elsewhere,
    in_room,
    law_rows,
    table_bytes,
)
from flopline.report.verdicts import Places, Tile, tiles
from flopline.schema import HELD_OUT, LOSS_LABEL
from flopline.study_document import StudyDocument
from flopline.verdict_scale import OF_FIT, style

PAGE_WIDTH_PT = 72 * PAGE_WIDTH_IN
"""Width of a page-wide figure."""

REPORT: Final = "report.html"
APPENDIX: Final = "appendix.html"
"""The two pages of a study, which lie in one folder."""

PLANNER_SCRIPTS: Final = ("planner_laws.js", "panels.js", "planner.js")
PANEL_SCRIPTS: Final = ("planner_laws.js", "panels.js", "panel_valleys.js", "panel_surface.js")
"""The scripts of the planner and of the interactive figures, as they build on each other."""

CHART: Final = ("losscompute",)
"""The figure beside the answer: the first of these that the study has."""
OF_A_WRONG_SIZE: Final = ("regret", "stakes")
"""The figures that show what a wrong size costs."""
EVIDENCE: Final = (
    ("isoflop", "envelope"),
    ("contours", "surface"),
    ("ladder",),
    OF_A_WRONG_SIZE,
)
"""The figures of evidence: of each group the first that the headline's family has."""

MOST_LINES: Final = 8
"""Recommended lines in sight; of more, those at the first target are, and all others folded."""
MOST_SILENT: Final = 3
"""Targets without an answer, other than the first, that the page tells of."""
CAPTION_WORDS: Final = 30
"""Words of a caption in sight; all else is folded."""


Figure = dict[str, Any]
"""A figure as a page shows it; see `_figure`."""


@dataclass(frozen=True, slots=True)
class FigureGroup:
    """The figures of one family (or, with an empty label, of all), folded or in sight."""

    id: str
    family: str
    folded: bool
    figures: Sequence[Figure]

    @property
    def drawn(self) -> int:
        """How many are shown; a sentence stands for each other."""
        return sum(not figure["instead"] for figure in self.figures)


NOT_JUDGED: Final = "Runs were held out of every fit, but no law could be judged by them."


@dataclass(frozen=True)
class ReportInputs:
    """Everything that the page shows; the page reads nothing else.

    study: title, name, synthetic, families {id: label}, params_convention, flops_convention,
        loss_split, points (final | checkpoints), targets [FLOPs], source, notes and, where there
        is one, description, loss_label, reporting, the groups of options and held_out, the rules
        that say which runs no fit sees.
    decision: one row per family, target, law and estimator, as decision.decide makes it: family,
        law, estimator, label, main, budget_flops, status, message, recommended, refused,
        extrapolation (budget over the largest training budget), below_data (the smallest one over
        the budget), held_out_steps and held_out_wasted_percent, cost_percent and cost_flops, and
        for every quantity q of schema.QUANTITIES the columns q, q_lo80, q_hi80, q_lo95, q_hi95.
    verdict: headline (family, law, estimator, budget_flops, warnings and estimates as of
        Estimate.to_json; None where every law failed), others (the same of the other families,
        where none is ranked), few_runs (families set beside the headline's law: sentence), rule
        (how the recommended line is chosen) and caveat, choices (per family and target: family,
        budget_flops, basis, short, sentence), agreement (also params_ratio, overlap and agree, None
        where fewer than two laws have a number), families (per target: short, sentence, winner,
        others, laws_agreeing, laws_compared; empty for one family).
    fits: {family: {law: FitResult.to_json()}}.
    runs, dropped: tables with the columns of schema.RUNS and schema.DROPPED.
    figures: mappings with name, family (its label or ""), section (a value of spec.Section, or any
        other), title, caption, svg (text) and alt, what it shows for those who cannot see it.
    provenance: files (path, sha256, bytes), versions {package: version}, seeds {name: seed},
        config (YAML), command, code (digest).
    audits: {family: {audit: Finding.to_json() with its tables under "tables"}}, empty where none
        was made.
    downloads: (href relative to the page, label, note) of files that lie beside the page.
    panels: what the interactive panels show, None for a page without them.
    grouped: the runs of the headline's family with the budgets that its law put them into, None
        where it is no law through the optima of budgets.
    """

    study: StudyDocument
    decision: pd.DataFrame
    verdict: VerdictJson
    fits: Mapping[str, FitsJson]
    runs: pd.DataFrame
    dropped: pd.DataFrame
    figures: Sequence[Mapping[str, str]]
    provenance: ProvenanceJson
    audits: Audits = field(default_factory=dict)
    downloads: Sequence[tuple[str, str, str]] = ()
    panels: Panels | None = None
    grouped: pd.DataFrame | None = None


def render(inputs: ReportInputs, template_dir: Path) -> str:
    """The page that is read first, as HTML: the answer, how sure it is, and what it rests on.

    The same bytes for the same inputs in any row order. `template_dir` holds report.html.j2,
    appendix.html.j2, style.css, tables.js and those of the panels. A page loads nothing from
    elsewhere: style and script stand in it, figures are data URIs.
    """
    return _rendered(inputs, _view(inputs), template_dir, REPORT)


def render_appendix(inputs: ReportInputs, template_dir: Path) -> str:
    """The second page: all other figures, every table, methods, checklist and inputs."""
    return _rendered(inputs, _view(inputs), template_dir, APPENDIX)


def render_both(inputs: ReportInputs, template_dir: Path) -> tuple[str, str]:
    """The page that is read first and its appendix, which link to each other by name."""
    view = _view(inputs)
    report, appendix = (_rendered(inputs, view, template_dir, name) for name in (REPORT, APPENDIX))
    return report, appendix


def _rendered(inputs: ReportInputs, view: Mapping[str, Any], template_dir: Path, name: str) -> str:
    """One of the two pages, with the style and the scripts that it needs."""
    behind = {} if name == REPORT else _appendix_view(inputs, view["behind"])
    page = _environment(template_dir).get_template(f"{name}.j2")
    return page.render(
        **{**view, **behind},
        other=APPENDIX if name == REPORT else REPORT,
        contents=_contents(view) if name == REPORT else _appendix_contents(view),
        style=_verbatim(template_dir / "style.css"),
        verdict_style=Markup(style()),  # noqa: S704 - of constants alone
        script=_verbatim(template_dir / "tables.js"),
        panels_style=_verbatim(template_dir / "panels.css"),
        planner_script=_scripts(template_dir, PLANNER_SCRIPTS, "Planner.make"),
        panels_script=_scripts(template_dir, PANEL_SCRIPTS, "Valleys.make, Surface.make"),
    )


def _scripts(template_dir: Path, names: Sequence[str], makers: str) -> Markup:
    """Scripts in the order in which they build on each other, and what they begin with."""
    parts = [_verbatim(template_dir / name) for name in names]
    return Markup("").join([*parts, Markup(f"Panels.start([{makers}]);\n")])  # noqa: S704


def _contents(view: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(anchor, label) of every section of the page, in their order."""
    sections = {
        "answer": "Answer",
        "sure": "How sure",
        "wrong": "If it is wrong",
        "targets": "All targets",
        "plan": "Planner",
        "evidence": "Evidence",
        "findings": "Findings",
        "data": "Data",
        "provenance": "Provenance",
    }
    absent = set()
    if not view["has_targets"]:
        absent.add("targets")
    if not view["panels"]:
        absent.add("plan")
    return [item for item in sections.items() if item[0] not in absent]


def _appendix_contents(view: Mapping[str, Any]) -> list[tuple[str, str]]:
    panels: Panels | None = view["panels"]
    sections = {"figures": "Figures", "explore": "Explore", "audit": "Audits", "laws": "Laws",
                "parameters": "Parameters", "fits": "Fits", "data-tables": "Data",
                "methods": "Methods", "checklist": "Checklist", "inputs": "Inputs"}  # fmt: skip
    drawn = panels is not None and (panels.has_valleys or panels.has_surfaces)
    return [item for item in sections.items() if item[0] != "explore" or drawn]


@cache
def _environment(template_dir: Path) -> Environment:
    """The templates of a folder, which are compiled once for all pages."""
    environment = Environment(
        loader=FileSystemLoader(template_dir),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["sentence"] = sentence
    environment.filters["head_and_rest"] = head_and_rest
    environment.filters["of_fit"] = _class_of_fit
    return environment


def _class_of_fit(status: str) -> str:
    """The class of the verdict on a fit; none where there is no fit."""
    return OF_FIT[status].css if status else ""


def methods_files(inputs: ReportInputs) -> dict[str, str]:
    """The page's methods as files for a paper: plain text, LaTeX (natbib) and BibTeX by ending."""
    written = written_methods(inputs)
    return {
        "txt": as_text(written, PLAIN),
        "tex": as_text(written, LATEX),
        "bib": methods_bibtex(written),
    }


def written_methods(inputs: ReportInputs) -> list[Method]:
    """What was done, by heading, as the page and its files tell it."""
    families = inputs.study["families"]
    unjudged = NOT_JUDGED if inputs.study.get("held_out") else ""
    return methods(
        {**inputs.study, "loss_label": str(inputs.study.get("loss_label") or LOSS_LABEL)},
        inputs.fits,
        inputs.runs,
        inputs.verdict["rule"],
        provenance=inputs.provenance,
        variants=_variants(inputs.decision),
        held_out=held_out_sentence(inputs.audits, families) or unjudged,
    )


def _between(verdict: VerdictJson) -> list[str]:
    """How the families compare at each target; that they are not ranked is said once."""
    few = [entry["sentence"] for entry in verdict.get("few_runs", ())]
    return list(dict.fromkeys([*(entry["sentence"] for entry in verdict["families"]), *few]))


def _view(inputs: ReportInputs) -> dict[str, Any]:
    """All that the two pages show, in words."""
    families = inputs.study["families"]
    label = str(inputs.study.get("loss_label") or LOSS_LABEL)
    study: StudyDocument = {**inputs.study, "loss_label": label}
    decision = ordered(inputs.decision, families)
    laws = law_tables(
        decision, families, inputs.verdict, fit_ids(inputs.fits, families), other_splits(study)
    )
    head = headline(inputs.verdict, decision, families)
    silences = _silences(inputs.verdict, study)
    quiet = silences[0]["family"] if silences else next(iter(families))
    first = head.family_id if head else quiet
    chart, evidence, others = _figures(inputs.figures, families[first])
    groups, without_figures = in_room(
        _grouped(others, families[first]),
        lambda group: sum(len(figure["src"]) for figure in group.figures),
        MOST_FIGURE_BYTES,
    )
    more = sum(group.drawn for group in groups)
    audits = audit_views(inputs.audits, families, first)
    audited = next((view for view in audits if view.family == families[first]), None)
    of_first = next((table for table in laws if table.family == first), None)
    budget = head.budget_flops if head else float(study["targets"][0])
    at = of_first.target(budget) if of_first else "laws"
    spent, unit = spends_budget(decision), stated_unit(study)
    shown = [*([chart] if chart else []), *evidence]
    of_audits = audit_places(audited, [*shown, *others])
    on_page = {f"#{figure['id']}" for figure in shown}
    placed = {name: _place(anchor, on_page) for name, anchor in of_audits.items()}
    places = _places(f"{APPENDIX}#{at}", placed, chart, evidence)
    rows = decision[(decision["family"] == first) & np.isclose(decision["budget_flops"], budget)]
    grounds = Evidence(
        rows, inputs.fits.get(first, {}), inputs.audits.get(first, {}),
        inputs.runs[inputs.runs["family"] == first], places, other_splits(study),
        inputs.grouped,
    )  # fmt: skip
    lines = recommended(laws)
    stated = inputs.verdict["headline"]
    law = stated["law"] if stated else ""
    in_sight, folded = _targets(lines, families[first], budget)
    between = _between(inputs.verdict)
    counted = counted_apart(inputs.runs, families)
    captions = [figure["caption"] for figure in shown]
    silent = silent_lines(inputs.verdict, families) if head else []
    silent += silent_lines(inputs.verdict, families, at_first=False)[:MOST_SILENT]
    of_families = family_lines(inputs.verdict, families) if head else []
    beside = [line for line in of_families if line not in between]
    return {
        "study": study,
        "panels": inputs.panels,
        "behind": Behind(study, laws, audits, groups, without_figures),
        "description": study.get("description") or "",
        "is_training_loss": study["loss_split"] == "train",
        "headline": head,
        "answer": answered(head, inputs.verdict, grounds, study)
        if head
        else unanswered(silences, families, study),
        "next_run": next_run(grounds, law, budget) if head else None,
        "places": places,
        "chart": chart,
        "evidence": evidence,
        "more_figures": count(more, "more figure") if more else "",
        "mfu_percent": MFU_PERCENT,
        "intervals": interval_note(inputs.verdict),
        "silent": silent,
        "not_fitted": inputs.verdict.get("not_fitted", ()),
        "rule": inputs.verdict["rule"],
        "caveat": inputs.verdict.get("caveat", ""),
        "between": [*between[:1], *([counted] if counted else [])],
        "more_between": between[1:],
        "beside": beside,
        "has_targets": len(lines) > (1 if head else 0) or bool(between or beside or silent),
        "tiles": _without_repeats(
            tiles(
                inputs.verdict,
                decision,
                inputs.fits,
                inputs.runs,
                len(inputs.dropped),
                inputs.audits.get(first, {}),
                Places(places["laws"], placed, APPENDIX, families),
            ),
            [part for text in (*between, *captions) for part in sentences_of(text)],
        ),
        "questions": questions_view(inputs.verdict.get("questions", ()), families),
        "question_columns": question_columns(unit),
        "quantities": quantity_views(label, spent, unit),
        "recommended": in_sight,
        "more_recommended": folded,
        "recommended_csv": decision_csv(decision[decision["recommended"].astype(bool)]),
        "hygiene_sentence": hygiene_sentence(inputs.runs),
        "downloads": inputs.downloads,
        "provenance": inputs.provenance,
        "made_from": made_from(inputs.provenance),
    }


@dataclass(frozen=True, slots=True)
class Behind:
    """What the appendix takes over from the view of the page."""

    study: StudyDocument
    laws: Sequence[FamilyLaws]
    audits: Sequence[AuditView]
    figure_groups: Sequence[FigureGroup]
    without_figures: Sequence[FigureGroup]


def _appendix_view(inputs: ReportInputs, behind: Behind) -> dict[str, Any]:
    """All that the appendix shows beside what `_view` holds."""
    study, families = behind.study, inputs.study["families"]
    unit = stated_unit(study)
    written = written_methods(inputs)
    audited, without_tables = in_room(
        behind.audits, lambda view: sum(map(table_bytes, view.tables)), MOST_TABLE_BYTES
    )
    laws, without_laws = in_room(behind.laws, law_rows, MOST_LAW_ROWS)
    return {
        "audits": behind.audits,
        "audited": audited,
        "laws": laws,
        "without_laws": without_laws,
        "elsewhere": {
            "figures": elsewhere(behind.without_figures, "figures", "figures/, beside it"),
            "tables": elsewhere(without_tables, "tables", "audit/<family>/tables/, beside it"),
            "laws": elsewhere(without_laws, "lines", "decision.csv, beside it"),
        },
        "spends_budget": spends_budget(inputs.decision),
        "resampled": resampled_words(inputs.fits, families),
        "figure_groups": behind.figure_groups,
        "exponents": exponents(inputs.fits, families),
        "exponents_csv": exponents_csv(inputs.fits, families),
        "fits": fit_views(inputs.fits, families, unit, inputs.audits),
        "fits_csv": fits_csv(inputs.fits, families),
        "hygiene": hygiene(inputs.runs, inputs.dropped, study),
        "methods": paragraphs(written),
        "methods_plain": text_file(as_text(written, PLAIN)),
        "methods_latex": text_file(as_text(written, LATEX)),
        "bibtex": text_file(methods_bibtex(written)),
        "checklist": checklist_view(
            checklist(
                study,
                inputs.fits,
                inputs.runs,
                len(inputs.dropped),
                paragraphs(written),
                inputs.audits,
                inputs.provenance,
            )
        ),
        "seeds": [(name, value_text(seed)) for name, seed in inputs.provenance["seeds"].items()],
        "files": _files(inputs.provenance["files"]),
    }


def _targets(
    rows: Sequence[LawRow], family: str, budget: float
) -> tuple[list[LawRow], list[LawRow]]:
    """The recommended lines in sight and those that are folded: all but `budget` where many.

    Those of the `family` with the headline come first, and of each family that at `budget`.
    """
    label = flops_label(budget)
    rows = sorted(rows, key=lambda row: row.family != family)
    order = list(dict.fromkeys(row.family for row in rows))
    rows = sorted(rows, key=lambda row: (order.index(row.family), row.budget != label))
    if len(rows) <= MOST_LINES:
        return rows, []
    return [r for r in rows if r.budget == label], [r for r in rows if r.budget != label]


def _without_repeats(tiles: Sequence[Tile], sentences: Collection[str]) -> list[Tile]:
    """The tiles, without details that stand elsewhere on the page already."""
    return [
        replace(tile, detail="") if set(sentences_of(tile.detail)) & set(sentences) else tile
        for tile in tiles
    ]


def _silences(verdict: VerdictJson, study: StudyDocument) -> list[SilenceJson]:
    """What is said of the families that say no size at the first target."""
    target = float(study["targets"][0])
    return [s for s in verdict["silent"] if math.isclose(s["budget_flops"], target)]


def _place(anchor: str, on_page: Collection[str]) -> str:
    return anchor if anchor in on_page else f"{APPENDIX}{anchor}"


def _places(
    laws: str, of_audits: Mapping[str, str], chart: Figure | None, evidence: Sequence[Figure]
) -> dict[str, str]:
    """Where the evidence of the answer stands, by what it shows."""
    drawn = {figure["name"]: f"#{figure['id']}" for figure in evidence}
    return {
        "laws": laws,
        "chart": f"#{chart['id']}" if chart else laws,
        "ladder": of_audits.get("ladder", f"{APPENDIX}#audit"),
        "unseen": of_audits.get(HELD_OUT, f"{APPENDIX}#audit"),
        "size": next((drawn[name] for name in OF_A_WRONG_SIZE if name in drawn), laws),
        "optima": drawn.get("isoflop", laws),
        "next_run": of_audits.get("next_run", f"{APPENDIX}#audit"),
        "hygiene": of_audits.get("hygiene", f"{APPENDIX}#audit"),
        "methods": f"{APPENDIX}#methods",
        "fit": f"{APPENDIX}#fits",
    }


def _figures(
    figures: Sequence[Mapping[str, str]], first: str
) -> tuple[Figure | None, list[Figure], list[Figure]]:
    """The chart, the figures of evidence and those of the appendix, numbered, at one scale.

    The first two are of the family labelled `first`. In the appendix those of all families come
    first, then that family's, then the others; in each the laws before the audits before all other
    sections. The chart is as wide as its place, each other as wide as it is beside a page-wide one,
    or the widest.
    """
    sections = list(dict.fromkeys(["laws", "audit", *(_section(f) for f in figures)]))

    def place(figure: Mapping[str, str]) -> tuple[bool, bool, int]:
        family = figure["family"]
        return family != "", family != first, sections.index(_section(figure))

    families = list(dict.fromkeys(f["family"] for f in figures))
    kept = sorted(figures, key=lambda f: (place(f)[:2], families.index(f["family"]), place(f)))
    known = {f["name"]: f for f in reversed(kept) if f["family"] in ("", first)}
    chart = [known[name] for name in CHART if name in known][:1]
    evidence = [f for group in EVIDENCE for f in [known[n] for n in group if n in known][:1]]
    others = [f for f in kept if not any(f is one for one in (*chart, *evidence))]
    in_order = [*chart, *evidence, *others]
    widths = [_width(figure["svg"]) for figure in in_order]
    widest = max([PAGE_WIDTH_PT, *widths])
    made: list[dict[str, Any]] = [
        {**_figure(figure, i, families), "share": f"{width / widest if i > len(chart) else 1:.3f}"}
        for i, (figure, width) in enumerate(zip(in_order, widths, strict=True), start=1)
    ]
    drawn = (figure for figure in made if not figure["instead"])
    for number, figure in enumerate(drawn, start=1):
        figure["number"] = str(number)
    split = len(chart) + len(evidence)
    # The numbers beside the chart say what it shows.
    for figure in made[: len(chart)]:
        figure["how"], figure["caption"] = f"{figure['caption']} {figure['how']}".strip(), ""
    return made[0] if chart else None, made[len(chart) : split], made[split:]


def _section(figure: Mapping[str, str]) -> str:
    return figure.get("section", "laws")


def _grouped(figures: Sequence[Figure], first: str) -> list[FigureGroup]:
    """The figures family by family; those of other families than `first` are folded."""
    groups: dict[str, list[Figure]] = {}
    for figure in figures:
        groups.setdefault(figure["family"], []).append(figure)
    return [
        FigureGroup(f"figures-{i}", family, family not in ("", first), inside)
        for i, (family, inside) in enumerate(groups.items(), start=1)
    ]


def _width(svg: str) -> float:
    """The width in points that an SVG declares; that of a page where it declares none."""
    match = re.search(r'<svg[^>]*\swidth="([0-9.]+)', svg)
    return float(match[1]) if match else PAGE_WIDTH_PT


def _figure(figure: Mapping[str, str], index: int, families: Sequence[str]) -> dict[str, Any]:
    """A figure as an <img>: a data URI keeps the ids of one SVG from clashing with another's."""
    encoded = base64.b64encode(figure["svg"].encode()).decode("ascii")
    title = f"{figure['title']}, {figure['family']}" if figure["family"] else figure["title"]
    caption, how = _in_sight(figure["alt"], figure["caption"])
    return {
        "id": f"figure-{figure['name']}-{families.index(figure['family'])}-{index}",
        "name": figure["name"],
        "family": figure["family"],
        "title": title,
        "caption": caption,
        "how": how,
        "alt": f"{title}. {figure['alt']}",
        "src": f"data:image/svg+xml;base64,{encoded}",
        "follows_mode": "prefers-color-scheme" in figure["svg"],
        "instead": figure.get("instead", ""),
    }


def _in_sight(alt: str, caption: str) -> tuple[str, str]:
    """What a figure shows, in at most CAPTION_WORDS words; how to read it, which is folded.

    The first is of `alt`, which says the finding, or of the caption where that is too long.
    """
    for text in (alt, caption):
        parts = sentences_of(text)
        words = np.cumsum([len(part.split()) for part in parts])
        shown = " ".join(parts[: int((words <= CAPTION_WORDS).sum())])
        if not shown and len(gist(text).split()) <= CAPTION_WORDS:
            shown = gist(text)
        if shown:
            how = [part for part in sentences_of(caption) if part not in sentences_of(shown)]
            return shown, " ".join(how)
    return "", caption


def _variants(decision: pd.DataFrame) -> dict[str, list[str]]:
    """The estimators that stand beside the main line of each law."""
    beside = decision[~decision["main"].to_numpy(dtype=bool)]
    grouped = beside.groupby("law", sort=True)["estimator"]
    return {str(law): sorted(set(names)) for law, names in grouped}


def _files(files: Sequence[InputFileJson]) -> DataTable | None:
    if not files:
        return None
    specs = (
        ColumnSpec("path", "File", style="path"),
        ColumnSpec("bytes", "Bytes", lambda x: count(int(x)), unit="bytes"),
        ColumnSpec("sha256", "SHA-256", style="hash"),
    )
    size = sum(int(f["bytes"]) for f in files)
    caption = f"{count(len(files), 'input file')}, {count(size, 'byte')}"
    return data_table("table-files", caption, pd.DataFrame(list(files)), specs)


def _verbatim(path: Path) -> Markup:
    """A style sheet or script of this project, which autoescaping would break."""
    return Markup(path.read_text(encoding="utf-8"))  # noqa: S704 - files of this project alone
