"""Runs that stand out: a count in another unit, or a loss that no run beside them has.

The losses of a sweep are smooth in N and D: a quadratic of their logs, fitted to the runs that
agree best (least trimmed squares: Rousseeuw 1984, doi 10.1080/01621459.1984.10477105), says of each
run what the others would have there. A run that lies far off is named, and where its N or D times a
thousand, a million or a billion would put it among the others that is said: a slip of the unit in
one row else moves the size that is stated, or how far the runs are said to reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.numbers import count, humanise, significant

Floats = NDArray[np.float64]

FEWEST: Final = 12
"""Runs of a family below which a quadratic of six terms says nothing of one of them."""
TERMS: Final = 6
"""Of a quadratic in two logs."""
STARTS: Final = 200
"""Handfuls of runs, drawn by a fixed seed, to start from: one without a bad run will do."""
ROUNDING: Final = 1e-9
"""Scatter of ln loss below which it is that of arithmetic."""
ROUNDS: Final = 8
"""Refits of each start to the runs that agree best."""
SEARCHED: Final = 400
"""Runs among which those that agree are sought, drawn by a fixed seed where there are more."""
REFITS: Final = 2
"""Refits to all runs that do not lie far off."""
AGREEING: Final = 0.75
"""Share of the runs that a quadratic is sought for."""
FAR: Final = 10.0
"""Standard deviations off from which a run stands out: no scatter of seeds goes so far."""
LEAST: Final = 0.2
"""Share of the loss below which it does not, however well the others agree: at the edges of public
sweeps (Gadre et al. 2024, Gemstones) sound runs lie up to 16 % off the quadratic."""
APART: Final = 4.0
"""Factor beyond all others from which it is no measure for them, and is asked for a slip: a larger
run that is sound has by far a lower loss than one a thousand times smaller would have."""
AMONG: Final = 4.0
"""Standard deviations within which a run lies among the others once its count is right."""
BESIDE: Final = 10.0
"""Factor beyond all others in N and D up to which it does: the run may be the largest."""
SLIPS: Final = (1e3, 1e-3, 1e6, 1e-6, 1e9, 1e-9)
"""Units in which counts are written, by each other."""
MOST: Final = 0.1
"""Share of the runs that may stand out; of more it is the quadratic that does not fit, unless one
slip explains them all, as of a budget that was written down apart."""
NAMED: Final = 3
"""Runs of which a sentence says at most what is odd; all are named in its mend, up to LISTED."""
LISTED: Final = 20


@dataclass(frozen=True, slots=True)
class OddRun:
    """A run that stands out: its `loss` where the others would have `expected`.

    `slip` is what its count `of` would have to be multiplied by to lie among them, 1 where no
    factor does.
    """

    run: str
    params: float
    tokens: float
    loss: float
    expected: float
    slip: float = 1.0
    of: str = ""

    def words(self) -> str:
        """A clause on it."""
        if self.slip == 1:
            return (
                f"run '{self.run}' has a loss of {significant(self.loss)}, where the others say "
                f"{significant(self.expected)} of its N and D"
            )
        number = self.params if self.of == "params" else self.tokens
        times = f"{self.slip:,.0f} times" if self.slip > 1 else f"a {1 / self.slip:,.0f}th of"
        return (
            f"run '{self.run}' has {humanise(number)} {self.of} and would lie among the others "
            f"with {times} that"
        )


def standing_out(runs: pd.DataFrame) -> list[OddRun]:
    """The runs of one family that stand out, the farthest first; none where too few can tell.

    `runs` has columns run, params [weights], tokens, loss, and maybe tokens_from.
    """
    numbers = runs[["params", "tokens", "loss"]].to_numpy(dtype=float, na_value=np.nan)
    sound = (np.isfinite(numbers) & (numbers > 0)).all(axis=1)
    table, logs = runs[sound], np.log(numbers[sound])
    if len(table) < FEWEST:
        return []
    where, losses = logs[:, :2], logs[:, 2]
    middle, width = np.median(where, axis=0), np.ptp(where, axis=0)
    if not (width > 0).all() or not np.ptp(losses) > 0:
        return []
    scaled = (where - middle) / width
    some = np.arange(len(losses))
    if len(losses) > SEARCHED:
        some = np.sort(np.random.default_rng(0).choice(len(losses), SEARCHED, replace=False))
    agreeing = some[_agreeing(_design(scaled[some]), losses[some])]
    fit, apart = _Quadratic.of(where[agreeing], losses[agreeing]), _apart(where)
    for _ in range(REFITS):
        # The runs that agree best scatter less than all sound ones do.
        sound_ones = (np.abs(fit.off(where, losses)) < FAR) & ~apart
        fit = _Quadratic.of(where[sound_ones], losses[sound_ones])
    off = fit.off(where, losses)
    far = (np.abs(off) > FAR) & (np.abs(losses - fit.at(where)) > np.log1p(LEAST))
    far |= apart
    many = far.sum() > max(1, MOST * len(table))
    if not far.any() or far.sum() > (1 - AGREEING) * len(table):
        return []
    inside = where[~far]
    low, high = inside.min(axis=0), inside.max(axis=0)
    derived = np.zeros(len(table), dtype=bool)
    if "tokens_from" in table:
        derived = table["tokens_from"].eq("flops").fillna(False).to_numpy(dtype=bool)
    # Of runs apart the others say little each, and more of them together.
    stated = np.where(apart, np.sqrt(np.mean(off[apart] ** 2)) if apart.any() else 0.0, np.abs(off))
    out = []
    for at in np.flatnonzero(far)[np.argsort(-np.abs(off[far]))]:
        row = table.iloc[at]
        n, d, loss = (float(row[name]) for name in ("params", "tokens", "loss"))
        most = min(AMONG, float(stated[at]))
        slip, of = _slip(fit, where[at], losses[at], low, high, bool(derived[at]), most)
        within = bool(((where[at] >= low) & (where[at] <= high)).all())
        # Beyond the others the quadratic is no measure; there only a slip explains a run.
        if slip != 1 or within:
            expected = float(np.exp(fit.at(where[at][None])[0]))
            out.append(OddRun(str(row["run"]), n, d, loss, expected, slip, of))
    slips = {(run.slip, run.of) for run in out}
    explained = len(out) == far.sum() and len(slips) == 1 and slips != {(1.0, "")}
    return out if explained or not many else []


def sentence(odd: Sequence[OddRun]) -> str:
    """A clause that names the runs that stand out, with the mend; empty without any."""
    if not odd:
        return ""
    named = "; ".join(run.words() for run in odd[:NAMED])
    more = f"; {len(odd) - NAMED} more" if len(odd) > NAMED else ""
    them = "it" if len(odd) == 1 else "them"
    stand = "stands" if len(odd) == 1 else "stand"
    names = ", ".join(run.run for run in odd[:LISTED])
    return (
        f"{count(len(odd), 'run')} {stand} out ({named}{more}): correct {them}, or leave {them} "
        f"out by `exclude: [{{runs: [{names}], reason: ...}}]` in the study file"
    )


@dataclass(frozen=True, slots=True)
class _Quadratic:
    """ln loss as a quadratic of ln N and ln D: its six terms, and how sure they are.

    `root` is the inverse of the triangle of the design, `sd` the scatter of the runs about it.
    """

    middle: Floats
    width: Floats
    terms: Floats
    root: Floats
    sd: float

    @classmethod
    def of(cls, where: Floats, losses: Floats) -> _Quadratic:
        """The quadratic of runs at `where` (runs, 2)."""
        middle, width = where.mean(axis=0), np.ptp(where, axis=0)
        q, r = np.linalg.qr(_design((where - middle) / width))
        root = np.linalg.pinv(r)
        terms = root @ (q.T @ losses)
        left = losses - _design((where - middle) / width) @ terms
        free = max(len(losses) - TERMS, 1)
        return cls(middle, width, terms, root, float(np.sqrt((left**2).sum() / free)))

    def at(self, where: Floats) -> Floats:
        """ln loss of the others at `where` (runs, 2)."""
        return _design((where - self.middle) / self.width) @ self.terms

    def off(self, where: Floats, losses: Floats) -> Floats:
        """How far runs lie off, in standard deviations of one more run."""
        lever = ((_design((where - self.middle) / self.width) @ self.root) ** 2).sum(axis=1)
        sd = max(self.sd, ROUNDING) * np.sqrt(1 + lever)
        return np.asarray((losses - self.at(where)) / sd)


def _apart(where: Floats) -> NDArray[np.bool_]:
    """Whether a run lies APART beyond all others in ln N or ln D, above or below them."""
    out = np.zeros(len(where), dtype=bool)
    for column in where.T:
        order = np.argsort(column, kind="stable")
        gaps = np.diff(column[order]) > np.log(APART)
        few = max(1, int((1 - AGREEING) * len(where)))
        for k in np.flatnonzero(gaps):
            if k + 1 <= few:
                out[order[: k + 1]] = True
            if len(where) - k - 1 <= few:
                out[order[k + 1 :]] = True
    return out


def _design(x: Floats) -> Floats:
    """The terms of a quadratic in the two columns of `x` (..., 2)."""
    u, v = x[..., 0], x[..., 1]
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=-1)


def _agreeing(design: Floats, losses: Floats) -> NDArray[np.intp]:
    """The AGREEING share of the runs whose quadratic leaves least over."""
    n = len(losses)
    size = max(int(np.ceil(AGREEING * n)), TERMS + 2)
    rng = np.random.default_rng(0)
    sets = np.argsort(rng.random((STARTS, n)), axis=1)[:, : TERMS + 2]
    best, least = np.arange(n), np.inf
    for _ in range(ROUNDS):
        # (starts, terms): pseudo-inverses, since runs of one start may lie on a line.
        terms = np.einsum("stk,sk->st", np.linalg.pinv(design[sets]), losses[sets])
        left = (losses - terms @ design.T) ** 2
        sets = np.argpartition(left, size - 1, axis=1)[:, :size]
        sums = np.take_along_axis(left, sets, axis=1).sum(axis=1)
        if sums.min() < least:
            best, least = sets[sums.argmin()], float(sums.min())
    return best


def _slip(
    fit: _Quadratic,
    where: Floats,
    loss: float,
    low: Floats,
    high: Floats,
    derived: bool,
    most: float,
) -> tuple[float, str]:
    """What a run's count would have to be multiplied by to lie among the others, and which count.

    `low` and `high` are the least and most ln N and ln D of the others. Where D is `derived` from C
    it goes with N. 1 and nothing where no unit puts the run within `most` standard deviations.
    """
    moves = {"params": np.array([1.0, -1.0 if derived else 0.0])}
    if not derived:
        moves["tokens"] = np.array([0.0, 1.0])
    best = (most, 1.0, "")
    for of, move in moves.items():
        for slip in SLIPS:
            there = where + np.log(slip) * move
            if ((there < low - np.log(BESIDE)) | (there > high + np.log(BESIDE))).any():
                continue
            off = abs(float(fit.off(there[None], np.array([loss]))[0]))
            best = min(best, (off, slip, of))
    return best[1], best[2]
