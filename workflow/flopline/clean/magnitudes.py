"""Counts that no language model has: then a unit is wrong, and the study file is to say it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.errors import FloplineError
from flopline.loss_units import (
    BITS,
    BITS_PER_BYTE,
    NATS,
    NATS_PER_BYTE,
    PERPLEXITY,
    stated_unit,
    words,
)
from flopline.schema import KEPT
from flopline.study_document import StudyDocument
from flopline.units import LEAST_FLOPS, Place, places

LIMITS: Final = {
    "params": (1e3, 1e15),
    "tokens": (1e4, 1e18),
    "flops": (LEAST_FLOPS, 1e33),
    "budget_flops": (LEAST_FLOPS, 1e33),
}
"""Between these lie all runs of language models by orders of magnitude, the smallest toys too."""

TOKENS_PER_PARAM: Final = (1e-2, 1e7)
"""Between these lies D / N of sweeps, by orders of magnitude."""

USUAL_TOKENS_PER_PARAM: Final = (0.5, 1e4)
"""Between these lies D / N at the median of a sweep: of the public ones that the backtest reads it
is 17 to 37. Outside it the columns of N and D may be exchanged."""

_THOUSANDS: Final = (1e3, 1e6, 1e9, 1e12)
"""Units in which counts are written."""

_NAMED: Final = 3
"""Runs that a sentence names at most."""

_OFF: Final = 2.2
"""Decades by which C and 6ND differ where one of the two is not in our unit (3 for thousands)."""


def demand_magnitudes(runs: pd.DataFrame, study: StudyDocument) -> None:
    """Raise FloplineError where the kept `runs` have counts that no language model has.

    The sentence says the line to write in the study file; `study` has file and source.
    """
    kept = runs[runs["status"] == KEPT]
    where = dict(places(study["source"]))
    if kept.empty:
        return
    for name, (low, high) in LIMITS.items():
        place = _origin(name, kept, where)
        if place is None or place[1].gives_unit:
            continue
        value = kept[name].to_numpy(dtype=float, na_value=np.nan)
        # One run may be odd at its upper end for many reasons, all runs for one.
        above = (value > high) & bool(kept[name].median() > high)
        mixed = _smaller_by_thousands(value, low)
        if mixed.any():
            _refuse_mixed(study, kept, name, mixed, place)
        for hit, how in ((value < low, f"fewer than {low:,.0f}"), (above, f"over {high:g}")):
            if hit.any():
                _refuse(study, kept, name, int(np.argmax(hit)), int(hit.sum()), how, place)
    _demand_ratios(kept, where, study)
    _demand_loss(kept, study)


def _origin(name: str, kept: pd.DataFrame, where: Mapping[str, Place]) -> tuple[str, Place] | None:
    """From which mapped count a count of the runs follows; None where their format knows it."""
    ways = {
        "params": ("params", "params_total", "params_nonembedding"),
        "tokens": ("tokens", "batch_tokens"),
        "flops": ("flops", "flops_per_token"),
    }.get(name, (name,))
    origin = kept["tokens_from"].mode() if "tokens_from" in kept else pd.Series(dtype="string")
    if name == "tokens" and len(origin):
        ways = {"batch": ("batch_tokens",), "flops": ("flops",)}.get(origin[0], ways)
    return next(((way, where[way]) for way in ways if way in where), None)


def _refuse(
    study: StudyDocument,
    kept: pd.DataFrame,
    name: str,
    at: int,
    hits: int,
    words: str,
    place: tuple[str, Place],
) -> None:
    """Stop at a number of row `at` that cannot be meant.

    `hits` of the runs `kept` have such a `name`, `words` say what is wrong with it, and `place` is
    the fact it comes from and where the study names its column.

    Raises FloplineError, always.
    """
    run, value = kept["run"].iloc[at], float(kept[name].iloc[at])
    of, column = place
    some = f" ({hits} of {len(kept)} runs have)" if len(kept) > 1 else ""
    raise FloplineError(
        f"{study['file']}: run '{run}' has {value:.6g} {name}, {words}{some}, from the column "
        f"'{column.column}': {_mend(of, column)}, correct the number, or leave the run out by "
        "`exclude`."
    )


def _smaller_by_thousands(value: NDArray[np.float64], low: float) -> NDArray[np.bool_]:
    """The values below `low`, where they are few and in thousands or more lie among the others."""
    below, others = value < low, value[value >= low]
    none = np.zeros(len(value), dtype=bool)
    if not 0 < 2 * int(below.sum()) < len(value) or not len(others):
        return none
    # A sweep that is all in millions has sizes on both sides of the limit, and no such gap.
    if others.min() < value[below].max() * 10**_OFF:
        return none
    among = [(value * unit >= others.min()) & (value * unit <= others.max()) for unit in _THOUSANDS]
    fits = np.logical_or.reduce(among)
    return below if fits[below].all() else none


def _refuse_mixed(
    study: StudyDocument,
    kept: pd.DataFrame,
    name: str,
    mixed: NDArray[np.bool_],
    place: tuple[str, Place],
) -> None:
    """Stop at a column in which the runs `mixed` are in another unit than the others.

    Raises FloplineError, always.
    """
    hits = kept[mixed]
    rows = [
        f"'{run}' ({value:.6g})"
        for run, value in zip(hits["run"][:_NAMED], hits[name][:_NAMED], strict=True)
    ]
    more = [f"{len(hits) - _NAMED} more"] if len(hits) > _NAMED else []
    of, column = place
    raise FloplineError(
        f"{study['file']}: the column '{column.column}' mixes units: {len(hits)} of {len(kept)} "
        f"runs have fewer {name} than any model, and would lie among the others if theirs were "
        f"in thousands, millions or billions: {', '.join([*rows, *more])}. Write all rows in one "
        f"unit, leave these runs out by `exclude`, or if they are right as they stand write "
        f"{column.line(of, 1)}."
    )


def _mend(name: str, place: Place) -> str:
    return (
        f"if it is in millions write {place.line(name, 1e6)} (1e3 for thousands, 1e9 for "
        "billions), if it is right as it stands times: 1"
    )


GUESSES: Final = {
    NATS: math.log(2**20),
    BITS: 20.0,
    BITS_PER_BYTE: 8.0,
    NATS_PER_BYTE: 8.0 * math.log(2),
}
"""The loss of a guess among a million entries of a vocabulary, or among the values of a byte."""


def _demand_loss(kept: pd.DataFrame, study: StudyDocument) -> None:
    """Raise FloplineError where most losses are above those of a guess."""
    unit = stated_unit(study)
    above = kept[kept["loss"] > GUESSES[unit]]
    if 2 * len(above) <= len(kept):
        return
    first = above.iloc[0]
    raise FloplineError(
        f"{study['file']}: run '{first['run']}' ends at a loss of {first['loss']:.6g} "
        f"({len(above)} of {len(kept)} runs end above {GUESSES[unit]:.3g}), which is worse than a "
        f"guess in {words(unit)}, so that it is in another unit: write `loss_unit: {PERPLEXITY}` "
        "in source if it is that, else the unit that it is in, or divide it by what it sums over "
        "with `times` in source.columns.loss."
    )


_WHICH: Final = (
    "say which by its times (1e3 for thousands, 1e6 for millions, 1e9 for billions; 1 for counts "
    "that are right), in each of "
)


def _demand_ratios(kept: pd.DataFrame, where: Mapping[str, Place], study: StudyDocument) -> None:
    six_nd = 6.0 * kept["params"] * kept["tokens"]
    ratios = {"flops": kept["flops_over_six_nd"], "budget_flops": kept["budget_flops"] / six_nd}
    known = {name: _origin(name, kept, where) for name in ("params", "tokens", *ratios)}
    unsaid = {name: place for name, place in known.items() if place and not place[1].gives_unit}
    of_size = [unsaid[name] for name in ("params", "tokens") if name in unsaid]
    for name, ratio in ratios.items():
        asked = [*([unsaid[name]] if name in unsaid else []), *of_size]
        middle = float(ratio.median())  # NaN where it is not known
        if known[name] and asked and middle > 0 and abs(np.log10(middle)) > _OFF:
            raise FloplineError(
                f"{study['file']}: {name} of the runs is {middle:.3g} times 6 N D at the median, "
                f"so that one of the counts is in another unit: {_WHICH}{_lines(asked)}."
            )
    each = float((kept["tokens"] / kept["params"]).median())
    low, high = TOKENS_PER_PARAM
    if of_size and not low <= each <= high:
        raise FloplineError(
            f"{study['file']}: the runs have {each:.3g} tokens per param at the median, so that "
            f"one of the two is in another unit, or their columns{_named(of_size)} are exchanged: "
            f"exchange them, or {_WHICH}{_lines(of_size)}."
        )


def doubtful_ratio(runs: pd.DataFrame, study: StudyDocument) -> str:
    """A note where D / N of the kept `runs` is that of no sweep; empty where it is usual."""
    kept = runs[runs["status"] == KEPT]
    each = float((kept["tokens"] / kept["params"]).median())  # NaN where it is not known
    low, high = USUAL_TOKENS_PER_PARAM
    if math.isnan(each) or low <= each <= high:
        return ""
    where = dict(places(study["source"]))
    origins = (_origin(name, kept, where) for name in ("params", "tokens"))
    return (
        f"the runs have {each:.3g} tokens per param at the median, where sweeps have {low:g} to "
        f"{high:,.0f}: see that the columns of N and D{_named(origins)} are not exchanged"
    )


def _named(origins: Iterable[tuple[str, Place] | None]) -> str:
    """The columns in brackets, each with what it is read as; empty where none is mapped."""
    columns = [f"'{place.column}' as {name}" for name, place in filter(None, origins)]
    return f" ({' and '.join(columns)})" if columns else ""


def _lines(counts: list[tuple[str, Place]]) -> str:
    return ", ".join(place.line(name, 1) for name, place in counts)
