"""How far the optima of budgets scatter about their law by more than their own errors.

A valley may lie off the law for reasons that all runs of its budget share (a learning rate, a
schedule, a batch size): no resample of its runs tells of it, but the valleys of other budgets do.
So the law is one of random effects, y = X beta + u + e: e has the errors that the draws tell, u a
standard deviation that is the same for all budgets (DerSimonian and Laird 1986, doi
10.1016/0197-2456(86)90046-2). Few budgets leave that standard deviation open by a factor of two or
more. So it is drawn, from its restricted likelihood times a prior, and each draw of the law takes
its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from flopline.documents import BetweenBudgetsJson
from flopline.laws.common.bootstrap import named_generator

Floats = NDArray[np.float64]

NONE: Final = {"params": 0.3, "tokens": 0.3, "loss": 0.5}
"""Prior chance that budgets do not scatter at all: of four public isoFLOP studies two have a REML
standard deviation of .12 and .13 in ln N, two have .03 and .00; in the loss none is known that
has any."""
FLAT: Final = 2.0
"""Else the prior is flat up to about this many typical errors of an optimum, and flat in the
logarithm beyond: density 1 / (FLAT error + sd). Of 200 such priors tried this one holds the truth
closest to nominally at scatters of 0, .06, .12 and .25 in ln N with 5 and 9 budgets
(docs/uncertainty.md)."""
WIDEST: Final = {"params": 1.0, "tokens": 1.0, "loss": 0.1}
"""Where the prior ends, as a Gaussian does: a factor of e in N and D, 10 % of the loss."""
LEVEL: Final = 0.05
"""Below this p value budgets are said to scatter."""
GRID: Final = 120
"""Standard deviations at which the likelihood is computed."""
FINE: Final = 0.02
"""The least of them but 0, as a share of the typical error or of the residuals."""
ROUNDING: Final = 1e-9
"""Residuals and errors below this in ln N are those of arithmetic."""


@dataclass(frozen=True, slots=True)
class BetweenBudgets:
    """Scatter of one quantity of the optima between budgets, in its logarithm.

    `chi_square` of the optima about the law, by their own errors alone, has `freedom` degrees and
    `p_value`. `reml` is the restricted maximum likelihood estimate of the standard deviation, `sd`
    the root of its mean square under likelihood and prior, `drawn` (draws,) one for each draw.
    """

    chi_square: float
    freedom: int
    p_value: float
    reml: float
    sd: float
    drawn: Floats

    @classmethod
    def nothing(cls, draws: int, freedom: int = 0) -> BetweenBudgets:
        """No scatter: none can be measured, or none is wanted."""
        return cls(np.nan, freedom, np.nan, np.nan, 0.0, np.zeros(draws))

    def unused(self) -> BetweenBudgets:
        """The same test, with a scatter that enters nothing."""
        return replace(self, sd=0.0, drawn=np.zeros_like(self.drawn))

    @property
    def significant(self) -> bool:
        """Whether the optima lie farther from the law than their own errors let them."""
        return bool(self.p_value < LEVEL)

    def to_json(self) -> BetweenBudgetsJson:
        """The certificate's entry."""
        low, high = np.percentile(self.drawn, (2.5, 97.5)) if self.drawn.size else (np.nan, np.nan)
        return {
            "chi_square": self.chi_square,
            "freedom": self.freedom,
            "p_value": self.p_value,
            "reml_sd": self.reml,
            "sd": self.sd,
            "sd_lo95": float(low),
            "sd_hi95": float(high),
        }


