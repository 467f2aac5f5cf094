"""Steps bent along the valley of a law's objective, which is curved in the unknowns.

What runs tell of a law E + (h_N^(1/k) + h_D^(1/k))^k is its level at their centre, its slopes there
and how these change, much better than E, the amplitudes and the powers one by one: a lower E goes
with larger amplitudes and smaller powers all along a valley. A step keeps its direction but holds
the way in which these change: with reducible loss R at the centre they are

    k = 1:  E + A + B, ln (a A), ln (b B), a, b
    else:   E + R, ln (k R), ln (h_D / h_N) / k, a / k, b / k, k.

So the law is a constant and a power transform in the sense of Box and Cox 1964, whose scale does
not hang on its power. On the unknowns of the default study's resamples this takes half the steps.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from flopline.solvers.problem import Floats
from flopline.solvers.surface_family import LOWER, UNKNOWNS, UPPER, Form

FARTHEST: Final = 5.0
"""Factor by which a bent step may change a power: beyond, its curve says nothing."""


def bent(form: Form[Any], theta: Floats, step: Floats) -> Floats:
    """The steps (rows, free) from `theta` along the curves that they are tangent to.

    A step stays straight where E is not free or does not move, where its curve leaves the laws with
    a floor above 0, and where it cannot be computed.
    """
    if "E" not in form.free:
        return step
    begin = form.expand(theta)
    change = step @ form.spread.T
    with np.errstate(all="ignore"):
        end = (_of_sum if form.straight else _of_power)(begin, change)
    curved = (change[:, 0] != 0) & (end[:, 0] > 0) & np.isfinite(end).all(axis=1)
    return np.where(curved[:, None], form.reduce(end) - theta, step)


def _of_sum(begin: Floats, change: Floats) -> Floats:
    """The ends (rows, 6) for k = 1."""
    end = begin.copy()
    end[:, 0] += change[:, 0]
    for term, power in ((1, 3), (2, 4)):
        was, moved = begin[:, power], change[:, power]
        size = np.exp(begin[:, term])
        now = np.clip(was + moved, was / FARTHEST, was * FARTHEST)
        end[:, power] = now
        end[:, term] += change[:, term] + moved / was + np.log(was / now)
        end[:, 0] += size * (1.0 + change[:, term]) - np.exp(end[:, term])
    return end


_LEAST_K: Final = LOWER[UNKNOWNS.index("k")]
_MOST_K: Final = UPPER[UNKNOWNS.index("k")]


def _of_power(begin: Floats, change: Floats) -> Floats:
    """The ends (rows, 6) for any other k."""
    e, ln_a, ln_b, a, b, k = begin.T
    of_e, of_ln_a, of_ln_b, of_a, of_b, of_k = change.T
    apart = (ln_b - ln_a) / k
    soft = np.logaddexp(0.0, apart)
    ln_r = ln_a + k * soft
    of_apart = (of_ln_b - of_ln_a - apart * of_k) / k
    of_ln_r = of_ln_a + soft * of_k + k * np.exp(apart - soft) * of_apart
    now = np.clip(k + of_k, _LEAST_K, _MOST_K)
    ln_r_now = ln_r + of_ln_r + of_k / k + np.log(k / now)
    size = np.exp(ln_r)
    floor = e + of_e + size * (1.0 + of_ln_r) - np.exp(ln_r_now)
    apart_now = apart + of_apart
    ln_a_now = ln_r_now - now * np.logaddexp(0.0, apart_now)
    powers = (now * (p + of_p - p * of_k / k) / k for p, of_p in ((a, of_a), (b, of_b)))
    return np.stack([floor, ln_a_now, ln_a_now + now * apart_now, *powers, now], axis=1)
