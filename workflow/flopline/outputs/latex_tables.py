"""The tables of a study for a paper: the decision, exponents, parameters and runs, as LaTeX."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pandas as pd

from flopline.documents import NO_ESTIMATE, EstimateJson, FitJson
from flopline.laws.common.fit_result import CONVERGED, FAILED
from flopline.laws.spec import spec_of
from flopline.loss_units import NATS, words
from flopline.numbers import MISSING, count, flops_label, humanise, significant
from flopline.numbers import number as digits
from flopline.outputs.tex import INTERVALS, TexTable, document, interval, number, text
from flopline.report.fit_views import EXPONENTS, Fits, each_fit
from flopline.report.formatting import FormattedEstimate, formatted, row_estimate
from flopline.report.intervals import resampled_words
from flopline.schema import HELD_OUT, KEPT, QUARANTINED

NAMES: Final = ("decision", "exponents", "parameters", "runs", "tables")
"""The files, without their ending .tex; the last is a document of all others."""

QUANTITIES: Final[dict[str, Callable[[float], str]]] = {
    "params": humanise,
    "tokens": humanise,
    "tokens_per_param": humanise,
    "loss": significant,
    "loss_new_run": significant,
}
"""What the decision says of each target, and how it is written."""
HEADERS: Final = {
    "params": "$N$",
    "tokens": "$D$",
    "tokens_per_param": "$D/N$",
    "loss": "Loss",
    "loss_new_run": r"Loss$_\mathrm{run}$",
}
SYMBOLS: Final = {
    "a": "$a$",
    "b": "$b$",
    "E": "$E$",
    "A": "$A$",
    "B": "$B$",
    "G": "$G$",
    "alpha": r"$\alpha$",
    "beta": r"$\beta$",
    "k": "$k$",
    "N_coef": "$k_N$",
    "D_coef": "$k_D$",
    "R_floor": "$r_0$",
    "R_coef": "$r$",
    "R_N": "$r_N$",
    "R_D": "$r_D$",
    "L_E": "$E_C$",
    "L_K": "$K_C$",
    "L_c": "$c$",
}
"""How parameters of the laws are written; any other stands by its own name."""

_SPANS: Final = {
    "params": humanise,
    "tokens": humanise,
    "flops": flops_label,
    "loss": significant,
}
_SYNTHETIC: Final = "Synthetic data: runs were simulated, not trained. "
_SUFFIXES: Final = "K, M, B, T: $10^3$, $10^6$, $10^9$, $10^{12}$."


def latex_tables(
    title: str,
    decision: pd.DataFrame,
    fits: Fits,
    runs: pd.DataFrame,
    families: Mapping[str, str],
    *,
    synthetic: bool,
    loss_unit: str = NATS,
) -> dict[str, str]:
    """{name: LaTeX} for each of `NAMES`, the same text for the same inputs in any row order.

    `decision`, `fits`, `runs` and `families` are those of report.page.ReportInputs; `loss_unit` is
    one of loss_units.UNITS.
    Words of the user (title, labels, messages) are escaped.

    Returns one text for each, `tables` being a document that holds the others.
    """
    made = resampled_words(fits, families)
    tables = [
        decision_table(decision, families, made, synthetic=synthetic, unit=words(loss_unit)),
        exponents_table(fits, families, synthetic=synthetic),
        parameters_table(fits, families, synthetic=synthetic, unit=words(loss_unit)),
        runs_table(runs, families, synthetic=synthetic, unit=words(loss_unit)),
    ]
    written = {table.name: str(table) for table in tables}
    return {**written, "tables": document(title, list(written), synthetic)}


def _brackets(resampled: str) -> str:
    """What the intervals of a table are."""
    return f"Brackets are 80 and 95\\,\\% percentile intervals of {resampled}."


def decision_table(
    decision: pd.DataFrame,
    families: Mapping[str, str],
    resampled: str,
    *,
    synthetic: bool,
    unit: str,
) -> TexTable:
    """The recommended line of every family at every target, with intervals from `resampled`.

    Returns the table, with a note for every line that warns.
    """
    chosen = decision[decision["recommended"].astype(bool)]
    notes = _Notes()
    groups = []
    for family in families:
        rows: list[dict[Any, Any]] = chosen[chosen["family"] == family].to_dict("records")
        for row in sorted(rows, key=lambda row: float(row["budget_flops"])):
            mark = notes.mark(str(row["message"])) if row["status"] != CONVERGED else ""
            mark += "" if row["main"] else notes.mark(str(row["label"]))
            if split := str(row.get("loss_split") or ""):
                mark += notes.mark(f"Loss of the split {split}.")
            budget = number(flops_label(float(row["budget_flops"])))
            facts = [text(families[family]), budget, text(spec_of(row["law"]).title) + mark]
            cells = [formatted(row_estimate(row, q), label) for q, label in QUANTITIES.items()]
            groups.append(_estimate_rows(facts, cells))
        if not rows:
            groups.append([[text(families[family]), "", "none usable"]])
    return TexTable(
        "decision",
        f"{_SYNTHETIC * synthetic}Recommended parameters $N$, tokens $D$ and loss "
        f"[{unit}] at each training budget $C$ [FLOPs]. {_brackets(resampled)} "
        r"Loss$_\mathrm{run}$: that of one run, with the scatter of runs about the law."
        f" {_SUFFIXES}",
        "lrll" + "r" * len(QUANTITIES),
        ["Family", "$C$", "Law", "", *[HEADERS[name] for name in QUANTITIES]],
        groups,
        notes.lines,
    )


def exponents_table(fits: Fits, families: Mapping[str, str], *, synthetic: bool) -> TexTable:
    """Exponents of optimal params and tokens in compute, of every law."""
    notes = _Notes()
    groups = []
    for family, law, fit in each_fit(fits, families):
        label = families.get(family, family)
        name = text(spec_of(law).title) + _mark(notes, fit)
        cells = [formatted(_of(fit, e), _four_decimals) for e in EXPONENTS]
        facts = [text(label), name, count(int(fit["n_runs"])), count(int(fit["n_points"]))]
        groups.append(_estimate_rows(facts, cells))
    return TexTable(
        "exponents",
        f"{_SYNTHETIC * synthetic}Exponents of optimal parameters, $N \\propto C^a$, and tokens, "
        f"$D \\propto C^b$, by every law. {_brackets(resampled_words(fits, families))}",
        "llrrlrr",
        ["Family", "Law", "Runs", "Points", "", "$a$", "$b$"],
        groups,
        notes.lines,
    )


def parameters_table(
    fits: Fits, families: Mapping[str, str], *, synthetic: bool, unit: str
) -> TexTable:
    """Every fitted parameter with its intervals, a line each."""
    notes = _Notes()
    groups = []
    for family, law, fit in each_fit(fits, families):
        label = families.get(family, family)
        name = text(spec_of(law).title) + _mark(notes, fit)
        if fit["status"] == FAILED:
            groups.append([[text(label), name, "none"]])
            continue
        group: list[list[str]] = []
        for parameter, estimate in fit["parameters"].items():
            value = formatted(estimate, digits, lambda x: digits(x, 4))
            symbol = SYMBOLS.get(parameter) or text(parameter)
            if estimate.get("at_bound"):
                symbol += notes.mark("at its bound")
            both = [interval(value.ci80), interval(value.ci95)]
            facts = ["", ""] if group else [text(label), name]
            group.append([*facts, symbol, number(value.point), *both])
        groups.append(group)
    return TexTable(
        "parameters",
        f"{_SYNTHETIC * synthetic}Fitted parameters. Parametric law: $L = E + A/N^\\alpha + "
        r"B/D^\beta$, or $E + (A/N^\alpha + B/D^\beta)^k$ where $k$ is stated; its optimum at "
        r"$C$ FLOPs is $N = G\,(C/6)^a$. Envelope and isoFLOP: "
        r"$N = k_N C^a$, $D = k_D C^b$, $L = E_C + K_C C^{-c}$. "
        f"Losses in {unit}. "
        f"Intervals are percentiles of {resampled_words(fits, families)}.",
        "lllrrr",
        ["Family", "Law", "Parameter", "Estimate", r"80\,\% interval", r"95\,\% interval"],
        groups,
        notes.lines,
    )


def runs_table(
    runs: pd.DataFrame, families: Mapping[str, str], *, synthetic: bool, unit: str
) -> TexTable:
    """How many runs of every family there are, what became of them, and what they span."""
    known = [family for family in families if (runs["family"] == family).any()]
    strange = sorted(set(runs["family"].dropna()) - set(known))
    groups = []
    for family in [*known, *strange]:
        of_family = runs[runs["family"] == family]
        status = of_family["status"].value_counts()
        kept = of_family[of_family["status"] == KEPT]
        spans = [_ends(kept[name], label) for name, label in _SPANS.items()]
        groups.append(
            [
                [
                    text(families.get(family, family)),
                    *[count(int(status.get(s, 0))) for s in (KEPT, QUARANTINED, HELD_OUT)],
                    *[count(int(of_family[rows].sum())) for rows in ("rows_in", "rows_dropped")],
                    "from",
                    *[lowest for lowest, _ in spans],
                ],
                [*[""] * 6, "to", *[highest for _, highest in spans]],
            ]
        )
    return TexTable(
        "runs",
        f"{_SYNTHETIC * synthetic}Runs by family and the rows of their logs. Set aside: left out "
        "of every fit, for a reason given. Held out: sound runs that no fit sees. What the kept "
        "runs, which the laws are fitted to, span in $N$, $D$, training FLOPs $C$ and loss "
        f"[{unit}]. {_SUFFIXES}",
        "lrrrrrlrrrr",
        [
            "Family", "Kept", "Set aside", "Held out", "Rows", "Dropped", "", "$N$", "$D$", "$C$",
            "Loss",
        ],
        groups,
    )  # fmt: skip


class _Notes:
    """Remarks below a table, each once, told apart by letters."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}

    def mark(self, remark: str) -> str:
        """The superscript of a remark; nothing for an empty one."""
        if not remark:
            return ""
        index = len(self._letters)
        high, low = divmod(index, 26)
        letter = (chr(ord("a") + high - 1) if high else "") + chr(ord("a") + low)
        return f"$^{{{self._letters.setdefault(remark, letter)}}}$"

    @property
    def lines(self) -> list[str]:
        return [f"$^{{{letter}}}$ {text(remark)}" for remark, letter in self._letters.items()]


def _mark(notes: _Notes, fit: FitJson) -> str:
    """What a fit that did not simply converge says of itself."""
    return notes.mark(str(fit["message"])) if fit["status"] != CONVERGED else ""


def _of(fit: FitJson, name: str) -> EstimateJson:
    return NO_ESTIMATE if fit["status"] == FAILED else fit["parameters"][name]


def _four_decimals(x: float) -> str:
    return f"{x:.4f}" if math.isfinite(x) else MISSING


def _estimate_rows(facts: Sequence[str], values: Sequence[FormattedEstimate]) -> list[list[str]]:
    """A row of points and, where there is any, one of intervals for each level."""
    rows = [[*facts, "", *[number(value.point) for value in values]]]
    for level in INTERVALS:
        ends = [value.ci80 if level == "80" else value.ci95 for value in values]
        if any(value.has_interval for value in values):
            blank = [""] * len(facts)
            rows.append([*blank, rf"{level}\,\%", *[interval(end) for end in ends]])
    return rows


def _ends(values: pd.Series, label: Callable[[float], str]) -> tuple[str, str]:
    finite = values.dropna()
    if finite.empty:
        return "--", "--"
    return number(label(float(finite.min()))), number(label(float(finite.max())))
