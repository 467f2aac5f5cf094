"""Other forms of L(N, D) that the audits fit, and where their fits start: at the parametric fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pandas as pd

from flopline.laws.chinchilla import LossSurface
from flopline.laws.law import Law
from flopline.laws.skaling import SkalingSurface
from flopline.laws.tied import TiedSurface


def _tied_starts(surface: LossSurface, points: pd.DataFrame) -> Sequence[Law]:
    """One exponent for both terms, each as large at the centre of the points as it was."""
    alpha, beta = float(np.asarray(surface.alpha)), float(np.asarray(surface.beta))
    both = (alpha + beta) / 2
    ln_n, ln_d = (float(np.log(points[c]).mean()) for c in ("params", "tokens"))
    of_params = float(np.asarray(surface.A)) * np.exp((both - alpha) * ln_n)
    of_tokens = float(np.asarray(surface.B)) * np.exp((both - beta) * ln_d)
    return [TiedSurface(above_zero(surface), of_params, of_tokens, both)]


def _skaling_starts(surface: LossSurface, points: pd.DataFrame) -> Sequence[Law]:
    """The fitted surface itself, k = 1: the least of all k is sought from there."""
    a, b = float(np.asarray(surface.A)), float(np.asarray(surface.B))
    alpha, beta = float(np.asarray(surface.alpha)), float(np.asarray(surface.beta))
    return [SkalingSurface(above_zero(surface), a, b, alpha, beta, 1.0)]


def above_zero(surface: LossSurface) -> float:
    """E, or a hundredth of a nat where it is 0: parameters are sought in logarithms."""
    return max(float(np.asarray(surface.E)), 0.01)


FORMS: Final[dict[str, Callable[[LossSurface, pd.DataFrame], Sequence[Law]]]] = {
    "tied": _tied_starts,
    "skaling": _skaling_starts,
}
"""Other forms of L(N, D) and where their fits start, given the parametric fit and the points."""
