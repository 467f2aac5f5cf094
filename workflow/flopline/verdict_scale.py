"""The one scale of verdicts: of fits, audits and their checks, tiles of the page and checklist.

good < warned < refuted is the order from best to worst. Beside it stands what was not checked,
which is never good. Word, symbol, colours and line of each are here and nowhere else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from flopline.laws.common.fit_result import CONVERGED, FAILED, WARNING


class Verdict(StrEnum):
    """What a check says. The value is the word for readers, in files and on the page alike."""

    GOOD = "good"
    WARNED = "warned"
    REFUTED = "refuted"
    NOT_CHECKED = "not checked"

    @property
    def look(self) -> Look:
        """How the page shows it."""
        return LOOKS[self]

    @property
    def css(self) -> str:
        """Its class, and the name of its colour, in the page's style."""
        return self.value.replace(" ", "-")


class Look(NamedTuple):
    """A symbol, the colours on light and on dark ground, and the line over a tile.

    The symbol and the line tell verdicts apart without colour.
    """

    symbol: str
    light: str
    dark: str
    line: str


LOOKS: Final = {
    Verdict.GOOD: Look("✓", "#00705a", "#4cc4a4", "4px solid"),
    Verdict.WARNED: Look("!", "#8f5b00", "#e3ad4b", "4px dashed"),
    Verdict.REFUTED: Look("✗", "#b03a06", "#f28b5c", "6px double"),
    Verdict.NOT_CHECKED: Look("?", "#545d68", "#a3acb7", "4px dotted"),
}

OF_FIT: Final = {
    CONVERGED: Verdict.GOOD,
    WARNING: Verdict.WARNED,
    FAILED: Verdict.REFUTED,
}
"""The verdict on a fit of each status."""


def warned_if(bad: object) -> Verdict:
    """What a check says that was made: a warning if it is `bad`."""
    return Verdict.WARNED if bad else Verdict.GOOD


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of those that were made; `NOT_CHECKED` where none was."""
    order = list(LOOKS)
    made = [verdict for verdict in verdicts if verdict is not Verdict.NOT_CHECKED]
    return max(made, key=order.index, default=Verdict.NOT_CHECKED)


def tally(verdicts: Iterable[Verdict]) -> str:
    """How many there are of each, in words: `3 good, 1 warned`."""
    counts = Counter(verdicts)
    parts = [f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]]
    return ", ".join(parts) or Verdict.NOT_CHECKED.value


def style() -> str:
    """Colours, lines and symbols as CSS, for light ground, dark ground and paper."""
    light = " ".join(f"--{verdict.css}: {look.light};" for verdict, look in LOOKS.items())
    dark = " ".join(f"--{verdict.css}: {look.dark};" for verdict, look in LOOKS.items())
    rules = "".join(
        f".status.{name} {{ color: var(--{name}); }}\n"
        f'.status.{name}::before {{ content: "{look.symbol} "; }}\n'
        f".note.{name} {{ border-color: var(--{name}); }}\n"
        f".verdicts .{name} {{ border-top: {look.line} var(--{name}); }}\n"
        f'.verdicts .{name} a::before {{ content: "{look.symbol} "; color: var(--{name}); }}\n'
        for verdict, look in LOOKS.items()
        for name in (verdict.css,)
    )
    return (
        f":root {{ {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n{rules}"
    )
