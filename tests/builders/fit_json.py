"""Fits as their JSON states them, made up: for whoever reads fits and does not make them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from flopline.surfaces.chinchilla import LossSurface
from tests.builders.surfaces import constants_of


def estimate(point: float, spread: float = 0.0) -> dict[str, Any]:
    """A point with intervals of `spread` to either side at 80 %, half as much again at 95 %."""
    return ends(point, point - spread, point + spread, point - 1.5 * spread, point + 1.5 * spread)


def about(point: float) -> dict[str, Any]:
    """A positive point with intervals of a factor 1.2 to either side at 80 %, 1.4 at 95 %."""
    return ends(point, point / 1.2, point * 1.2, point / 1.4, point * 1.4)


def ends(point: float, lo80: float, hi80: float, lo95: float, hi95: float) -> dict[str, Any]:
    """A point and its intervals by their names."""
    intervals = {"lo80": lo80, "hi80": hi80, "lo95": lo95, "hi95": hi95}
    return {"point": point, **intervals, "at_bound": False}


def fit_json(law: str, parameters: dict[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A converged fit of `law` with these estimates; `more` is laid over it."""
    fit = {"law": law, "status": "converged", "message": "", "parameters": parameters}
    return fit | {"targets": []} | more


def compute_law_json(
    law: str, flops: ArrayLike, params: ArrayLike, tokens: ArrayLike, spread: float
) -> dict[str, Any]:
    """Power laws of compute by least squares in logs; `spread` is that of the exponents."""
    a, ln_n = np.polyfit(np.log(flops), np.log(params), 1)
    b, ln_d = np.polyfit(np.log(flops), np.log(tokens), 1)
    parameters = {
        "a": estimate(a, spread),
        "b": estimate(b, spread),
        "N_coef": estimate(math.exp(ln_n)),
        "D_coef": estimate(math.exp(ln_d)),
    }
    return fit_json(law, parameters)


def surface_json(surface: LossSurface) -> dict[str, Any]:
    """A parametric fit that found `surface` itself, without intervals."""
    parameters = {name: estimate(value) for name, value in constants_of(surface).items()}
    return fit_json("parametric", parameters)
