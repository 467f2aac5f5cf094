"""Units of the loss: what they are called, which name says which, and how one becomes another."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from flopline.errors import FloplineError
from flopline.study_document import MappedColumn, SourceDocument, StudyDocument

NATS: Final = "nats_per_token"
"""The unit of a study whose losses say no other."""
BITS: Final = "bits_per_token"
BITS_PER_BYTE: Final = "bits_per_byte"
NATS_PER_BYTE: Final = "nats_per_byte"
PERPLEXITY: Final = "perplexity"
"""What logs may give and no law is of: its logarithm is the loss, in nats per token."""

UNITS: Final = (NATS, BITS, BITS_PER_BYTE, NATS_PER_BYTE)
"""The units in which a study may have its losses."""
PER_BYTE: Final = (BITS_PER_BYTE, NATS_PER_BYTE)
LOGGED: Final = (*UNITS, PERPLEXITY)
"""Those in which losses may be logged."""

_CALLED: Final = {
    PERPLEXITY: re.compile(r"(?<![a-z])(?:ppl|perplexity)(?![a-z])"),
    BITS_PER_BYTE: re.compile(r"(?<![a-z])(?:bpb|bits?[\W_]*(?:per[\W_]*)?byte)(?![a-z])"),
    NATS_PER_BYTE: re.compile(r"(?<![a-z])nats?[\W_]*(?:per[\W_]*)?byte(?![a-z])"),
    BITS: re.compile(r"(?<![a-z])(?:bpt|bits?[\W_]*(?:per[\W_]*)?tok(?:en)?|base[\W_]*2)(?![a-z])"),
    NATS: re.compile(r"(?<![a-z])nats?(?![a-z])"),
    "": re.compile(r"(?<![a-z])(?:bpc|bits?)(?![a-z])"),
}
"""How a unit is called in the name of a column; "" where bits of what is left open."""


def words(unit: str) -> str:
    """A unit as it is written: nats per token."""
    return unit.replace("_", " ")


def short(unit: str) -> str:
    """A unit without what it is counted per: nats, or bits per byte."""
    return words(unit).removesuffix(" per token")


def with_unit(label: str, unit: str) -> str:
    """What a loss is called, with its unit; as it stands where the label says it itself."""
    return label if unit_of(label) == unit else f"{label}, {words(unit)}"


def unit_of(name: str) -> str | None:
    """The unit that the name of a column says, as bits_per_byte of `val_bpb`; None without one.

    It is "" where a name speaks of bits and leaves open of what.
    """
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return next((unit for unit, called in _CALLED.items() if called.search(plain)), None)


@dataclass(frozen=True, slots=True)
class Conversion:
    """From the unit in which losses are logged to that of the study.

    `factor` is None where the two cannot be turned into each other without bytes per token.
    """

    logged: str
    unit: str
    factor: float | None

    @classmethod
    def between(cls, logged: str, unit: str, bytes_per_token: float | None = None) -> Conversion:
        """What turns losses logged in one unit into another."""
        of_bits = {BITS: math.log(2), BITS_PER_BYTE: math.log(2)}
        base = of_bits.get(logged, 1.0) / of_bits.get(unit, 1.0)
        per_byte = (logged in PER_BYTE, unit in PER_BYTE)
        if per_byte[0] == per_byte[1]:
            return cls(logged, unit, base)
        if bytes_per_token is None:
            return cls(logged, unit, None)
        return cls(logged, unit, base * (bytes_per_token if per_byte[0] else 1 / bytes_per_token))

    @property
    def rule(self) -> str:
        """What is done, as words."""
        by = "" if self.factor in (None, 1.0) else f" times {self.factor:.6g}"
        return f"{'their logarithm' if self.logged == PERPLEXITY else 'taken'}{by}"


def logged_unit(source: SourceDocument, split: str) -> str | None:
    """The unit in which a source logs a split, by what the study file says or the column's name.

    None where neither does. A column with `times` is in the study's unit, since the file says how.
    """
    stated = source.get("loss_unit")
    if isinstance(stated, Mapping):
        stated = stated.get(split)
    if stated is not None:
        return str(stated)
    column = _columns_of_loss(source).get(split) or _columns_of_loss(source).get("")
    return None if not isinstance(column, str) else unit_of(column) or None


def unit_of_study(study: StudyDocument) -> str:
    """The unit of a study's losses: its `loss_unit`, else per byte as its loss, else nats.

    What is logged in bits per token or as perplexity becomes nats per token by rule.
    """
    source, stated = study["source"], study.get("loss_unit")
    if stated is not None:
        return str(stated)
    logged = logged_unit(source, study["loss_split"])
    return logged if logged in PER_BYTE and not source.get("bytes_per_token") else NATS


def stated_unit(study: StudyDocument) -> str:
    """The unit of the losses of a study as loaded, in which the unit is always said."""
    return str(study.get("loss_unit") or NATS)


def conversion(
    source: SourceDocument, split: str, unit: str, of_format: str | None = None
) -> Conversion | None:
    """How losses of a split become those of the study; None where they are in its `unit`.

    `of_format` is the unit that a log's format says, which counts where the study file says none.
    """
    logged = logged_unit(source, split) or of_format
    if logged is None or logged == unit:
        return None
    return Conversion.between(logged, unit, source.get("bytes_per_token"))


def fitted_splits(study: StudyDocument) -> list[str]:
    """The splits of which a law of the study is: its own, and those that laws name for theirs."""
    groups: Mapping[str, object] = study
    laws = [groups.get(law) for law in study.get("laws", ())]
    own = [law.get("split") for law in laws if isinstance(law, Mapping)]
    return list(dict.fromkeys([study["loss_split"], *(split for split in own if split)]))


def misfits(study: StudyDocument) -> Iterator[str]:
    """A sentence for each mistake about the units of losses to which laws are fitted."""
    source, unit = study["source"], unit_of_study(study)
    if unit not in UNITS:
        at = (
            f"say `loss_unit: {unit}` in source, and laws are of its logarithm, in nats per token"
            if unit == PERPLEXITY
            else f"take one of {', '.join(UNITS)}"
        )
        yield f"`loss_unit` is {unit!r}, in which there is no law: {at}."
        return
    stated = source.get("loss_unit")
    for split in fitted_splits(study):
        columns = _columns_of_loss(source)
        column = columns.get(split) or columns.get("")
        stated_unit_of_split = stated.get(split) if isinstance(stated, Mapping) else stated
        open_bits = isinstance(column, str) and unit_of(column) == ""
        if stated_unit_of_split is None and study.get("loss_unit") is None and open_bits:
            yield (
                f"the column '{column}' speaks of bits, and leaves open of what: write "
                f"`loss_unit: {BITS_PER_BYTE}` (or {BITS}) in the study file."
            )
        change = conversion(source, split, unit)
        if change is not None and change.factor is None:
            where = f"the column '{column}'" if stated_unit_of_split is None else "source.loss_unit"
            yield refusal(f"{where} says that losses of the split '{split}'", change)


def refusal(subject: str, change: Conversion) -> str:
    """The sentence on losses that cannot be turned into the study's unit, with what to write."""
    of_study = (
        f"write `loss_unit: {change.logged}` in the study file, or "
        if change.logged in UNITS
        else ""
    )
    return (
        f"{subject} are in {words(change.logged)}, and loss_unit is {change.unit}: {of_study}"
        "give `bytes_per_token` in source, by which one becomes the other; if they are in "
        f"{words(change.unit)} after all, write `loss_unit: {change.unit}` in source."
    )


def demand_unit(subject: str, change: Conversion) -> None:
    """Raise FloplineError where losses cannot be turned into the study's unit."""
    if change.factor is None:
        raise FloplineError(refusal(subject, change))


def _columns_of_loss(source: SourceDocument) -> dict[str, MappedColumn]:
    """The column of each split's loss, "" where one is that of all."""
    loss = (source.get("columns") or {}).get("loss")
    if isinstance(loss, Mapping) and "times" not in loss:
        return dict(loss)
    return {} if loss is None else {"": loss}
