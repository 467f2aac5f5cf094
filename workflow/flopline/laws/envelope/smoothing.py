"""Gaussian smoothing of training curves."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

KERNEL: Final = "Gaussian, cut off at half a window"
SIGMAS_PER_WINDOW: Final = 4.0
"""The window spans two standard deviations on each side, 95 % of the kernel. Hoffmann et al. 2022
(section 3.1) state a window of 10 steps and no sigma; this choice makes it 2.5 steps."""


def smoothed(
    loss: Floats, step: Floats, run: NDArray[np.int64], window_steps: float
) -> tuple[Floats, float]:
    """Loss smoothed along each run, and the median number of points in a window.

    Rows are sorted by run and step; all arguments have shape (n,). The kernel is truncated at
    half a window and its weights are divided by their sum, so that the end of a run is an average
    of fewer points and not of padding. At the start a point looks no farther ahead than it can
    look back: the loss falls steeply there, and a one-sided average would flatter the run. Points
    farther apart than half a window (checkpoints) stay as they are; `window_steps` 0 turns
    smoothing off.
    """
    total, weight = loss.copy(), np.ones_like(loss)
    count = np.ones_like(loss)
    begin = step[np.searchsorted(run, run)]
    half = window_steps / 2.0
    sigma = window_steps / SIGMAS_PER_WINDOW
    for offset in range(1, loss.size):
        gap = step[offset:] - step[:-offset]
        near = np.flatnonzero((run[offset:] == run[:-offset]) & (gap <= half))
        if window_steps <= 0 or near.size == 0:
            break
        kernel = np.exp(-0.5 * (gap[near] / sigma) ** 2)
        fair = gap[near] <= step[near] - begin[near]
        for here, there, k in (
            (near[fair], near[fair] + offset, kernel[fair]),
            (near + offset, near, kernel),
        ):
            total[here] += k * loss[there]
            weight[here] += k
            count[here] += 1.0
    return total / weight, float(np.median(count))
