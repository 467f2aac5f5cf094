"""What the page's planner knows: every line of the decision with its bootstrap draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from flopline.bearing import OUTSIDE_FACTOR, beside_target, span_of
from flopline.documents import FitJson, SilenceJson
from flopline.following import Beside, followed
from flopline.forecast.discrepancy import NEAREST
from flopline.laws.common.allocation import Allocation
from flopline.laws.common.fit_result import FAILED
from flopline.laws.spec import ordered, spec_of
from flopline.planner import USUAL, Line, accelerators, read_line
from flopline.reach import GRADES, edge
from flopline.report.packing import packed_floats
from flopline.results import FamilyResults
from flopline.schema import KEPT, LOSS_LABEL, split_label
from flopline.study_document import StudyDocument
from flopline.surfaces.chinchilla import PARAMETERS, Floats, LossSurface
from flopline.verdict_scale import OF_FIT


def planner_view(
    results: Mapping[str, FamilyResults],
    study: StudyDocument,
    runs: pd.DataFrame,
    decision: pd.DataFrame,
    headline: str,
    silent: Sequence[SilenceJson] = (),
) -> dict[str, object]:
    """The lines of every family and law with their draws, ready for JSON.

    `results` are by family, `study` holds targets [FLOPs] and maybe loss_label and loss_split,
    `runs` and `decision` are the tables of the report, `headline` is the family that the decision
    recommends, `silent` what the verdict says where it follows no line. The loss of a law that is
    fitted to another split has a label of its own.

    Returns targets, accelerators and one entry for each fit.
    """
    targets = study["targets"]
    kept = runs[runs["status"] == KEPT]
    spans = {str(family): span_of(mine) for family, mine in kept.groupby("family")}
    first = decision[np.isclose(decision["budget_flops"], targets[0], rtol=1e-9)]
    lines = [
        _line(
            family_results.fits[law],
            family_results.draws.get(law),
            first[first["family"] == family],
        )
        | {
            "family": i,
            "headline": family == headline,
            "loss_words": _loss_of(family_results.fits[law], study),
        }
        for i, (family, family_results) in enumerate(results.items())
        for law in ordered(family_results.fits)
    ]
    follows = {
        family: _follows(family_results, decision[decision["family"] == family])
        for family, family_results in results.items()
    }
    with_line = {family: [one["flops"] for one in made] for family, made in follows.items()}
    return {
        "targets": [float(c) for c in targets],
        "usual": USUAL,
        "accelerators": [[a.name, a.peak_flops, a.source] for a in accelerators()],
        "spans": [
            [spans[f].smallest_flops, spans[f].largest_flops] if f in spans else None
            for f in results
        ],
        "ratios": [list(spans[f].tokens_per_param) if f in spans else None for f in results],
        "outside": OUTSIDE_FACTOR,
        "grades": grades_view(),
        "follows": list(follows.values()),
        "silent": [
            [
                {
                    "budget_flops": entry["budget_flops"],
                    "up_to_flops": entry["up_to_flops"],
                    "sentence": entry["sentence"],
                    "beside": beside_target(entry, spans[family], with_line[family]),
                }
                for entry in silent
                if entry["family"] == family
            ]
            for family in results
        ],
        "lines": lines,
    }


def _follows(known: FamilyResults, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The line that is followed at each target that has one, as planner_laws.js carries it."""
    made = []
    for _, row in rows[rows["recommended"].astype(bool)].sort_values("budget_flops").iterrows():
        law, budget = str(row["law"]), float(row["budget_flops"])
        if law not in known.fits or known.fits[law]["status"] == FAILED:
            continue
        line = followed(known, law, str(row["estimator"]))
        drifts = {
            name: {
                "step": drift.step,
                "mean": drift.mean,
                "scale": drift.scale,
                "spread": drift.spread,
                "nearest": NEAREST,
                "quantiles": drift.quantiles(),
            }
            for name, drift in line.drifts.items()
        }
        made.append({"flops": budget, "law": law, "drifts": drifts, "beside": _beside(line.beside)})
    return made


def _beside(variant: Beside | None) -> dict[str, object] | None:
    if variant is None:
        return None
    factors = {
        name: {end: [_plain(v) for v in values] for end, values in by_end.items()}
        for name, by_end in variant.factors.items()
    }
    return {
        "label": variant.label,
        "budgets": variant.budgets.tolist(),
        "factors": factors,
        "slopes": dict(variant.slopes),
        "spreads": {name: values.tolist() for name, values in variant.spreads.items()},
    }


def grades_view() -> list[dict[str, object]]:
    """The grades of extrapolation as the planner reads them, nearest first; `most` is the edge
    of a grade, and may be None."""
    return [
        {"most": _plain(edge(grade.most)), "name": grade.name, "recommends": grade.recommends}
        for grade in GRADES
    ]


def _loss_of(fit: FitJson, study: StudyDocument) -> str:
    """What the loss of a law is called: the study's label, or that of a split of the law's own."""
    split = fit["settings"].get("split")
    if split and split != study.get("loss_split"):
        return split_label(split)
    return str(study.get("loss_label") or LOSS_LABEL)


def _line(fit: FitJson, draws: pd.DataFrame | None, rows: pd.DataFrame) -> dict[str, object]:
    law = fit["law"]
    mine = rows[rows["law"] == law]
    main = mine[mine["main"].astype(bool)]
    about: dict[str, object] = {
        "law": law,
        "name": spec_of(law).title,
        "says": spec_of(law).says.value,
        "status": fit["status"],
        "verdict": OF_FIT[fit["status"]].css,
        "message": fit["message"],
        "refused": bool(main["refused"].any()),
    }
    if fit["status"] == FAILED or draws is None:
        return about
    return about | _numbers_of(read_line(fit, draws))


def _numbers_of(line: Line) -> dict[str, object]:
    """The point of a line in full, its draws packed; columns as planner_laws.js reads them."""
    point, draws = _columns(line.point), _columns(line.draws)
    misfit = line.misfit
    return {
        "point": [_plain(v[0]) for v in point],
        "draws": [packed_floats(v) for v in draws],
        "new_run": None if line.new_run is None else packed_floats(line.new_run),
        "misfit": misfit
        and {
            "share": misfit.share,
            "runs": misfit.runs,
            "spread": misfit.spread.tolist(),
            "errors": packed_floats(misfit.errors),
        },
    }


def _columns(laws: Allocation | LossSurface) -> list[Floats]:
    """The columns that say a law, each (rows,), amplitudes and coefficients as logarithms."""
    if isinstance(laws, Allocation):
        powers = [laws.params.ln_k, laws.params.p, laws.tokens.ln_k, laws.tokens.p]
        return [*powers, laws.loss.E, laws.loss.ln_K, laws.loss.c, *_count(laws, powers[0])]
    e, a, b, alpha, beta = (np.atleast_1d(getattr(laws, name)) for name in PARAMETERS)
    power = np.asarray(laws.k, dtype=float) * np.ones_like(e)
    with np.errstate(divide="ignore"):
        return [e, np.log(a), np.log(b), alpha, beta, power, *_count(laws, e)]


def _count(laws: Allocation | LossSurface, like: Floats) -> list[Floats]:
    """The columns that say how FLOPs are counted; none where they are 6ND."""
    if laws.count is None:
        return []
    return [
        np.asarray(v, dtype=float) * np.ones_like(like) for v in laws.count.parameters().values()
    ]


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
