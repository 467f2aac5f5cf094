"""The one exception that a user is meant to read."""

from __future__ import annotations

from typing import Final

MOST_LETTERS: Final = 2_000
"""Letters of a sentence; of one that quotes more, the middle is left out."""

_OF_END: Final = 600
"""Letters that are kept of its end, where the mend stands."""


class FloplineError(Exception):
    """A mistake in the input, told in one sentence: which file, which place, which mend.

    What cannot be printed, as a line break in the name of a file, is written as its escape, and
    what is quoted without end is shortened.
    """

    def __init__(self, sentence: object = "") -> None:
        """Keep `sentence` on one line, and to MOST_LETTERS."""
        text = printable(str(sentence))
        if len(text) > MOST_LETTERS:
            text = f"{text[: MOST_LETTERS - _OF_END]} … {text[-_OF_END:]}"
        super().__init__(text)


def printable(text: str) -> str:
    """The text with what cannot be printed, and might be obeyed by a terminal, as its escape."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def clause_of(message: str) -> str:
    """What is wrong, of a message, without the mend that follows its last colon."""
    wrong, colon, _ = message.rstrip(".").rpartition(": ")
    return wrong if colon else message.rstrip(".")
