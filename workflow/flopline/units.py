"""Units of counts: told by the study file, or asked for where a name or a target is in doubt.

A column with `times` says its unit: what is read with it, be it by 1, is taken as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flopline.errors import FloplineError
from flopline.study_document import SourceDocument
from flopline.written_numbers import parse_number

COUNTS: Final = (
    "params",
    "params_total",
    "params_nonembedding",
    "tokens",
    "horizon_tokens",
    "unique_tokens",
    "batch_tokens",
    "flops",
    "budget_flops",
    "flops_per_token",
)
"""What is counted in units of one, and written in thousands, millions or billions as often."""

LEAST_FLOPS: Final = 1e6
"""No run of a language model, the smallest toy too, has less compute."""

MOST_FLOPS: Final = 1e40
"""Far beyond any computer, and far enough from where floating-point numbers end."""

FARTHEST: Final = 1e4
"""A target this many times beyond the largest run is a mistake in units, or says nothing."""

_PF_DAY: Final = 1e15 * 86_400
_WORDS: Final = {
    "thousands?": 1e3,
    "millions?|mio|mln": 1e6,
    "billions?|bn|mrd": 1e9,
    "trillions?|tn": 1e12,
}
_LETTERS: Final = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
_FLOPS: Final = {
    "kilo|k": 1e3,
    "mega|m": 1e6,
    "giga|g": 1e9,
    "tera|t": 1e12,
    "peta|p": 1e15,
    "exa|e": 1e18,
    "zetta|z": 1e21,
    "yotta|y": 1e24,
}


def _any_of(words: Mapping[str, float]) -> str:
    return "|".join(f"(?P<u{place}>{word})" for place, word in enumerate(words))


_WORD: Final = re.compile(rf"(?<![a-z])(?:{_any_of(_WORDS)})(?![a-z])", re.IGNORECASE)
_LETTER: Final = re.compile(
    r"[(\[{]\s*(?:in )?([KMBGT])\s*[)\]}]|[ _.,/-](?:in )?(?-i:([KMBGT]))$", re.I
)
_TEN: Final = re.compile(
    r"(?:[(\[{/]\s*|\s)(?:in )?(?:[x×*·]\s*)?"
    r"(?:1e\+?0?(\d{1,2})|10(?:\^|\*\*)\{?(\d{1,2})\}?)(?![\d.])[^)\]}]*[)\]}]?",
    re.IGNORECASE,
)
"""A power of ten beside a name, as in `params (1e6)`, `tokens / 10^9` or `flops [x10^18]`."""
_OF_FLOPS: Final = re.compile(
    rf"(?:(?<![a-z])|(?<=[a-z])(?=[A-Z]))(?:{_any_of(_FLOPS)})flop", re.IGNORECASE
)
_DAYS: Final = re.compile(
    r"(?<![a-z])(?:pf|pflops?|petaflops?)\W*s?[\W_]*days?(?![a-z])", re.IGNORECASE
)


_BUDGET: Final = re.compile(
    rf"(?P<number>.*?[\d.}}])\s*(?:(?P<days>(?:pf(?:lop)?s?|petaflops?)(?:/s)?[- ]?days?)"
    rf"|(?P<flops>(?:{_any_of(_FLOPS)})?flops?))?",
    re.IGNORECASE,
)
_POWER: Final = re.compile(r"(^|\d\.?)[x×*·]?10\^\{?([+-]?\d+)\}?$", re.IGNORECASE)
_BLANKS: Final = re.compile(r"[\s\u00a0\u202f]")


def parse_flops(text: str) -> float:
    """A budget [FLOPs] as the planner of the page reads it, or as counts are written; else NaN.

    3.2e23, 6.3 x 10^22, 1,000,000, 5 ZFLOPs, 500 PF-days (workflow/report/planner.js).
    """
    match = _BUDGET.fullmatch(text.strip())
    if match is None:
        return parse_number(text)
    digits = _BLANKS.sub("", match["number"]).replace("**", "^")
    power = _POWER.search(digits)
    if power:
        digits = f"{digits[: power.start()]}{power[1] or '1'}e{power[2]}"
    number = parse_number(digits)
    if math.isnan(number) or not match["flops"]:
        return number * (_PF_DAY if match["days"] else 1.0)
    units = [unit for place, unit in enumerate(_FLOPS.values()) if match[f"u{place}"]]
    return number * (units[0] if units else 1.0)


def unit_of(column: str) -> float | None:
    """What a column's name says its numbers are in, as 1e6 of `params (M)`; None if nothing."""
    if _DAYS.search(column):
        return _PF_DAY
    for regex, units in ((_WORD, _WORDS), (_OF_FLOPS, _FLOPS)):
        if counted := regex.search(column):
            return list(units.values())[int(str(counted.lastgroup)[1:])]
    if power := _TEN.search(column):
        return 10.0 ** int(power[1] or power[2])
    letter = _LETTER.search(column)
    return _LETTERS[(letter[1] or letter[2]).lower()] if letter else None


