"""The reporting checklist of scaling-law studies, answered from what was actually run.

Its four parts and their order are those of Li et al. 2025, arXiv 2502.18969 (hypothesis, training
setup, data collection, fitting); the questions are put in our own words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from flopline.documents import ProvenanceJson
from flopline.laws.common.fit_result import CONVERGED, FAILED
from flopline.laws.spec import LawSpec, Points, spec_of
from flopline.loss_units import stated_unit, words
from flopline.numbers import count, flops_label, humanise
from flopline.report.audit_views import Audits
from flopline.report.fit_views import Fits, each_fit
from flopline.report.formatting import gist
from flopline.report.html_tables import Csv, csv_file
from flopline.report.methods import FLOPS, NOTHING_HELD_OUT, PARAMS, Method
from flopline.report.references import read_as
from flopline.schema import HELD_OUT, KEPT, QUARANTINED
from flopline.study_document import StudyDocument
from flopline.verdict_scale import Verdict

ANSWERED, UNKNOWN = "answered", "not known here"

PARTS: Final = ("Hypothesis", "Training setup", "Data collection", "Fitting")


@dataclass(frozen=True, slots=True)
class Item:
    """A question of the checklist; `hint` says how an unknown answer can be given."""

    part: str
    question: str
    answer: str
    state: str
    hint: str = ""

    @property
    def verdict(self) -> Verdict:
        """An answer is good; a question without one was not checked."""
        return Verdict.GOOD if self.state == ANSWERED else Verdict.NOT_CHECKED


@dataclass(frozen=True, slots=True)
class ChecklistView:
    """The checklist as the page shows it."""

    parts: Sequence[tuple[str, Sequence[Item]]]
    summary: str
    csv: Csv


def checklist(
    study: StudyDocument,
    fits: Fits,
    runs: pd.DataFrame,
    dropped_rows: int,
    written: Mapping[str, str],
    audits: Audits,
    provenance: ProvenanceJson,
) -> list[Item]:
    """Every item, in the order of PARTS.

    study, fits, runs, audits, provenance: as in ReportInputs; `written` holds the paragraphs of
    the methods by heading, in plain text, so that both say the same.

    Returns answered items and open ones alike; an open one says how to answer it.
    """
    kept = runs[runs["status"] == KEPT]
    return [
        *_hypothesis(study, fits),
        *_training(study, kept, audits),
        *_collection(study, fits, runs, dropped_rows),
        *_fitting(study, fits, written, audits, provenance),
    ]


def checklist_view(items: Sequence[Item]) -> ChecklistView:
    """The items by part, with how many are answered and all of them as a CSV."""
    answered = sum(item.state == ANSWERED for item in items)
    frame = pd.DataFrame(
        [(i.part, i.question, i.state, i.answer, i.hint) for i in items],
        columns=["part", "question", "state", "answer", "where to state it"],
    )
    return ChecklistView(
        parts=[(part, [item for item in items if item.part == part]) for part in PARTS],
        summary=f"{answered} of {count(len(items), 'item')} answered",
        csv=csv_file(frame, dict.fromkeys(frame, "")),
    )


def paragraphs(items: Sequence[Method]) -> dict[str, str]:
    """The methods' paragraphs by heading, in plain text."""
    return {item.term: read_as(item.paragraph) for item in items}


def _hypothesis(study: StudyDocument, fits: Fits) -> Iterator[Item]:
    part = PARTS[0]
    laws = dict.fromkeys(law for _, law, _ in each_fit(fits, study["families"]))
    forms = "; ".join(f"{spec_of(law).title}: {spec_of(law).formula}" for law in laws)
    yield _item(part, "Which laws are fitted, and in which form?", forms)
    yield _item(
        part,
        "Which quantities do they relate, in which units?",
        "Params N in weights, tokens D, training compute C in FLOPs, loss L in "
        f"{words(stated_unit(study))}: {study.get('loss_label') or study['loss_split']}.",
    )
    targets = ", ".join(flops_label(c) for c in study["targets"])
    yield _item(
        part,
        "What are they to decide or predict?",
        f"N, D and the loss at {targets} FLOPs, for "
        f"{' and '.join(str(label) for label in study['families'].values())}.",
    )


