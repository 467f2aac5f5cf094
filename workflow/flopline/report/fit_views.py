"""The fits in words: exponents, parameters, certificates and settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import pandas as pd

from flopline.documents import EstimateJson, FindingJson, FitJson, FitsJson
from flopline.laws.common.fit_result import FAILED
from flopline.laws.spec import ordered, spec_of
from flopline.loss_units import NATS, words
from flopline.numbers import count, number
from flopline.report.caveats import checked
from flopline.report.formatting import FormattedEstimate, flat, formatted, value_text
from flopline.report.html_tables import Csv, DataTable, csv_file, records_table

Fits = Mapping[str, FitsJson]

EXPONENTS = ("a", "b")

MEANINGS = {
    "a": "exponent of optimal params in compute",
    "b": "exponent of optimal tokens in compute",
    "E": "irreducible loss, {unit}",
    "A": "amplitude of the params term, {unit}",
    "B": "amplitude of the tokens term, {unit}",
    "G": "balance of the two terms: N_opt = G (C/6)^a",
    "N_coef": "optimal params at C = 1 FLOP: N_opt = N_coef C^a",
    "D_coef": "optimal tokens at C = 1 FLOP: D_opt = D_coef C^b",
    "L_E": "floor of the loss in compute, {unit}",
    "L_K": "reducible loss at C = 1 FLOP: L = L_E + L_K C^-L_c",
    "L_c": "exponent of the reducible loss in compute",
    "R_floor": "what C / 6ND tends to: C = 6ND (R_floor + R_coef N^R_N D^R_D)",
    "R_coef": "amplitude of what C / 6ND has besides",
    "R_N": "its exponent in params",
    "R_D": "its exponent in tokens",
    "alpha": "exponent of the params term",
    "beta": "exponent of the tokens term",
    "k": "power of what lies above E",
}

_SYMBOLS = {"alpha": "α", "beta": "β"}


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """A parameter with its intervals; `note` says when it sits at a bound."""

    symbol: str
    meaning: str
    value: FormattedEstimate
    note: str


@dataclass(frozen=True, slots=True)
class ExponentRow:
    """The exponents a and b of one law; `values` is empty where it failed."""

    law: str
    message: str
    fit_id: str
    values: Sequence[FormattedEstimate]


@dataclass(frozen=True, slots=True)
class FitView:
    """One fit: what it says of itself and everything that certifies it."""

    id: str
    family: str
    law: str
    estimator: str
    status: str
    message: str
    runs: str
    points: str
    parameters: Sequence[ParameterRow]
    certificate: Sequence[tuple[str, str]]
    tables: Sequence[DataTable]
    parameters_csv: Csv | None
    settings: Sequence[tuple[str, str]]


def each_fit(fits: Fits, families: Mapping[str, str]) -> Iterator[tuple[str, str, FitJson]]:
    """(family, law, fit) with families in the study's order and laws in that of readers."""
    known = [f for f in families if f in fits]
    for family in [*known, *sorted(set(fits) - set(known))]:
        for law in ordered(fits[family]):
            yield family, law, fits[family][law]