def between_budgets(
    quantity: str, design: Floats, y: Floats, se: Floats, uniform: Floats
) -> BetweenBudgets:
    """Scatter of `y` (budgets,) about its law, of which `design` (budgets, unknowns) is the slope.

    `quantity` (params, tokens or loss) says which prior, `se` (budgets,) are the errors of y, NaN
    where unknown (the largest known one then), `uniform` (draws,) the quantiles of the standard
    deviations to be drawn.

    Returns no scatter, with NaN for its test, where no budget is to spare, no error is known, or
    all of both is rounding.
    """
    none, widest = NONE[quantity], WIDEST[quantity]
    freedom = y.size - design.shape[1]
    known = np.isfinite(se)
    if freedom < 1 or not known.any():
        return BetweenBudgets.nothing(uniform.size, max(freedom, 0))
    se = np.where(known, se, se[known].max(initial=0.0))
    rest = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    rms = float(np.sqrt(rest @ rest / freedom))
    scale = max(rms, float(np.sqrt(np.mean(se**2))))
    if scale < ROUNDING:
        return BetweenBudgets.nothing(uniform.size, freedom)
    se = np.maximum(se, ROUNDING * scale)
    typical = float(np.sqrt(se.size / np.sum(1.0 / se**2)))
    sd = np.append(0.0, np.geomspace(FINE * max(typical, 0.1 * rms), 3.0 * widest, GRID))
    ln_likelihood, squares = _restricted(design, y, se, sd)
    spacing = np.gradient(sd)
    prior = spacing * np.exp(-((sd / widest) ** 2)) / (FLAT * typical + sd)
    prior *= (1.0 - none) / prior.sum()
    prior[0] += none
    mass = prior * np.exp(ln_likelihood - ln_likelihood.max())
    mass /= mass.sum()
    return BetweenBudgets(
        chi_square=float(squares[0]),
        freedom=freedom,
        p_value=float(chdtrc(freedom, squares[0])),
        reml=float(sd[ln_likelihood.argmax()]),
        sd=float(np.sqrt(mass @ sd**2)),
        drawn=np.where(uniform < mass[0], 0.0, np.interp(uniform, np.cumsum(mass), sd)),
    )


def _restricted(design: Floats, y: Floats, se: Floats, sd: Floats) -> tuple[Floats, Floats]:
    """Restricted log likelihood at every `sd`, and the weighted sum of squares, both (sd,)."""
    q, _ = np.linalg.qr(design)
    weight = 1.0 / (se**2 + sd[:, None] ** 2)
    gram = np.einsum("sk,kp,kq->spq", weight, q, q)
    right = np.einsum("sk,kp,k->sp", weight, q, y)
    beta = np.linalg.solve(gram, right[:, :, None])[:, :, 0]
    rest = y - beta @ q.T
    squares = np.einsum("sk,sk,sk->s", weight, rest, rest)
    spread = np.linalg.slogdet(gram)[1]
    return 0.5 * (np.log(weight).sum(axis=1) - spread - squares), squares


@dataclass(frozen=True, slots=True)
class Chances:
    """What the draws of between-budget scatter are made of, the same for all readings.

    `of_sd` (draws,) are quantiles of the standard deviations; `shift` and `of_loss` (draws,
    budgets) are normal: the first moves ln N up and ln D as far down, since a budget's compute
    stays what it is; `new_budget` (draws,) is the loss of one more budget.
    """

    of_sd: Floats
    of_loss_sd: Floats
    shift: Floats
    of_loss: Floats
    new_budget: Floats

    @classmethod
    def of(cls, labels: Sequence[str], draws: int, seed: int) -> Chances:
        """The draws of the budgets called `labels`; one more budget changes none of the others."""

        def normal(name: str) -> Floats:
            each = [named_generator(seed, name, label).standard_normal(draws) for label in labels]
            return np.stack(each, axis=1) if each else np.empty((draws, 0))

        def even(name: str) -> Floats:
            ranks = named_generator(seed, name).permutation(draws)
            return np.asarray((ranks + 0.5) / max(draws, 1))

        return cls(
            even("between budgets"),
            even("between bottoms"),
            normal("shift of budget"),
            normal("loss of budget"),
            named_generator(seed, "new budget").standard_normal(draws),
        )

    def pick(self, columns: NDArray[np.bool_]) -> Chances:
        """The draws of some of the budgets."""
        return Chances(
            self.of_sd,
            self.of_loss_sd,
            self.shift[:, columns],
            self.of_loss[:, columns],
            self.new_budget,
        )
