"""The one door to decoders that others wrote: what they raise at bytes that they cannot read.

None of them promises a closed list of errors. JSON may be nested too deeply or hold a number of too
many digits, a damaged Parquet file makes Arrow raise what its parts raise, and YAML calls the
constructors of Python. Behind this door all of that is Undecodable, with a reason for a sentence.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from flopline.errors import FloplineError

_MOST_LETTERS: Final = 300
"""Letters of a decoder's own words that are quoted."""

MOST_NESTED: Final = 200
"""Levels of objects and lists, far below those that recursion can follow.

Before Python 3.12 the decoder of JSON stopped at about a thousand; since then it goes on to where
nothing written in Python can follow.
"""


class Undecodable(ValueError):
    """Bytes or text that a decoder cannot read; the message says why, `line` where if it knows."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


class RaisedByHook(Exception):
    """What our own hooks raise within a decoder, which is no error of its."""


@contextmanager
def decoding() -> Iterator[None]:
    """Turn whatever a decoder raises within into Undecodable."""
    try:
        yield
    except (FloplineError, RaisedByHook, Undecodable):
        raise
    except json.JSONDecodeError as error:
        raise Undecodable(error.msg, error.lineno) from None
    except RecursionError:
        raise Undecodable("it is nested too deeply") from None
    except MemoryError:
        raise Undecodable("it asks for more memory than there is") from None
    except Exception as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error) or type(error).__name__
        words = " ".join(str(reason).split()).rstrip(".")[:_MOST_LETTERS]
        raise Undecodable(words, mark.line + 1 if mark else None) from None


def toml_of(text: str) -> dict[str, Any]:
    """A document of TOML. Raises Undecodable."""
    with decoding():
        return tomllib.loads(text)


def json_of(text: str | bytes, **hooks: Any) -> Any:
    """The content of JSON, `hooks` being those of json.loads; half a letter is a replaced one.

    Raises Undecodable.
    """
    with decoding():
        content = json.loads(text, **hooks)
    _demand_shallow(content, text)
    escape = "\\u" if isinstance(text, str) else b"\\u"
    return whole_letters(content) if escape in text else content  # type: ignore[operator]


def _demand_shallow(content: Any, text: str | bytes) -> None:
    """Raise Undecodable where content is nested more than MOST_NESTED deep."""
    openings: tuple[Any, Any] = ("{", "[") if isinstance(text, str) else (b"{", b"[")
    if sum(text.count(opening) for opening in openings) <= MOST_NESTED:
        return
    level = [content] if isinstance(content, dict | list) else []
    for _ in range(MOST_NESTED + 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise Undecodable("it is nested too deeply")


def whole_letters(content: Any) -> Any:
    """Content in which the halves of letters that JSON may name alone are replacement characters.

    They are no text that a file can hold.
    """
    if isinstance(content, str):
        if content.isascii():
            return content
        return content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(content, dict):
        return {whole_letters(name): whole_letters(value) for name, value in content.items()}
    return [whole_letters(value) for value in content] if isinstance(content, list) else content