def fit_ids(fits: Fits, families: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """The anchor of every fit's certificate on the page."""
    pairs = [(family, law) for family, law, _ in each_fit(fits, families)]
    return {pair: f"fit-{i}" for i, pair in enumerate(pairs, start=1)}


def fit_views(
    fits: Fits,
    families: Mapping[str, str],
    loss_unit: str = NATS,
    audits: Mapping[str, Mapping[str, FindingJson]] | None = None,
) -> list[FitView]:
    """Every fit as it is shown on the page, losses in `loss_unit`, caveats held against `audits`.

    Returns the views by family and law.
    """
    findings = audits or {}
    ids = fit_ids(fits, families)
    return [
        _fit_view(
            fit,
            ids[family, law],
            families.get(family, family),
            loss_unit,
            checked(str(fit["message"]), law, findings.get(family, {})),
        )
        for family, law, fit in each_fit(fits, families)
    ]


def exponents(fits: Fits, families: Mapping[str, str]) -> dict[str, list[ExponentRow]]:
    """{family's label: its laws side by side}."""
    ids = fit_ids(fits, families)
    table: dict[str, list[ExponentRow]] = {}
    for family, law, fit in each_fit(fits, families):
        names = () if fit["status"] == FAILED else EXPONENTS
        row = ExponentRow(
            law=spec_of(law).title,
            message=str(fit["message"]),
            fit_id=ids[family, law],
            values=[formatted(fit["parameters"][name], _four_decimals) for name in names],
        )
        table.setdefault(families.get(family, family), []).append(row)
    return table


def estimates_csv(parameters: Mapping[str, EstimateJson], loss_unit: str = NATS) -> Csv:
    """Parameters with the ends of their intervals in full, a line each."""
    columns = ["parameter", "meaning", "point", "lo80", "hi80", "lo95", "hi95"]
    rows = [{"parameter": n, "meaning": _meaning(n, loss_unit), **e} for n, e in parameters.items()]
    return csv_file(pd.DataFrame(rows, columns=columns), dict.fromkeys(columns, ""))


def exponents_csv(fits: Fits, families: Mapping[str, str]) -> Csv:
    """The exponents of every fit with the ends of their intervals in full."""
    columns = ["family", "law", "status", "message", "exponent"]
    columns += ["point", "lo80", "hi80", "lo95", "hi95"]
    rows = [
        {
            "family": families.get(family, family),
            "law": law,
            "status": fit["status"],
            "message": fit["message"],
            "exponent": name,
            **({} if fit["status"] == FAILED else fit["parameters"][name]),
        }
        for family, law, fit in each_fit(fits, families)
        for name in EXPONENTS
    ]
    return csv_file(pd.DataFrame(rows, columns=columns), dict.fromkeys(columns, ""))


def fits_csv(fits: Fits, families: Mapping[str, str]) -> Csv:
    """All fits with status, points and message, a line each."""
    keys = ["law", "status", "estimator", "n_runs", "n_points", "message"]
    stated: list[tuple[str, Mapping[str, object]]] = [
        (family, fit) for family, _, fit in each_fit(fits, families)
    ]
    rows = [
        {"family": families.get(family, family), **{key: fit[key] for key in keys}}
        for family, fit in stated
    ]
    frame = pd.DataFrame(rows, columns=["family", *keys])
    return csv_file(frame, dict.fromkeys(frame.columns, ""))


def _fit_view(fit: FitJson, fit_id: str, family: str, loss_unit: str, message: str) -> FitView:
    leaves = list(flat(fit["certificate"]))
    failed = fit["status"] == FAILED
    return FitView(
        id=fit_id,
        family=family,
        law=spec_of(fit["law"]).title,
        estimator=str(fit["estimator"]),
        status=str(fit["status"]),
        message=message,
        runs=count(int(fit["n_runs"])),
        points=count(int(fit["n_points"])),
        parameters=[] if failed else _parameters(fit["parameters"], loss_unit),
        certificate=[(lab, value_text(v, k)) for lab, k, v in leaves if not _is_table(v)],
        tables=[
            records_table(f"{fit_id}-{key}", label.capitalize(), v)
            for label, key, v in leaves
            if _is_table(v)
        ],
        parameters_csv=None if failed else estimates_csv(fit["parameters"], loss_unit),
        settings=[(lab, value_text(v, k)) for lab, k, v in flat(fit["settings"])],
    )


def _parameters(parameters: Mapping[str, EstimateJson], loss_unit: str) -> list[ParameterRow]:
    """Every parameter, unless there are only the exponents, which stand side by side already."""
    only_exponents = set(parameters) <= set(EXPONENTS)
    return [] if only_exponents else [_parameter(n, e, loss_unit) for n, e in parameters.items()]


def _meaning(name: str, loss_unit: str) -> str:
    return MEANINGS.get(name, "").format(unit=words(loss_unit))


def _parameter(name: str, estimate: EstimateJson, loss_unit: str) -> ParameterRow:
    return ParameterRow(
        symbol=_SYMBOLS.get(name, name),
        meaning=_meaning(name, loss_unit),
        value=formatted(estimate, number, lambda x: number(x, 4)),
        note="at its bound" if estimate.get("at_bound") else "",
    )


def _four_decimals(x: float) -> str:
    return f"{x:.4f}"


def _is_table(value: object) -> TypeGuard[Sequence[Mapping[str, object]]]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        return False
    return all(isinstance(v, Mapping) for v in value)
