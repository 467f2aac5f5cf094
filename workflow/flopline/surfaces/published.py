"""The published laws of `published.toml`, as law objects with their meaning and source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from flopline.errors import FloplineError
from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.compute_laws import UNIT_FLOPS, ComputePowerLaw
from flopline.surfaces.kaplan import KaplanSurface
from flopline.surfaces.published_entries import entries, names
from flopline.surfaces.repeated import RepeatedSurface
from flopline.surfaces.skaling import SkalingSurface
from flopline.surfaces.surface import Law, parameters
from flopline.surfaces.tied import TiedSurface

__all__ = ["POWER_LAW", "SURFACES", "PublishedLaw", "load", "names", "read"]

SURFACES: Final[dict[str, type[Law]]] = {
    "chinchilla": LossSurface,
    "tied": TiedSurface,
    "kaplan": KaplanSurface,
    "skaling": SkalingSurface,
    "repeated": RepeatedSurface,
}
"""The loss surfaces by name; a law of compute alone has the form POWER_LAW."""
POWER_LAW: Final = "power_law"

EVIDENCE: Final = ("primary", "secondary")

UNSTATED: Final = "unstated"
PARAMS: Final = (
    *("total", "non_embedding", "active", "decoder"),  # as in a study file
    *("flops_per_token", "other", UNSTATED),
)
"""What a source counts as N; flops_per_token is no count of weights."""
FLOPS: Final = ("six_nd", "gemstones", "other", UNSTATED)
"""How a source counts C, as in a study file as far as that has a name for it."""
UNKNOWN: Final = (math.nan, math.nan)

_SIZES: Final[tuple[set[str], ...]] = (set(), {"a"}, {"a", "K_N"}, {"a", "N_at", "anchor_flops"})
_TOKENS: Final[tuple[set[str], ...]] = (set(), {"b"}, {"b", "K_D"})
_OF_SIZE: Final = set().union(*_SIZES)
_OF_DATA: Final = set().union(*_TOKENS)
_LOGS: Final = {"ln_": 1.0, "log10_": math.log(10.0)}


@dataclass(frozen=True, slots=True)
class PublishedLaw:
    """A law as its source states it.

    `params`, `tokens`, `loss_unit` and `flops` say what N, D, L and C are there, and
    `params_convention` and `flops_convention` the same by name (PARAMS, FLOPS); `fitted_flops` are
    the smallest and largest budget [FLOPs] that the source fitted, if known; `evidence` tells
    whether the numbers were read in the primary source or in a secondary one; `note` where sources
    disagree; `closure` is "6ND" where the source itself sets D = C / (6 N); `reported` holds
    further numbers that the form does not use.
    """

    name: str
    form: str
    law: Law | ComputePowerLaw
    title: str
    year: int
    source: str
    evidence: str
    params: str
    tokens: str
    loss_unit: str
    flops: str
    params_convention: str
    flops_convention: str
    fitted_flops: tuple[float, float] = UNKNOWN
    closure: str = ""
    note: str = ""
    reported: Mapping[str, float] = field(default_factory=dict)

    def surface(self) -> Law:
        """The loss surface; FloplineError for a law of compute alone, which has none."""
        if isinstance(self.law, ComputePowerLaw):
            raise FloplineError(
                f"the published law {self.name!r} gives no loss, only optimal sizes and tokens: "
                "choose one of form " + ", ".join(SURFACES) + "."
            )
        return self.law


def load(name: str) -> PublishedLaw:
    """The published law `name`; FloplineError if there is none."""
    if name not in names():
        raise FloplineError(
            f"there is no published law {name!r}: choose one of {', '.join(names())}."
        )
    return read(name, entries()[name])


def read(name: str, entry: Mapping[str, Any]) -> PublishedLaw:
    """An entry of the file as a law; FloplineError if a key is missing, unknown or unusable."""
    known = {f.name for f in fields(PublishedLaw)} - {"name", "law"} | {"parameters"}
    optional = {"closure", "note", "reported", "fitted_flops"}
    for key in sorted(known - optional - set(entry)):
        raise FloplineError(f"published law {name!r} lacks the key {key!r}: add it.")
    for key in sorted(set(entry) - known):
        raise FloplineError(f"published law {name!r} has an unknown key {key!r}: take it out.")
    _choose(name, "evidence", entry["evidence"], EVIDENCE)
    _choose(name, "form", entry["form"], (*SURFACES, POWER_LAW))
    _choose(name, "params_convention", entry["params_convention"], PARAMS)
    _choose(name, "flops_convention", entry["flops_convention"], FLOPS)
    _choose(name, "closure", entry.get("closure", ""), ("", "6ND"))
    given = _given(name, entry["parameters"])
    law: Law | ComputePowerLaw
    if entry["form"] == POWER_LAW:
        law = _power_law(name, given, closed=entry.get("closure") == "6ND")
    else:
        law = _surface(name, SURFACES[entry["form"]], given)
    rest = {key: value for key, value in entry.items() if key != "parameters"}
    rest["fitted_flops"] = _budgets(name, entry.get("fitted_flops", UNKNOWN))
    return PublishedLaw(name=name, law=law, **rest)


def _choose(name: str, key: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise FloplineError(
            f"published law {name!r} has {key} = {value!r}: choose one of "
            f"{', '.join(repr(c) for c in choices)}."
        )


def _budgets(name: str, value: Any) -> tuple[float, float]:
    if value is not UNKNOWN and not (len(value) == 2 and 0 < value[0] < value[1]):
        raise FloplineError(
            f"published law {name!r} has fitted_flops = {value}: give the smallest and the largest "
            "budget."
        )
    smallest, largest = value
    return float(smallest), float(largest)


def _given(name: str, printed: Mapping[str, Any]) -> dict[str, float | str]:
    """Parameters by their own names: logarithms of the file are undone, or made natural."""
    out: dict[str, float | str] = {}
    for key, value in printed.items():
        if key == "unit":
            _choose(name, key, value, tuple(UNIT_FLOPS))
            out[key] = value
            continue
        prefix = next((p for p in _LOGS if key.startswith(p)), "")
        number = value if isinstance(value, (int, float)) else math.nan
        number = math.exp(number * _LOGS[prefix]) if prefix else float(number)
        if not (math.isfinite(number) and number > 0):
            raise FloplineError(
                f"published law {name!r} has {key} = {value}: give a positive number."
            )
        out[key.removeprefix(prefix)] = number
    return out


def _surface(name: str, form: type[Law], given: Mapping[str, float | str]) -> Law:
    wanted = parameters(form)
    if set(given) != set(wanted):
        raise FloplineError(
            f"published law {name!r} has the parameters {', '.join(given)}: its form needs "
            f"{', '.join(wanted)}."
        )
    return form(**given)


def _power_law(name: str, given: dict[str, float | str], *, closed: bool) -> ComputePowerLaw:
    numbers = {key: float(v) for key, v in given.items() if key != "unit"}
    size, data = set(numbers) & _OF_SIZE, set(numbers) & _OF_DATA
    known = size | data == set(numbers) and bool(numbers)
    if (
        not known
        or size not in _SIZES
        or data not in _TOKENS
        or (closed and (data or len(size) < 2))
    ):
        raise FloplineError(
            f"published law {name!r} has the parameters {', '.join(given)}: a power law is stated "
            "by a, by a and K_N or by a, N_at and anchor_flops, and by b or by b and K_D (nothing "
            "where closure gives them)."
        )
    nan = math.nan
    a, b = numbers.get("a", nan), numbers.get("b", nan)
    ln_n, ln_d = (math.log(numbers.get(key, nan)) for key in ("K_N", "K_D"))
    if "N_at" in numbers:
        ln_n = math.log(numbers["N_at"]) - a * math.log(numbers["anchor_flops"])
    if closed:
        b, ln_d = 1.0 - a, -math.log(6.0) - ln_n
    return ComputePowerLaw(a, ln_n, b, ln_d, str(given.get("unit", "FLOP")))
