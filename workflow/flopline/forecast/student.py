"""Student's t as a forecast: intervals, and the proper scores of what was then seen.

Arguments are arrays that broadcast: centre and scale in the units of what is forecast, `df` the
degrees of freedom, above 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, gammaln, stdtr, stdtrit

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StudentT:
    """Forecasts as location-scale t distributions; fields are arrays of one shape."""

    centre: Floats
    scale: Floats
    df: Floats

    @classmethod
    def of(cls, centre: ArrayLike, scale: ArrayLike, df: ArrayLike) -> StudentT:
        """The forecasts of anything that NumPy takes for arrays."""
        made = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in (centre, scale, df)))
        return cls(*made)

    def quantile(self, share: ArrayLike) -> Floats:
        """The value below which `share` of the forecast lies."""
        return np.asarray(self.centre + self.scale * stdtrit(self.df, share))

    def interval(self, level: float) -> tuple[Floats, Floats]:
        """The ends of the central interval of `level` percent."""
        return self.quantile(0.5 - level / 200), self.quantile(0.5 + level / 200)

    def log_density(self, seen: ArrayLike) -> Floats:
        """ln of the density at what was seen: the logarithmic score, the larger the better."""
        z = (np.asarray(seen, dtype=float) - self.centre) / self.scale
        half = 0.5 * (self.df + 1)
        constant = gammaln(half) - gammaln(0.5 * self.df) - 0.5 * np.log(self.df * math.pi)
        return np.asarray(constant - half * np.log1p(z**2 / self.df) - np.log(self.scale))

    def crps(self, seen: ArrayLike) -> Floats:
        """Continuous ranked probability score, the smaller the better.

        Closed form of Jordan et al. 2019 (doi 10.18637/jss.v090.i12), App. A.
        """
        z, v = (np.asarray(seen, dtype=float) - self.centre) / self.scale, self.df
        density = np.exp(StudentT(np.zeros_like(z), np.ones_like(z), v).log_density(z))
        spread = 2 * np.sqrt(v) * np.exp(betaln(0.5, v - 0.5) - 2 * betaln(0.5, v / 2))
        inner = z * (2 * stdtr(v, z) - 1) + (2 * density * (v + z**2) - spread) / (v - 1)
        return np.asarray(self.scale * inner)

    def interval_score(self, seen: ArrayLike, level: float) -> Floats:
        """Width of the interval and 2/alpha times what lies outside (Gneiting and Raftery 2007)."""
        low, high = self.interval(level)
        y = np.asarray(seen, dtype=float)
        outside = np.maximum(low - y, 0.0) + np.maximum(y - high, 0.0)
        return np.asarray(high - low + 2 / (1 - level / 100) * outside)
