"""A minimiser that shares no code with the library's, to hold its optima against."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from flopline.solvers.problem import Problem
from flopline.surfaces.chinchilla import EXPONENT_BOUNDS


def lbfgs(problem: Problem, weights: np.ndarray, start: np.ndarray) -> float:
    """Objective that tight L-BFGS-B reaches with an analytic gradient of its own writing.

    `start` are the six unknowns of the family; E, A, B, alpha and beta are sought here.
    """
    begin = np.concatenate([start[:1], np.exp(start[1:3]), start[3:5]])
    x, y, target, delta = problem.x, problem.y, problem.target, problem.delta
    scale = 1.0 / (delta * delta * weights.sum())

    def objective(z):
        of_n, of_d = np.exp(-z[3] * x), np.exp(-z[4] * y)
        f = z[0] + z[1] * of_n + z[2] * of_d
        if not (f > 0).all():
            return np.inf, np.zeros(5)
        r = np.log(f) - target
        size = np.abs(r)
        value = np.where(size <= delta, r * r / 2, delta * (size - delta / 2)) @ weights
        pull = weights * np.where(size <= delta, r, delta * np.sign(r)) / f
        slopes = [np.ones_like(x), of_n, of_d, -z[1] * x * of_n, -z[2] * y * of_d]
        return scale * value, scale * np.array([pull @ s for s in slopes])

    bounds = [(0, None)] * 3 + [EXPONENT_BOUNDS] * 2
    options = {"ftol": 1e-16, "gtol": 1e-12, "maxiter": 5000, "maxfun": 20000, "maxls": 50}
    end = minimize(objective, begin, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return end.fun / scale
