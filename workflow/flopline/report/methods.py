"""The methods of a study as running text, ready for a paper, with the settings that were used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from flopline.documents import FitJson, ProvenanceJson
from flopline.laws.common.methods_text import Settings
from flopline.laws.spec import resolved, spec_of
from flopline.loss_units import stated_unit, words
from flopline.numbers import count, flops_label, humanise, number
from flopline.report.fit_views import Fits, each_fit
from flopline.report.formatting import flat, value_text
from flopline.report.references import LATEX, PLAIN, bibtex, cited, listed, quoted, read_as
from flopline.schema import HELD_OUT, KEPT, LEVELS, QUARANTINED
from flopline.study_document import StudyDocument

PARAMS: Final = {
    "total": "all weights, embeddings included",
    "non_embedding": "all weights but the embeddings",
    "active": "the weights that are active for a token",
    "decoder": "the weights of the decoder",
}
FLOPS: Final = {
    "six_nd": "$C = 6ND|C = 6ND$, six FLOPs per weight and token [@kaplan2020]",
    "six_nd_total": "$C = 6ND|C = 6ND$ with N counted with embeddings [@kaplan2020]",
    "kaplan_nonemb": "$C = 6ND|C = 6ND$ with N counted without embeddings [@kaplan2020]",
    "six_nd_attention": "6ND and the FLOPs of attention [@chowdhery2022, appendix B]",
    "hoffmann_app_f": "counted layer by layer [@hoffmann2022, appendix F, as written]",
    "hoffmann_table_a4": (
        "counted layer by layer without embedding and logits [@hoffmann2022, as in Table A4]"
    ),
    "deepseek_m": "non-embedding FLOPs per token times tokens [@deepseek2024]",
    "gemstones": "counted layer by layer [@mcleish2025]",
    "per_token": "tokens times the FLOPs per token that the run table gives",
    "supplied": "as supplied with the data",
}
RESAMPLED: Final = {
    "pairs": "runs drawn with replacement",
    "wild": "residuals of the fit with random signs, one sign for all rows of a run",
}
"""How draws are made, by the method; a law may have a way of its own."""
NOTHING_HELD_OUT: Final = "No run was held out: how well the laws extrapolate was not tested here."
PACKAGES: Final = {"snakemake": "molder2021", "numpy": "harris2020", "scipy": "virtanen2020"}
"""Works to cite for the packages that a result rests on."""


@dataclass(frozen=True, slots=True)
class Method:
    """One heading of the methods and its paragraph, marked up as `references` says."""

    term: str
    paragraph: str


def methods(
    study: StudyDocument,
    fits: Fits,
    runs: pd.DataFrame,
    rule: str,
    *,
    provenance: ProvenanceJson | None = None,
    variants: Mapping[str, Sequence[str]] | None = None,
    held_out: str = "",
) -> list[Method]:
    """The methods by heading.

    study: as in ReportInputs; fits: {family: {law: FitResult.to_json()}}; runs: with the columns
    of schema.RUNS; rule: how the recommended line is chosen, from the decision; provenance: as in
    ReportInputs, for versions, seeds and digest; variants: {law: estimators beside the main one};
    held_out: what the held-out test found.

    Returns only methods that have something to say.
    """
    items = [
        Method("Data", " ".join(_data(study, runs))),
        Method("Cleaning", " ".join(_cleaning(study.get("cleaning", {}), runs))),
        Method("Model size, compute and loss", " ".join(_conventions(study))),
        *_laws(study, fits, variants or {}),
        Method("Uncertainty", " ".join(_uncertainty(fits, study))),
        Method("Held-out test", _sentence(quoted(held_out or NOTHING_HELD_OUT))),
        Method("Choice between the laws", _sentence(quoted(rule))),
        Method("Software", " ".join(_software(provenance or {}))),
        Method("Notes", " ".join(_sentence(quoted(note)) for note in study.get("notes", ()))),
    ]
    return [item for item in items if item.paragraph]


def methods_text(
    study: StudyDocument,
    fits: Fits,
    runs: pd.DataFrame,
    rule: str,
    *,
    provenance: ProvenanceJson | None = None,
    variants: Mapping[str, Sequence[str]] | None = None,
    held_out: str = "",
    form: str = PLAIN,
) -> str:
    """The methods as one text: `plain` with a list of references, or `latex` for natbib.

    Takes what `methods` takes. Raises FloplineError for another form.
    """
    items = methods(
        study, fits, runs, rule, provenance=provenance, variants=variants, held_out=held_out
    )
    return as_text(items, form)


def as_text(items: Sequence[Method], form: str = PLAIN) -> str:
    """Methods by heading as one text, `plain` or `latex`."""
    head = "\\paragraph{{{}.}} {}\n" if form == LATEX else "{}. {}\n"
    text = "\n".join(head.format(m.term, read_as(m.paragraph, form)) for m in items)
    if form == PLAIN and cited_keys(items):
        text += "\n" + "\n".join(["References", *listed(cited_keys(items))]) + "\n"
    return text


def cited_keys(items: Sequence[Method]) -> list[str]:
    """The keys of the works that these methods cite, each once."""
    return cited(" ".join(m.paragraph for m in items))


def methods_bibtex(items: Sequence[Method]) -> str:
    """BibTeX entries of exactly the works that these methods cite."""
    return bibtex(cited_keys(items))


def _data(study: StudyDocument, runs: pd.DataFrame) -> Iterator[str]:
    labels = [quoted(label) for label in study["families"].values()]
    kept = runs[runs["status"] == KEPT]
    held, aside = (int((runs["status"] == status).sum()) for status in (HELD_OUT, QUARANTINED))
    made = "simulated training run" if study.get("synthetic") else "training run"
    families = "one model family" if len(labels) == 1 else f"{len(labels)} model families"
    yield f"We analysed {count(len(runs), made)} of {families}: {', '.join(labels)}."
    yield f"{len(kept):,} were kept, {aside:,} set aside and {held:,} held out from every fit."
    if len(kept):
        spans = (
            f"{name} from {label(kept[column].min())} to {label(kept[column].max())}"
            for column, name, label in (
                ("params", "params N", humanise),
                ("tokens", "tokens D", humanise),
                ("flops", "training compute C", flops_label),
            )
        )
        yield f"The kept runs span {', '.join(spans)} FLOPs."


def _cleaning(cleaning: Mapping[str, Any], runs: pd.DataFrame) -> Iterator[str]:
    rows_in, lost = int(runs["rows_in"].sum()), int(runs["rows_dropped"].sum())
    yield (
        f"Of {count(rows_in, 'logged row')}, {lost:,} were dropped, each listed with its reason."
    )
    if not cleaning:
        return
    yield (
        "A row that cannot be read, or whose loss is no positive finite number, "
        + ("stops the analysis." if cleaning["bad_rows"] == "error" else "is dropped.")
    )
    yield (
        "Where a run was restarted, the later attempt counts; runs whose restarts disagree by more "
        f"than {100 * cleaning['overlap_tolerance']:.3g} % at the median are set aside."
    )
    spikes = "dropped" if cleaning["spikes"] == "drop" else "counted and kept"
    yield (
        f"Losses more than {number(cleaning['spike_threshold'])} robust standard deviations above "
        f"their running median are {spikes}."
    )
    yield (
        f"Runs that end before {100 * cleaning['unfinished']:.3g} % of their planned tokens, or "
        f"whose final loss is {100 * cleaning['diverged']:.3g} % above their own lowest, are set "
        "aside."
    )
    window = cleaning["final_window"]
    yield (
        f"The final loss is the mean over the last {100 * window:.3g} % of a run's tokens."
        if window
        else "The final loss is the last one logged."
    )


def _conventions(study: StudyDocument) -> Iterator[str]:
    params, flops = study["params_convention"], study["flops_convention"]
    yield f"Model size N counts {PARAMS.get(params, quoted(params))}."
    yield f"Training compute C: {FLOPS.get(flops, quoted(flops))}."
    split = quoted(study["loss_split"])
    yield f"The loss L is the cross-entropy of split {split}, in {words(stated_unit(study))}."


def _laws(
    study: StudyDocument, fits: Fits, variants: Mapping[str, Sequence[str]]
) -> Iterator[Method]:
    """A heading per law; families whose settings differ each have their own sentences."""
    by_law: dict[str, dict[str, list[str]]] = {}
    for family, law, fit in each_fit(fits, study["families"]):
        paragraph = law_paragraph(law, fit, study, variants.get(law, ()))
        label = quoted(study["families"].get(family, family))
        by_law.setdefault(law, {}).setdefault(paragraph, []).append(label)
    for law, paragraphs in by_law.items():
        one = len(paragraphs) == 1
        paragraphs_of_law = (
            p if one else f"{', '.join(who)}: {p}" for p, who in paragraphs.items()
        )
        yield Method(heading(law), " ".join(paragraphs_of_law))


def heading(law: str) -> str:
    """The heading of a law's paragraph."""
    return f"{spec_of(law).title} law"