def _training(study: StudyDocument, kept: pd.DataFrame, audits: Audits) -> Iterator[Item]:
    part = PARTS[1]
    yield _item(
        part,
        "How many models were trained, and how large are they?",
        _span(kept, "params", humanise, f"{count(len(kept), 'run')} kept, params N"),
    )
    yield _item(
        part,
        "On how many tokens, and how many per param?",
        _span(kept, "tokens", humanise, "Tokens D")
        + (f" {_ends(kept['tokens'] / kept['params'], humanise)} per param." if len(kept) else ""),
    )
    yield _item(part, "How is model size counted?", _params(study))
    yield _item(part, "How is compute counted?", _flops(study))
    yield _reported(
        part, "Which architecture, and how does it grow with size?", study, "architecture"
    )
    yield _reported(part, "Which training data, and how were they filtered?", study, "data")
    yield _reported(part, "Which tokenizer?", study, "tokenizer")
    yield _item(part, "Were data repeated?", _repeated(kept), "`unique_tokens` in the run table")
    yield _reported(part, "Which optimiser?", study, "optimiser")
    yield _reported(
        part, "How were learning rate and batch size chosen at each size?", study, "hyperparameters"
    )
    yield _reported(part, "Which learning-rate schedule?", study, "schedule")
    yield _item(
        part,
        "Does every schedule end where its run ends?",
        _horizons(study, kept),
        "`horizon_tokens` in the run table",
    )
    yield _item(part, "Were runs repeated with other seeds?", _seeds(kept), "`seed` in the data")
    yield _item(
        part, "Were all runs trained alike?", _finding(audits, study["families"], "hygiene")
    )
    yield _reported(part, "On which hardware, in which precision?", study, "hardware")


def _collection(
    study: StudyDocument, fits: Fits, runs: pd.DataFrame, dropped_rows: int
) -> Iterator[Item]:
    part = PARTS[2]
    yield _reported(part, "On which data is the loss measured?", study, "evaluation")
    sources = runs.loc[runs["status"] == KEPT, "loss_source"].dropna().unique()
    read = f" read as: {', '.join(sorted(map(str, sources)))}." if len(sources) else ""
    laws = dict.fromkeys(law for _, law, _ in each_fit(fits, study["families"]))
    takes = "; ".join(f"{spec_of(law).title}: {_points(spec_of(law), study)}" for law in laws)
    yield _item(
        part,
        "Which losses become points: final ones or those of checkpoints?",
        f"{takes}. Final losses are of split {study['loss_split']},{read}" if takes else "",
    )
    smoothed = [
        f"{spec_of(law).title}: window of {fit['settings']['smoothing_steps']} steps"
        for _, law, fit in each_fit(fits, study["families"])
        if fit["settings"].get("smoothing_steps")
    ]
    yield _item(
        part,
        "Were losses smoothed or interpolated?",
        f"{'; '.join(dict.fromkeys(smoothed))}." if smoothed else "No smoothing.",
    )
    sizes = "; ".join(
        f"{study['families'].get(family, family)}, {spec_of(law).title}: "
        f"{count(int(fit['n_points']), 'point')} of {count(int(fit['n_runs']), 'run')}"
        for family, law, fit in each_fit(fits, study["families"])
    )
    yield _item(part, "How many points enter each fit?", sizes)
    status = runs["status"]
    yield _item(
        part,
        "What was left out, and why?",
        f"{count(int((status == QUARANTINED).sum()), 'run')} set aside, "
        f"{int((status == HELD_OUT).sum()):,} held out, {count(dropped_rows, 'row')} dropped; "
        "each is listed with its reason under Data.",
    )


