"""The methods section: what was done, in words, with the settings that were used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from flopline.numbers import count
from flopline.report.evidence import Fits, each_fit
from flopline.report.shown import flat, law_name, value_text
from flopline.schema import KEPT, LEVELS

FORMS = {
    "envelope": (
        "The lowest loss that any training curve reaches at each compute is the frontier; "
        "its params and tokens follow power laws of compute, N ∝ C^a and D ∝ C^b "
        "(after Hoffmann et al. 2022, arXiv 2203.15556, section 3.1)."
    ),
    "isoflop": (
        "At each compute budget loss is a valley over ln N; the bottoms of the valleys follow "
        "power laws of compute, N ∝ C^a and D ∝ C^b "
        "(after Hoffmann et al. 2022, arXiv 2203.15556, section 3.2)."
    ),
    "parametric": (
        "One surface L(N, D) = E + A/N^α + B/D^β is fitted to all points; "
        "N and D that minimise it at 6ND = C follow in closed form "
        "(after Hoffmann et al. 2022, arXiv 2203.15556, section 3.3)."
    ),
}

POINTS = {
    "final": "the final loss of every run",
    "checkpoints": "checkpoints along every run; all points of a run are resampled together",
}


PARAMS = {
    "total": "all weights, embeddings included",
    "non_embedding": "all weights but the embeddings",
    "active": "the weights that are active for a token",
    "decoder": "the weights of the decoder",
}

FLOPS = {
    "six_nd": "6ND, six FLOPs per weight and token (Kaplan et al. 2020, arXiv 2001.08361)",
    "supplied": "as supplied with the data",
    "per_token": "tokens times the FLOPs per token that the run table gives",
    "gemstones": "counted layer by layer as in Gemstones (McLeish et al. 2025, arXiv 2502.06857)",
}

CONVERGENCE = "What certifies each fit, and how many resamples failed, stands under Fits."
NOTHING_HELD_OUT = "No run was held out: how well the laws extrapolate was not tested here."


@dataclass(frozen=True, slots=True)
class Method:
    """One item of the methods: a term and its paragraphs."""

    term: str
    paragraphs: list[str]


def methods(
    study: Mapping[str, Any], fits: Fits, runs: pd.DataFrame, recommended_rule: str
) -> list[Method]:
    """The reporting checklist of scaling-law studies, filled from what was actually run.

    The items follow Li et al. 2025, (Mis)Fitting scaling laws, arXiv 2502.18969.
    """
    laws = dict.fromkeys(law for _, law, _ in each_fit(fits, study["families"]))
    kept = int((runs["status"] == KEPT).sum())
    levels = " and ".join(f"{level}" for level in LEVELS)
    items = [
        Method("Source", [_pairs(_plain_keys(study["source"]))]),
        Method("Params, N", [_convention(PARAMS, study["params_convention"])]),
        Method("Compute, C", [_convention(FLOPS, study["flops_convention"])]),
        Method("Loss, L", [f"Nats per token, read from split {study['loss_split']}."]),
        Method("Points", [_convention(POINTS, study["points"])]),
        Method("Runs", [f"{kept:,} of {count(len(runs), 'run')} kept."]),
        *(Method(law_name(law), _law(law, study["families"], fits)) for law in laws),
        Method(
            "Intervals",
            [f"{levels} % percentile intervals of a bootstrap over runs, each run taken whole."],
        ),
        Method("Convergence", [CONVERGENCE]),
        Method("Held-out test", [_sentence(study.get("held_out") or NOTHING_HELD_OUT)]),
        Method("Recommended line", [_sentence(recommended_rule)]),
        Method("Notes", [_sentence(note) for note in study["notes"]]),
    ]
    return [item for item in items if item.paragraphs]


def _law(law: str, families: Mapping[str, str], fits: Fits) -> list[str]:
    """The form of the law, then its settings once for all families that share them."""
    shared: dict[str, list[str]] = {}
    for family, name, fit in each_fit(fits, families):
        if name == law:
            shared.setdefault(_settings(fit), []).append(families.get(family, family))
    form = [FORMS[law]] if law in FORMS else []
    if len(shared) == 1:
        return [*form, *shared]
    return [*form, *(f"{', '.join(names)}: {said}" for said, names in shared.items())]


def _settings(fit: Mapping[str, Any]) -> str:
    return f"Estimator {fit['estimator']}. Settings: {_pairs(fit['settings'])}"


def _pairs(mapping: Mapping[str, Any]) -> str:
    said = "; ".join(f"{label} {value_text(value, key)}" for label, key, value in flat(mapping))
    return f"{said or 'none'}."


def _plain_keys(source: Mapping[str, Any]) -> dict[str, Any]:
    """The source without its column maps, which the configuration shows in full."""
    return {key: value for key, value in source.items() if not isinstance(value, Mapping)}


def _convention(words: Mapping[str, str], name: str) -> str:
    return _sentence(f"{name}: {words[name]}" if name in words else name)


def _sentence(text: str) -> str:
    trimmed = text.strip()
    return trimmed if trimmed.endswith((".", "!", "?")) else f"{trimmed}."
