"""LaTeX for tables in papers: text and numbers that compile, tables with booktabs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flopline.numbers import MISSING

INTERVALS: Final = ("80", "95")
"""Levels of the intervals below a point estimate, in percent."""
MOST_ROWS: Final = 36
"""Rows of a table that fit on a page beside its caption and notes."""

_ESCAPES: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
    "’": "'",
    "‘": "`",
    "“": "``",
    "”": "''",
    "\N{NO-BREAK SPACE}": "~",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "±": r"$\pm$",
    "−": "$-$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≈": r"$\approx$",
    "∝": r"$\propto$",
    "∞": r"$\infty$",
    "→": r"$\to$",
    "µ": r"$\mu$",
    **{
        letter: f"$\\{name}$"
        for letter, name in {
            "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta",
            "η": "eta", "θ": "theta", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu",
            "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi", "χ": "chi",
            "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda",
            "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
        }.items()
    },
}  # fmt: skip
_POWER: Final = re.compile(r"(?P<sign>-?)(?P<mantissa>\d[\d.]*)e(?P<exponent>-?\d+)")
_PLAIN: Final = re.compile(r"-?\d[\d.,]*")
# Latin Extended-A letters that LaTeX's T1 fonts lack.
_NO_GLYPH: Final = frozenset("ĀāĈĉĊċĒēĔĕĖėĜĝĠġĢģĤĥĦħĨĩĪīĬĭĮįĴĵĶķĸĻļŅņŌōŎŏŖŗŜŝŦŧŨũŪūŬŭŲųŴŵŶŷſ")


def text(words: object) -> str:
    """Words of the user as LaTeX that shows them: its special characters mean nothing.

    Letters of western and central European languages stay; a character that no font of pdfLaTeX
    has is written by its number, as [U+4E2D]. Line breaks become spaces.
    """
    clean = " ".join(unicodedata.normalize("NFC", str(words)).split(" ")).split()
    return " ".join("".join(map(_character, word)) for word in clean)


def number(written: str) -> str:
    """A number as flopline.numbers writes it, as LaTeX: 5.76e23 becomes a power of ten."""
    if written == MISSING:
        return "--"
    power = _POWER.fullmatch(written)
    if power:
        ten = f"10^{{{power['exponent']}}}"
        times = "" if power["mantissa"] == "1" else rf"{power['mantissa']} \times "
        return f"${power['sign']}{times}{ten}$"
    if _PLAIN.fullmatch(written) and written.startswith("-"):
        return f"${written}$"
    return text(written.replace("-∞", "−∞"))


def interval(written: str) -> str:
    """An interval as flopline.numbers.interval writes it, as LaTeX in brackets."""
    if written == MISSING:
        return "--"
    lo, _, hi = written.partition(" to ")
    return f"[{number(lo)}, {number(hi)}]"


def _character(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    code = ord(letter)
    latin = 0xBF <= code <= 0x17F and letter not in _NO_GLYPH
    if 0x20 <= code < 0x7F or latin:
        return letter
    return f"[U+{code:04X}]"


@dataclass(frozen=True, slots=True)
class TexTable:
    """A table of LaTeX: every text in it is LaTeX already.

    `name` is that of its file and label; `columns` is the argument of tabular; `groups` are rows
    of cells that stay together, with `between` from one group to the next; `notes` stand below,
    small. A table of more than `MOST_ROWS` rows goes on in another, since it could not be set.
    """

    name: str
    caption: str
    columns: str
    header: Sequence[str]
    groups: Sequence[Sequence[Sequence[str]]]
    notes: Sequence[str] = ()
    between: str = r"\addlinespace"

    def __str__(self) -> str:
        parts = _parts([group for group in self.groups if group]) or [[[["none"]]]]
        return "\n".join(self._environment(part, i, len(parts)) for i, part in enumerate(parts))

    def _environment(self, groups: Sequence[Sequence[Sequence[str]]], i: int, parts: int) -> str:
        first = [rf"\caption{{{self.caption}}}", rf"\label{{tab:{self.name}}}"]
        further = [rf"\caption*{{Table~\ref{{tab:{self.name}}}, continued.}}"]
        rows = [[_row(cells, len(self.header)) for cells in group] for group in groups]
        lines = [
            r"\begin{table}[htbp]",
            r"\centering",
            *(further if i else first),
            r"\small",
            r"\setlength{\tabcolsep}{3pt}",
            rf"\begin{{tabular}}{{@{{}}{self.columns}@{{}}}}",
            r"\toprule",
            _row(self.header, len(self.header)),
            r"\midrule",
            f"\n{self.between}\n".join("\n".join(group) for group in rows),
            r"\bottomrule",
            r"\end{tabular}",
            *([_note(note) for note in self.notes] if i == parts - 1 else []),
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"


def document(title: str, tables: Sequence[str], synthetic: bool) -> str:
    """A document with nothing but these tables, by the names of their files beside it."""
    warning = [r"\textbf{Synthetic data: runs were simulated, not trained.}\par"] * synthetic
    return "\n".join(
        [
            "% Compiles on its own: pdflatex tables.tex. For a paper, load booktabs and caption",
            "% and \\input the table that you want.",
            r"\documentclass{article}",
            r"\usepackage[utf8]{inputenc}",
            r"\usepackage[T1]{fontenc}",
            r"\usepackage{textcomp}",
            r"\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}",
            r"\usepackage[a4paper,margin=2cm]{geometry}",
            r"\usepackage{booktabs,caption}",
            r"\captionsetup{skip=6pt}",
            r"\begin{document}",
            rf"\section*{{{text(title)}}}",
            *warning,
            *[rf"\input{{{name}.tex}}" for name in tables],
            r"\end{document}",
            "",
        ]
    )


def _parts(
    groups: Sequence[Sequence[Sequence[str]]],
) -> list[list[Sequence[Sequence[str]]]]:
    """Groups of rows, as many together as fit on a page."""
    parts: list[list[Sequence[Sequence[str]]]] = []
    room = 0
    for group in groups:
        if len(group) > room:
            parts.append([])
            room = MOST_ROWS
        parts[-1].append(group)
        room -= len(group)
    return parts


def _row(cells: Sequence[str], width: int) -> str:
    if len(cells) > width:
        raise ValueError(f"a row has {len(cells)} cells where the header has {width}")
    row = " & ".join([*cells, *[""] * (width - len(cells))]) + r" \\"
    # After the end of a row or a rule these would be its argument or its star.
    return f"{{}}{row}" if row.startswith(("[", "*")) else row


def _note(note: str) -> str:
    return f"\n\\par\\smallskip\\parbox{{\\linewidth}}{{\\footnotesize {note}}}"
