"""Loss surfaces by name; published ones come from the library's `published.toml`.

E is in nats per token, N in weights, D in tokens, compute in FLOPs, spent as C = 6ND.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from flopline.surfaces import kaplan, published, repeated, skaling, tied
from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.kaplan import KaplanSurface
from flopline.surfaces.repeated import RepeatedSurface
from flopline.surfaces.skaling import SkalingSurface
from flopline.surfaces.surface import Law, parameters, surface_starts
from flopline.surfaces.tied import TiedSurface

Floats = NDArray[np.float64]
Form = TypeVar("Form", bound=Law)


def published_surface(name: str, form: type[Form]) -> Form:
    """The surface `name` of published.toml, whose form is `form`."""
    surface = published.load(name).surface()
    assert isinstance(surface, form), name
    return surface


# Published.

BESIROGLU = published_surface("besiroglu_2024", LossSurface)
HOFFMANN = published_surface("hoffmann_2022_parametric", LossSurface)
"""The constants of the TeX source, unrounded."""
HOFFMANN_PRINTED = published_surface("hoffmann_2022_parametric_rounded", LossSurface)
MUENNIGHOFF = published_surface("muennighoff_2023_base", TiedSurface)
MUENNIGHOFF_REPEATED = published_surface("muennighoff_2023_repeated", RepeatedSurface)
KAPLAN = published_surface("kaplan_2020_joint", KaplanSurface)
SKALING = SkalingSurface(1.757, 2305.0, 9957.0, 0.4244, 0.4305, 0.774)
"""Form of Videau et al. 2026 (arXiv 2608.07222), fitted to the 240 points of Besiroglu et al."""
SYMMETRIC = LossSurface(1.69, 400.0, 400.0, 0.31, 0.31)
"""Czech et al. 2026 (arXiv 2603.22339): the vertex of a parabola is the optimum here."""
THREEFOLD = replace(HOFFMANN_PRINTED, alpha=0.465, beta=0.155)
"""alpha three times beta, their sum and the rest as Hoffmann et al. 2022 print them."""

NMM_SPARSE = published_surface("nmm_2025_sparse", LossSurface)
EARLY_FUSION = LossSurface(1.904, 270.0, 1860.0, 0.30051, 0.33491)
"""Shukor et al. 2025 (arXiv 2504.07951): E, alpha and beta as published, A and B inferred from its
L(C) and tokens per param, rounded; config/studies/nmm.yaml has them unrounded."""
LATE_FUSION = LossSurface(1.891, 250.0, 2300.0, 0.2777, 0.34299)
"""As EARLY_FUSION, but A and B made up beside it."""

# Made up.

TIED = LossSurface(1.7, 400.0, 900.0, 0.34, 0.34)
"""alpha = beta, so that every optimum trains as many tokens per param."""
UNTIED = LossSurface(1.7, 400.0, 1200.0, 0.34, 0.33)
"""Nearly the same exponents, so that parabolas are nearly unbiased."""
TINY = LossSurface(1.0, 30.0, 400.0, 0.35, 0.40)
"""At the size of the default study: 1e10 to 1e13 FLOPs."""

FORMS: dict[str, Law] = {
    "chinchilla": BESIROGLU,
    "tied": MUENNIGHOFF,
    "kaplan": KAPLAN,
    "skaling": SKALING,
    "repeated": MUENNIGHOFF_REPEATED,
}
"""A surface of each form of `published.SURFACES`: a form that is added there wants one here."""


def values_of(surface: Law) -> Floats:
    """The parameters of a surface, in the order of its fields."""
    return np.array([float(np.asarray(getattr(surface, n))) for n in parameters(surface)])


def constants_of(surface: Law) -> dict[str, float]:
    """The parameters of a surface by name."""
    return dict(zip(parameters(surface), values_of(surface).tolist(), strict=True))


def per_draw(surface: Form, draws: int) -> Form:
    """The same surface for each of `draws` draws: every field an array of that length."""
    fields = {name: np.full(draws, x) for name, x in constants_of(surface).items()}
    return replace(surface, **fields)  # type: ignore[type-var]


def starts_of(form: str, params: Floats, tokens: Floats, loss: Floats) -> list[Law]:
    """Where a fit of `form` starts from, for losses at `params` and `tokens`, shape (points,)."""
    first = surface_starts(params, tokens, loss)
    if form == "repeated":
        return list(repeated.starts(first[0]))
    makers = {"tied": tied.starts, "skaling": skaling.starts, "kaplan": kaplan.starts}
    return list(makers[form](params, tokens, loss)) if form in makers else list(first)