def _fitting(
    study: StudyDocument,
    fits: Fits,
    written: Mapping[str, str],
    audits: Audits,
    provenance: ProvenanceJson,
) -> Iterator[Item]:
    """Items on how the laws were fitted and tested.

    Returns them in the order in which they are asked.
    """
    part = PARTS[3]
    laws = " ".join(text for term, text in written.items() if term.endswith(" law"))
    yield _item(part, "What is minimised, by which algorithm, from which starts?", laws)
    states = [fit["status"] for _, _, fit in each_fit(fits, study["families"])]
    yield _item(
        part,
        "Did every fit converge?",
        f"{states.count(CONVERGED)} of {count(len(states), 'fit')} converged without a warning, "
        f"{states.count(FAILED)} failed; the certificates stand under Fits."
        if states
        else "",
    )
    yield _item(part, "How sure are the estimates?", written.get("Uncertainty", ""))
    held = " ".join(_finding(audits, study["families"], name) for name in ("ladder", "held_out"))
    yield _item(
        part,
        "Was the law tested on runs that it was not fitted to?",
        held.strip() or written.get("Held-out test", NOTHING_HELD_OUT),
    )
    yield _item(
        part,
        "Can the data tell the parameters apart?",
        _finding(audits, study["families"], "identifiability"),
    )
    yield _item(
        part,
        "How much do the results depend on the choices made?",
        _finding(audits, study["families"], "sensitivity"),
    )
    yield _item(
        part,
        "Are parameters reported in full precision?",
        "Yes: the CSV of each table holds every digit." if states else "",
    )
    versions = ", ".join(f"{k} {v}" for k, v in (provenance.get("versions") or {}).items())
    yield _item(part, "Which software analysed the runs?", versions)
    yield _reported(part, "Are code and data public?", study, "code")


def _item(part: str, question: str, answer: str, hint: str = "") -> Item:
    return Item(part, question, answer, ANSWERED if answer else UNKNOWN, "" if answer else hint)


def _reported(part: str, question: str, study: StudyDocument, key: str) -> Item:
    """What only the people of the study know, from `reporting` in the study file."""
    answer = str((study.get("reporting") or {}).get(key, "")).strip()
    return _item(part, question, answer, f"`reporting.{key}` in the study file")


def _finding(audits: Audits, families: Mapping[str, str], name: str) -> str:
    return " ".join(
        f"{label}: {gist(audits[family][name]['sentence'])}"
        for family, label in families.items()
        if name in audits.get(family, {})
    )


def _points(spec: LawSpec, study: StudyDocument) -> str:
    """What a law is fitted to."""
    if spec.points is Points.CURVES:
        return f"the training curve of each run, split {spec.split(study)}"
    every = spec.points is Points.STUDY and study["points"] == "checkpoints"
    share = (study.get(spec.name) or {}).get("checkpoints_from", 0)  # type: ignore[attr-defined]
    after = f" from {share:.3g} of its tokens on" if every and share else ""
    return f"{'every logged' if every else 'the final'} loss of each run{after}"


def _params(study: StudyDocument) -> str:
    name = study["params_convention"]
    return f"{name}: {PARAMS[name]}." if name in PARAMS else str(name)


def _flops(study: StudyDocument) -> str:
    name = study["flops_convention"]
    return f"{name}: {read_as(FLOPS[name])}." if name in FLOPS else str(name)


def _ends(values: pd.Series, label: Any) -> str:
    return f"{label(values.min())} to {label(values.max())}"


def _span(kept: pd.DataFrame, column: str, label: Any, what: str) -> str:
    return f"{what} from {_ends(kept[column], label)}." if len(kept) else ""


def _repeated(kept: pd.DataFrame) -> str:
    known = kept[kept["unique_tokens"].notna()]
    if known.empty:
        return ""
    epochs = known["tokens"] / known["unique_tokens"]
    return f"{count(len(known), 'run')} with known unique tokens: {_ends(epochs, humanise)} epochs."


def _horizons(study: StudyDocument, kept: pd.DataFrame) -> str:
    known = int(kept["horizon_tokens"].notna().sum())
    if not known:
        return ""
    least = study.get("cleaning", {}).get("unfinished")
    kept_from = f" Runs that end before {100 * least:.3g} % of it are set aside." if least else ""
    return f"The planned end is known of {known:,} of {count(len(kept), 'run')}.{kept_from}"


def _seeds(kept: pd.DataFrame) -> str:
    known = kept[kept["seed"].notna()]
    if known.empty:
        return ""
    groups = known.groupby(["family", "params", "tokens"])["seed"].nunique()
    return (
        f"{count(int(known['seed'].nunique()), 'seed')} in all; "
        f"{count(int((groups > 1).sum()), 'setting')} of size and tokens with more than one."
    )