def without_unit(column: str) -> str:
    """A column's name without the unit that it says: `params (M)` is params."""
    if _OF_FLOPS.search(column) and not _DAYS.search(column):
        return _OF_FLOPS.sub("flop", column)
    for regex in (_DAYS, _WORD, _TEN, _LETTER):
        if regex.search(column):
            return re.sub(r"[\W_]in[\W_]*$", "", regex.sub("", column)).strip()
    return column


@dataclass(frozen=True, slots=True)
class Place:
    """Where a study file names what a count is read from: the key above it, and what stands there.

    `spec` is a column's name or {column, times}; empty where no column is named.
    """

    key: str
    spec: Any

    @property
    def gives_unit(self) -> bool:
        """Whether it says its unit."""
        return isinstance(self.spec, dict)

    @property
    def column(self) -> str:
        """The name of the column."""
        return str(self.spec["column"] if self.gives_unit else self.spec)

    def line(self, name: str, times: float) -> str:
        """The line of the study file that says the unit."""
        return (
            f"`{name}: {{column: {_quoted(self.column)}, times: {_written(times)}}}` in {self.key}"
        )


def places(source: SourceDocument) -> Iterator[tuple[str, Place]]:
    """Every count that a source maps, by our name, and where."""
    runs = source.get("runs", {})
    maps = {
        "source.columns": source.get("columns"),
        "source.runs.columns": runs.get("columns"),
        "source.runs.sidecar.columns": runs.get("sidecar", {}).get("columns"),
        "source.runs.from_log": runs.get("from_log"),
    }
    for key, columns in maps.items():
        for name, spec in (columns or {}).items():
            if name in COUNTS:
                yield name, Place(key, spec)


def unsaid_units(source: SourceDocument) -> Iterator[str]:
    """A sentence for each column whose name tells a unit that the study file does not."""
    for name, place in places(source):
        unit = None if place.gives_unit else unit_of(place.column)
        if unit is not None:
            yield (
                f"the column '{place.column}' ({place.key}.{name}) says that it is not in units of "
                f"one: write {place.line(name, unit)} (times: 1 if its numbers are whole counts)."
            )


def open_counts(source: SourceDocument) -> list[str]:
    """The lines that would say the units of N, D and C, of those that a source does not tell."""
    wanted = ("params", "tokens", "flops")
    counted = ((name, place) for name, place in places(source) if name in wanted)
    return [place.line(name, 1) for name, place in counted if not place.gives_unit]


def misread_targets(targets: Sequence[float]) -> Iterator[str]:
    """A sentence for each target that is less than any language model's compute, or no compute."""
    for target in targets:
        if target > MOST_FLOPS:
            yield (
                f"the target {target:g} FLOPs is beyond {MOST_FLOPS:g}, which no computer will "
                "ever do: correct its exponent."
            )
        if target < LEAST_FLOPS:
            yield (
                f"the target {target:g} FLOPs is fewer than {LEAST_FLOPS:,.0f}, which no language "
                "model is trained on: write a decimal point where there is a decimal comma "
                "(3.5e21, not 3,5e21, which is two targets), and FLOPs where it is in another unit."
            )


def demand_reach(most: float, targets: Sequence[float], file: str, lines: Sequence[str]) -> None:
    """Raise FloplineError for a target far beyond `most`, the compute of the largest run.

    `lines` are open_counts of the study file `file`; where there are none, units are known.
    """
    if lines and max(targets) > FARTHEST * most:
        raise FloplineError(
            f"{file}: the target {max(targets):g} FLOPs is {max(targets) / most:,.0f} times the "
            f"largest run ({most:.3g}), so that a unit is wrong or the runs say nothing of it: "
            "correct the target or the units, or write that the counts are right as they stand: "
            f"{' and '.join(lines)}."
        )


def _quoted(column: str) -> str:
    quoted = "'" + column.replace("'", "''") + "'"
    return column if re.fullmatch(r"[A-Za-z_][\w.]*", column) else quoted


def _written(times: float) -> str:
    text = f"{times:g}".replace("e+", "e")
    return re.sub(r"e0*(\d)", r"e\1", text)
