"""Numbers as people and trainers write them: the same spellings in rows, tables, names, sidecars.

A separator of thousands, which may be a blank that breaks no line, an apostrophe or a low line,
stands before groups of exactly three digits and nowhere else. Any other comma could be a decimal
one: such a text is no number until the study says so (`source.decimal`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

DECIMALS: Final = (".", ",")
"""What may part the whole from the fraction, by default the first."""

_COUNTS: Final = {"": "", "k": "e3", "m": "e6", "b": "e9", "g": "e9", "t": "e12"}
_SECONDS: Final = {"": "", "us": "e-6", "ms": "e-3", "s": ""}
_NO_UNIT: Final = {"": ""}
"""What may stand behind a number, and the exponent that it stands for."""


_OTHER: Final = {".": ",", ",": "."}
"""What is no decimal mark then, but may set thousands apart."""


_THIN: Final = "_'\u00a0\u202f\u2009\u2019"
"""What else sets thousands apart: blanks that keep a number on one line, and Swiss apostrophes."""


_THOUSANDS: Final = re.compile(rf"\d[{_THIN[1:]}]\d")


def _pattern(decimal: str) -> re.Pattern[str]:
    other = _OTHER[decimal]
    grouped = rf"[1-9]\d{{0,2}}(?P<mark>[{other}{_THIN}])\d{{3}}(?:(?P=mark)\d{{3}})*"
    point = re.escape(decimal)
    digits = rf"[-+]?(?:(?:{grouped}|\d+)(?:{point}\d*)?|{point}\d+)"
    return re.compile(rf"(?P<digits>{digits})(?P<power>[eE][-+]?\d+)?\s*(?P<unit>[A-Za-z]*)")


_NUMBERS: Final = {decimal: _pattern(decimal) for decimal in DECIMALS}


def parse_number(text: Any, decimal: str = ".") -> float:
    """A count or measure as people write it: 1.3e9, 1_300, 1,300,000, 190M, 1.3B; else NaN."""
    return _parsed(text, decimal, _COUNTS)


def parse_seconds(text: Any, decimal: str = ".") -> float:
    """A time in seconds: 12.5, 12.5s, 250ms; NaN where it is none."""
    return _parsed(text, decimal, _SECONDS)


def parse_plain(text: Any, decimal: str = ".") -> float:
    """A number without a unit, as a loss is; NaN where it is none.

    No loss is so large that its thousands are set apart: the comma of 3,341 is a decimal one.
    """
    if isinstance(text, str) and (_OTHER[decimal] in text or _THOUSANDS.search(text)):
        return math.nan
    return _parsed(text, decimal, _NO_UNIT)


def is_rounded(text: Any) -> bool:
    """Whether a number is written with K, M, B or T, so that its last digits are not told."""
    return isinstance(text, str) and text.strip()[-1:].lower() in set(_COUNTS) - {""}


def has_doubtful_comma(text: Any, decimal: str = ".", plain: bool = False) -> bool:
    """Whether a text is no number for a comma that parts no groups of three digits: 5,4M.

    In a `plain` number, such as a loss, no comma parts any.
    """
    words = str(text)
    without = words.replace(",", "")
    parse = parse_plain if plain else parse_number
    unread = decimal == "." and without != words and math.isnan(parse(words))
    return unread and not math.isnan(parse(without))


def has_comma_of_thousands(text: Any, decimal: str = ".", plain: bool = False) -> bool:
    """Whether a text is no number only for a comma where groups of three digits meet.

    That is in a `plain` number, such as a loss, which has no thousands: 3,565; and in any number
    of a study that says a decimal comma: 45,643,546.
    """
    words = str(text)
    refused = math.isnan((parse_plain if plain else parse_number)(words, decimal))
    return refused and "," in words and not math.isnan(parse_number(words))


def has_doubtful_point(text: Any, decimal: str, plain: bool = False) -> bool:
    """Whether a text is no number only for its point, since the study says a decimal comma: 3.5."""
    parse = parse_plain if plain else parse_number
    words = str(text)
    if decimal == "." or "." not in words or not math.isnan(parse(words, decimal)):
        return False
    return not math.isnan(parse(words))


def why_no_number(text: Any, decimal: str = ".", place: str = "source.runs") -> str:
    """What is wrong with a text that is no number, and the mend, as the end of a sentence.

    `place` is where the study says what parts the whole of such a number from its fraction.
    """
    if has_doubtful_comma(text, decimal):
        return (
            "whose comma parts no groups of three digits: if it is a decimal comma, set `decimal: "
            f"','` in {place}, else correct the number"
        )
    if decimal == "," and "." not in str(text) and has_comma_of_thousands(text, decimal):
        return (
            f"which has commas between its thousands, and {place} says a decimal comma: write it "
            "without them, or take `decimal: ','` out and write all fractions there with points"
        )
    if has_doubtful_point(text, decimal):
        return (
            f"which has a decimal point, and {place} says a decimal comma: take `decimal: ','` out "
            "of it if points part the fractions there, else correct the number"
        )
    return "which is no number: correct it"


def as_float(number: float) -> float:
    """A number as floating-point, infinite where it is beyond."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _parsed(text: Any, decimal: str, units: Mapping[str, str]) -> float:
    if isinstance(text, bool) or text is None:
        return math.nan
    if isinstance(text, int | float):
        return as_float(text)
    match = _NUMBERS[decimal].fullmatch(str(text).strip())
    if match is None or (unit := match["unit"].lower()) not in units:
        return math.nan
    digits = match["digits"].replace(match["mark"] or "_", "").replace(decimal, ".")
    if match["power"]:
        return float(digits + match["power"]) * float(f"1{units[unit]}")
    return float(digits + units[unit])
