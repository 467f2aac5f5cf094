"""The works that methods texts cite, from `references.toml`, and texts that cite them.

A text is marked up so that it can be read both as plain text and as LaTeX:

    [@hoffmann2022, section 3.1]   a citation in brackets; several keys stand apart by `;`
    @hoffmann2022                  a citation as part of the sentence
    $N ∝ C^a|N \\propto C^a$        a formula, plain and in LaTeX

Words of the user go through `quoted`, which takes this meaning from the marks in them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from flopline.errors import FloplineError
from flopline.laws.common.methods_text import quoted

__all__ = [
    "LATEX",
    "PLAIN",
    "bibtex",
    "cited",
    "listed",
    "quoted",
    "read_as",
    "references",
]

PLAIN, LATEX = "plain", "latex"

_FILE: Final = Path(__file__).with_name("references.toml")
_MARK: Final = re.compile(
    r"\[@(?P<keys>[a-z0-9]+(?:; ?@[a-z0-9]+)*)(?:, (?P<place>[^\]]+))?\]"
    r"|@(?P<key>[a-z0-9]+)"
    r"|\$(?P<said>[^|$]+)\|(?P<tex>[^$]+)\$"
)
_ACTIVE: Final = str.maketrans({"\ue000": "@", "\ue001": "$"})
_TEX: Final = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        **{mark: f"\\{mark}" for mark in "{}%&_#$"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "–": "--",
        **{
            sign: rf"\ensuremath{{\{name}}}"
            for sign, name in {
                "×": "times", "∞": "infty", "≥": "geq", "≤": "leq", "∝": "propto",
                "α": "alpha", "β": "beta", "δ": "delta",
            }.items()
        },
        "\ue000": "@",
        "\ue001": r"\$",
    }
)  # fmt: skip


@cache
def references() -> Mapping[str, Mapping[str, Any]]:
    """Every work of the registry by its key, in the order of the file."""
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def cited(text: str) -> list[str]:
    """The keys that a marked-up text cites, each once, in the order in which they first stand."""
    keys: dict[str, None] = {}
    for match in _MARK.finditer(text):
        for key in _keys(match):
            keys.setdefault(key)
    return list(keys)


def read_as(text: str, form: str = PLAIN) -> str:
    """A marked-up text as plain text or as LaTeX (natbib's \\citep and \\citet).

    Raises FloplineError for a form or a citation key that does not exist.
    """
    if form not in (PLAIN, LATEX):
        raise FloplineError(f"A methods text is plain or latex, not {form!r}.")
    parts, end = [], 0
    for match in _MARK.finditer(text):
        parts += [_words(text[end : match.start()], form), _marked(match, form)]
        end = match.end()
    return "".join([*parts, _words(text[end:], form)])


def bibtex(keys: Iterable[str]) -> str:
    """BibTeX entries of exactly these keys, each once, in the order of the keys' names.

    Raises FloplineError for a key that the registry does not have.
    """
    return "\n".join(_entry(key, _work(key)) for key in sorted(set(keys)))


def listed(keys: Iterable[str]) -> list[str]:
    """The same works as lines of a plain-text list of references."""
    return [_line(_work(key)) for key in sorted(set(keys))]


def _entry(key: str, work: Mapping[str, Any]) -> str:
    fields = {
        "author": work["author"],
        "title": f"{{{work['title']}}}",
        "journal": work.get("journal", f"arXiv preprint arXiv:{work.get('arxiv')}"),
        "year": work["year"],
        "doi": work.get("doi"),
        "eprint": work.get("arxiv"),
        "archiveprefix": "arXiv" if "arxiv" in work else None,
    }
    lines = [f"  {name:13} = {{{value}}}," for name, value in fields.items() if value is not None]
    return "\n".join([f"@{work['type']}{{{key},", *lines, "}", ""])


def _line(work: Mapping[str, Any]) -> str:
    title = re.sub("[{}]", "", work["title"])
    where = f"arXiv {work['arxiv']}" if "arxiv" in work else f"{work['journal']}, {work['doi']}"
    return f"{work['cited']} {work['year']}. {title}. {where}."


def _work(key: str) -> Mapping[str, Any]:
    if key not in references():
        raise FloplineError(f"There is no work '{key}' in {_FILE.name}: add it there.")
    return references()[key]


def _keys(match: re.Match[str]) -> list[str]:
    if match["keys"]:
        return [key.strip(" @") for key in match["keys"].split(";")]
    return [match["key"]] if match["key"] else []


def _marked(match: re.Match[str], form: str) -> str:
    if match["said"]:
        return f"${match['tex']}$" if form == LATEX else match["said"]
    keys = _keys(match)
    works = [_work(key) for key in keys]
    if form == LATEX:
        place = f"[{_words(match['place'], form)}]" if match["place"] else ""
        command = r"\citet" if match["key"] else r"\citep"
        return f"{command}{place}{{{','.join(keys)}}}"
    if match["key"]:
        return f"{works[0]['cited']} ({works[0]['year']})"
    cited_works = "; ".join(f"{work['cited']} {work['year']}" for work in works)
    return f"({cited_works}, {match['place']})" if match["place"] else f"({cited_works})"


def _words(text: str, form: str) -> str:
    if form != LATEX:
        return text.translate(_ACTIVE)
    # Those that no font of pdfLaTeX has by their number, as in the tables for a paper.
    return re.sub(r"[^\x00-\u017f]", lambda c: f"[U+{ord(c[0]):04X}]", text.translate(_TEX))
