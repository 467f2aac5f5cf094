"""A log with names replaced and numbers kept, and whether it is still read as the log is."""

from __future__ import annotations

import ast
import itertools
import re
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import pandas as pd

from flopline.drafting.columns import row_columns
from flopline.drafting.survey import columns_of, likest_row
from flopline.errors import FloplineError
from flopline.logs.formats import FORMATS
from flopline.logs.opening import BEGIN, head_of, is_binary, text_lines
from flopline.logs.readers import read_log, sniffed
from flopline.logs.reading import Reading
from flopline.numbers import count
from flopline.places import LIBRARY

WORD: Final = re.compile(r"[^\W\d_]{2,}")
"""A run of letters; digits and underscores part words, so that `loss_v2` is `loss` and `v`."""
ADDRESS: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>|,;)\]}]+"  # a URL
    r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"  # an e-mail address, or user@host
    r"|(?<![\w.])(?:~|[A-Za-z]:)?(?:[\\/][\w.@~+-]*[\w@~+-]){2,}"  # a path of two names or more
    r"|\b\d{1,3}(?:\.\d{1,3}){3}\b"  # an IPv4 address
)
LONGEST_UNIT: Final = 3
"""Letters right behind a number that may be its unit: `2.00kit`, `5.4M`, `31ms`."""
TOLD: Final = ("step", "tokens", "flops", "split", "loss")


@dataclass(frozen=True, slots=True)
class Anonymised:
    """The text, how many lines it has, and how many words and addresses were replaced in it."""

    text: str
    lines: int
    words: int
    urls: int


@dataclass(frozen=True, slots=True)
class Alike:
    """Whether a copy is read as the log is, in a sentence."""

    alike: bool
    sentence: str


def anonymised(log: Path, lines: int = 0, keep: Iterable[str] = ()) -> Anonymised:
    """The first `lines` lines of a text log (0: all) with names replaced and numbers kept.

    Raises FloplineError for a file that cannot be read and for a binary one.
    """
    if not log.is_file():
        raise FloplineError(f"{log} is no file: name one log, not a folder.")
    if is_binary(head_of(log, BEGIN)):
        raise FloplineError(
            f"{log} is binary, and names in it cannot be told from numbers: export it as text."
        )
    kept = known_words() | {word.lower() for word in keep}
    names: dict[str, str] = {}
    addresses: dict[str, str] = {}

    def address(match: re.Match[str]) -> str:
        found = match[0]
        return addresses.setdefault(found, _address(found, len(addresses) + 1))

    def word(match: re.Match[str]) -> str:
        found = match[0]
        before = match.string[match.start() - 1 : match.start()]
        if found.lower() in kept or (before.isdigit() and len(found) <= LONGEST_UNIT):
            return found
        new = names.setdefault(found.lower(), f"word{_letters(len(names))}")
        return new.upper() if found.isupper() else new

    out = []
    for text in _first(log, lines):
        parts = []
        end = 0
        for match in ADDRESS.finditer(text):
            parts += [WORD.sub(word, text[end : match.start()]), address(match)]
            end = match.end()
        out.append("".join([*parts, WORD.sub(word, text[end:])]))
    return Anonymised("\n".join([*out, ""]), len(out), len(names), len(addresses))


def read_alike(log: Path, copy: Path, lines: int) -> Alike:
    """Whether the copy gives the rows that the first `lines` lines of the log give."""
    with tempfile.TemporaryDirectory() as folder:
        begin = Path(folder, log.name.removesuffix(".gz").removesuffix(".zst"))
        begin.write_text("\n".join([*_first(log, lines), ""]), encoding="utf-8", newline="")
        first, second = _outcome(begin), _outcome(copy)
    if isinstance(first, str) or isinstance(second, str):
        if isinstance(first, str) and isinstance(second, str):
            if likest_row(log)[1]:
                return Alike(True, "Neither the log nor the copy is read by any format here.")
            return Alike(
                False,
                f"{log} is no log: no format here reads it, and no line of it is like a row of "
                "one. Read the copy with care before you send it.",
            )
        return Alike(
            False, "Only one of the log and its copy is read: keep the words of its keys by --keep."
        )
    same = first[0] == second[0] and first[1].equals(second[1])
    if same:
        return Alike(True, f"It is read as the log is: {first[0]}, {count(len(first[1]), 'row')}.")
    return Alike(
        False,
        f"It is read in another way ({count(len(second[1]), 'row')}, the log "
        f"{len(first[1]):,}): keep the words of its keys by --keep.",
    )


@cache
def known_words() -> frozenset[str]:
    """Words in lower case that a format, column or fact is known by, and those that name nobody."""
    listed = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    texts: list[str] = [listed["words"]]
    for path in sorted([*LIBRARY.glob("logs/*.py"), *LIBRARY.glob("drafting/*.py")]):
        texts += _strings(path.read_text(encoding="utf-8"))
    trainers = tomllib.loads((LIBRARY / "logs/trainers.toml").read_text(encoding="utf-8"))
    texts += _leaves(trainers)
    return frozenset({word.lower() for text in texts for word in WORD.findall(text)})


def _strings(source: str) -> Iterator[str]:
    """The string constants of a module that are no docstrings: keys, patterns, names of columns."""
    tree = ast.parse(source)
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in documents:
            value = node.value
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            # Sentences are for people; what stands in logs has no blank, or is a pattern.
            if isinstance(text, str) and text.count(" ") < 4:
                yield text


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield str(value)


def _first(log: Path, lines: int) -> list[str]:
    texts = (text for _, text, _ in text_lines(log))
    return list(itertools.islice(texts, lines or None))


def _letters(number: int) -> str:
    """0 is a, 25 is z, 26 is aa: letters, since digits would be numbers of the log."""
    out = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        out = chr(97 + rest) + out
    return out


def _address(found: str, number: int) -> str:
    name = f"place{_letters(number - 1)}"
    if "://" in found:
        return f"https://{name}.example"
    if "@" in found:
        return f"{name}@example.org"
    if found[0].isdigit():
        return "0.0.0.0"  # noqa: S104 (text of a log, bound to nothing)
    ending = re.search(r"\.(?:jsonl?|csv|tsv|log|txt|out|err|parquet|ya?ml|pt|bin|py)$", found)
    return f"/{name}{ending[0] if ending else ''}"


def _outcome(path: Path) -> tuple[str, pd.DataFrame] | str:
    """Format and rows of a log, or why it is not read."""
    try:
        name = sniffed(path)
        if name is None:
            return "no format knows it"
        entry = FORMATS[name]
        columns = None if entry.columns.of_format else row_columns(columns_of(path, name))
        reading: Reading = read_log(path, columns, name)
    except FloplineError as mistake:
        return str(mistake)
    rows = reading.rows[[c for c in TOLD if c in reading.rows]].reset_index(drop=True)
    if "split" in rows:  # a split may be called after a data set
        rows["split"] = pd.factorize(rows["split"])[0]
    return name, rows
