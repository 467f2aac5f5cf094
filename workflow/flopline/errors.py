"""The one exception that a user is meant to read."""


class FloplineError(Exception):
    """A mistake in the input, told in one sentence: which file, which place, which mend.

    What cannot be printed, as a line break in the name of a file, is written as its escape.
    """

    def __init__(self, sentence: object = "") -> None:
        """Keep `sentence` on one line."""
        printable = (c if c.isprintable() else repr(c)[1:-1] for c in str(sentence))
        super().__init__("".join(printable))


def clause_of(message: str) -> str:
    """What is wrong, of a message, without the mend that follows its last colon."""
    wrong, colon, _ = message.rstrip(".").rpartition(": ")
    return wrong if colon else message.rstrip(".")
