"""The parametric law of a study: its published form, or the one that the ladder has chosen.

Whichever form that is, it is handed on in the shape in which a fit leaves its results, so that all
that reads the law of a study reads one thing. Chinchilla's form stays among its estimators.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from flopline.documents import End, number_in
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.fit_result import FAILED
from flopline.laws.parametric import parametric_fit
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.laws.parametric.stated_form import PUBLISHED
from flopline.laws.spec import ESTIMATORS
from flopline.results import LawResults
from flopline.solvers.surface_family import CHINCHILLA, Form
from flopline.surfaces.chinchilla import PARAMETERS

VARIANTS: Final = "variants"


def law_of_study(
    published: LawResults,
    form: Form[Any],
    points: pd.DataFrame,
    targets_flops: Sequence[float],
    options: ParametricOptions,
    bootstrap: BootstrapOptions,
    family: str = "",
) -> LawResults:
    """What the fit of `form` leaves, with the estimators of the `published` one beside it.

    `published` is the fit of Chinchilla's form to `points` under the same options; it is the law
    itself where that is the form, or where the form cannot be fitted after all.

    Returns:
        The parametric law of the study, as the parametric stage leaves one.
    """
    if form is CHINCHILLA:
        return published
    fit = parametric_fit.fit(
        points, targets_flops, options, bootstrap=bootstrap, family=family, form=form
    )
    if fit.status == FAILED:
        return published
    mine = LawResults.of(fit)
    beside = published.tables[ESTIMATORS]
    own = beside["estimator"] == beside["estimator"].iloc[0]
    label = f"{CHINCHILLA.title}, as published; " + beside["label"].astype(str)
    beside = beside.assign(
        main=False,
        estimator=beside["estimator"].mask(own, PUBLISHED),
        label=beside["label"].mask(own, label),
    )
    beside = beside[beside["estimator"] != form.name]
    tables = {
        **mine.tables,
        ESTIMATORS: pd.concat([mine.tables[ESTIMATORS], beside], ignore_index=True),
        VARIANTS: _variants(published, form, mine.tables[VARIANTS]),
    }
    return LawResults(mine.content, mine.draws, tables)


def _variants(published: LawResults, form: Form[Any], like: pd.DataFrame) -> pd.DataFrame:
    """The table of variants of the published fit, its own form among them and `form` not."""
    content, certificate = published.content, published.content["certificate"]
    about: dict[str, object] = {
        "estimator": PUBLISHED,
        "form": PUBLISHED,
        "objective": str(content["settings"].get("objective", "")),
        "delta": content["settings"].get("huber_delta"),
        "value": certificate.get("objective"),
        "scaled_gradient": certificate.get("scaled_gradient"),
        "starts": certificate.get("starts"),
        "starts_agree": certificate.get("starts_agree"),
        "draws": certificate.get("draws"),
        "draws_left_out": certificate.get("draws_left_out"),
    }
    ends: tuple[End, ...] = ("point", "lo80", "hi80", "lo95", "hi95")
    rows = [
        {
            **about,
            "parameter": name,
            **{end: number_in(content["parameters"][name], end) for end in ends},
            "at_bound": bool(content["parameters"][name].get("at_bound")),
        }
        for name in PARAMETERS
        if name in content["parameters"]
    ]
    mine = pd.DataFrame(rows, columns=list(like.columns))
    others = published.tables.get(VARIANTS)
    if others is None or others.empty:
        return mine
    kept = others[others["estimator"] != form.name]
    return pd.concat([mine.astype(kept.dtypes.to_dict()), kept], ignore_index=True)
