"""Numbers as people read them: 63.2B params, 5.76e23 FLOPs, 1.974 nats per token.

Pure functions from numbers to text, without Matplotlib, so that pages, figures and messages
write the same number in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

MISSING = "–"
"""What stands where there is no number."""

_SUFFIXES = ("", "K", "M", "B", "T")

NO_WIDTH: Final = 1e-6
"""Relative width of an interval at and below which it is rounding: losses are logged to four digits
or more, and the seed of a run alone moves its loss by a thousandth."""


def humanise(x: float, digits: int = 3) -> str:
    """A count with a suffix and at most `digits` significant digits: 63.2B, 1.4T, 950, 0.51.

    K, M, B and T are 1e3, 1e6, 1e9 and 1e12; from 1e15 on the number is written as 1.4e15.
    """
    if not math.isfinite(x):
        return _not_finite(x)
    mantissa, power = f"{x:.{digits - 1}e}".split("e")
    exponent = int(power)
    group = max(exponent // 3, 0)
    if group >= len(_SUFFIXES) or exponent < -3:
        return number(x, digits)
    decimals = max(digits - 1 - (exponent - 3 * group), 0)
    scaled = float(mantissa) * 10.0 ** (exponent - 3 * group)
    return _strip(f"{scaled:.{decimals}f}") + _SUFFIXES[group]


def size_in_words(size: int) -> str:
    """Bytes as they are told: 950 bytes, 12.4 kB, 3.1 MB."""
    for unit, of in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= of:
            return f"{size / of:,.1f} {unit}"
    return f"{size} byte{'s' * (size != 1)}"


def flops_label(x: float, digits: int = 3) -> str:
    """FLOPs in scientific notation without padding: 5.76e23, 1e18."""
    if not math.isfinite(x):
        return _not_finite(x)
    if x == 0:
        return "0"
    mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
    return f"{_strip(mantissa)}e{int(exponent)}"


def significant(x: float, digits: int = 4) -> str:
    """`x` with exactly `digits` significant digits, trailing zeros kept: 1.974, 2.100 (a loss)."""
    if not math.isfinite(x):
        return _not_finite(x)
    return _tidy_exponent(f"{x:#.{digits}g}").removesuffix(".")


def number(x: float, digits: int = 6) -> str:
    """`x` with at most `digits` significant digits: 0.347311, 2143.4, 1.2e-9."""
    if not math.isfinite(x):
        return _not_finite(x)
    return _tidy_exponent(f"{x:.{digits}g}")


def factor(x: float) -> str:
    """A ratio as a multiple: 25×, 1.17×."""
    return f"{humanise(x)}×" if math.isfinite(x) else _not_finite(x)


def interval(lo: float, hi: float, label: Callable[[float], str] = humanise) -> str:
    """The interval from `lo` to `hi`, each written by `label`; a dash where either is missing."""
    if math.isnan(lo) or math.isnan(hi):
        return MISSING
    return "no width" if has_no_width(lo, hi) else f"{label(lo)} to {label(hi)}"


def has_no_width(low: float, high: float) -> bool:
    """Whether an interval says nothing: its ends are one number but for rounding.

    So they are where numbers lie on a law to the last digits, as none that were measured do.
    """
    largest = max(abs(low), abs(high))
    return 0 < largest < math.inf and abs(high - low) <= NO_WIDTH * largest


def count(n: int, noun: str = "") -> str:
    """A whole number with thousands separated, and its noun in the right form: 1,234 runs."""
    if not noun:
        return f"{n:,}"
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _strip(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _tidy_exponent(text: str) -> str:
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa


def _not_finite(x: float) -> str:
    if math.isnan(x):
        return MISSING
    return "∞" if x > 0 else "-∞"