def law_paragraph(
    law: str, fit: FitJson, study: StudyDocument, variants: Sequence[str] = ()
) -> str:
    """One law in running text, marked up as `references` says.

    `fit` is a FitResult.to_json(), `variants` the estimators that stand beside the main one. A
    setting that no sentence tells stands by its own name, so that none is left out.
    """
    settings = Settings(fit["settings"])
    sentences = [*resolved(spec_of(law).methods)(settings, fit, study, variants)]
    rest = "; ".join(f"{label} {value_text(v, k)}" for label, k, v in flat(settings.unused()))
    if rest:
        sentences.append(f"Further settings: {quoted(rest)}.")
    return " ".join(filter(None, sentences))


def _uncertainty(fits: Fits, study: StudyDocument) -> Iterator[str]:
    levels = " and ".join(str(level) for level in LEVELS)
    yield f"Intervals are {levels} % percentile intervals of a bootstrap that takes runs whole."
    laws_by_line: dict[str, list[str]] = {}
    sources: dict[str, str] = {}
    for _, law, fit in each_fit(fits, study["families"]):
        s, spec = fit["settings"], spec_of(law)
        method = str(s.get("method", "pairs"))
        how = RESAMPLED.get(method, "runs")
        if method == "wild" and spec.wild:
            how = spec.wild
            sources[spec.label] = spec.wild_source
        line = f"{count(int(s.get('draws', 0)), 'draw')} of {how}, seed {s.get('seed')}"
        laws = laws_by_line.setdefault(line, [])
        if law not in laws:
            laws.append(law)
    for line, laws in laws_by_line.items():
        yield f"{' and '.join(heading(law) for law in laws)}: {line}."
    if any("wild" in line or "signs" in line for line in laws_by_line):
        own = "".join(f" and, for {label}, @{source}" for label, source in sources.items())
        yield f"Residuals are resampled after @cameron2008{own}."


def _software(provenance: ProvenanceJson) -> Iterator[str]:
    versions = provenance.get("versions") or {}
    if versions:
        named = (
            f"{name} {quoted(version)}" + (f" [@{PACKAGES[name]}]" if name in PACKAGES else "")
            for name, version in versions.items()
        )
        yield f"Versions: {', '.join(named)}."
    seeds = provenance.get("seeds") or {}
    if seeds:
        yield f"Seeds: {', '.join(f'{name} {seed}' for name, seed in seeds.items())}."
    if provenance.get("code"):
        yield f"Digest of the analysis code: {quoted(provenance['code'])}."


def _sentence(text: str) -> str:
    trimmed = text.strip()
    return trimmed if not trimmed or trimmed.endswith((".", "!", "?")) else f"{trimmed}."
