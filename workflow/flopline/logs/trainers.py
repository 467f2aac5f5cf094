"""Logs of known trainers: lines of keys and values, read by the names in `trainers.toml`."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypedDict

from flopline.logs.key_values import PROGRESS, Record, is_loss, records
from flopline.logs.lines import likely, may_hold_losses
from flopline.logs.opening import HEAD, head_of, in_lines, text_lines
from flopline.logs.placing import AskedFacts, faults, placed, unread
from flopline.logs.reading import SECOND, LogFacts, Raw, Unparsed, Wish, as_cell, batched
from flopline.written_numbers import parse_number

COLUMNS: Final = {
    "step": "step",
    "tokens": "tokens",
    "split": "split",
    "loss": "loss",
    "lr": "lr",
    "wall_s": "wall_s",
}


LOOKED_AT: Final = 4_000
"""Records in which a log's losses are looked for that its trainer is not known by."""


class ScaledFact(TypedDict):
    """A fact under the trainer's name, and what to multiply it by to have our unit."""

    name: str
    times: float


@dataclass(frozen=True, slots=True)
class LineFact:
    """A fact of a run that a pattern finds in a line; with `add`, the sum of all that it finds."""

    fact: str
    pattern: str
    add: bool = False


@dataclass(frozen=True, slots=True)
class Trainer:
    """What a trainer calls things; the words of `trainers.toml`."""

    name: str
    title: str
    source: str
    step: tuple[str, ...]
    losses: Mapping[str, tuple[str, ...]]
    recognised_by: tuple[tuple[str, ...], ...] = ()
    without: tuple[str, ...] = ()
    head: str = ""
    line: str = ""
    losses_like: str = ""
    tokens: str = ""
    samples: str = ""
    lr: str = ""
    wall_s: str = ""
    final_step: str = ""
    step_tokens: str = ""
    beside: str = ""
    unit: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scaled_facts: Mapping[str, ScaledFact] = field(default_factory=dict)
    line_facts: tuple[LineFact, ...] = ()

    @property
    def positions(self) -> tuple[str, ...]:
        """The keys that place a row."""
        return (*self.step, *(name for name in (self.tokens, self.samples) if name))

    def knows(self, record: Record) -> bool:
        """Whether it prints such records."""
        here = record.values
        return any(all(name in here for name in keys) for keys in self.recognised_by) and not any(
            name in here for name in self.without
        )

    def split_of(self, name: str) -> str | None:
        """The split whose loss a key is; None for any other key."""
        for split, names in self.losses.items():
            if name in names:
                return split
        like = re.fullmatch(self.losses_like, name) if self.losses_like else None
        return like[1] if like else None


@cache
def trainers() -> tuple[Trainer, ...]:
    """The known trainers, in the order in which a log is compared with them."""
    text = Path(__file__).with_name("trainers.toml").read_text(encoding="utf-8")
    return tuple(_trainer(entry) for entry in tomllib.loads(text)["trainer"])


def _trainer(entry: dict[str, Any]) -> Trainer:
    entry["recognised_by"] = tuple(map(tuple, entry.get("recognised_by", ())))
    entry["line_facts"] = tuple(LineFact(**one) for one in entry.get("line_facts", ()))
    return Trainer(**entry)


def sniff(path: Path, head: bytes) -> bool:
    """Whether a record has the keys of a known trainer."""
    return trainer_of(head) is not None


def trainer_of(head: bytes) -> Trainer | None:
    """The trainer that printed a log, by its first megabytes; None for an unknown one."""
    for trainer in trainers():
        if trainer.line and re.search(_in_lines(trainer.line), head):
            return trainer
    if not may_hold_losses(head):
        return None
    for record in records(likely(head)):
        for trainer in trainers():
            if trainer.knows(record) and (
                not trainer.head or re.search(trainer.head.encode(), head)
            ):
                return trainer
    return None


def title(path: Path) -> str:
    """What the trainer of a log is called, for a person."""
    trainer = trainer_of(in_lines(head_of(path, HEAD)))
    return trainer.title if trainer else ""


def unread_losses(path: Path) -> list[str]:
    """The names that are like those of losses in a trainer's log, and that it is not known by."""
    trainer = trainer_of(in_lines(head_of(path, HEAD)))
    if trainer is None or trainer.line:
        return []
    names: dict[str, None] = {}
    for record in islice(records(text_lines(path)), LOOKED_AT):
        names.update(dict.fromkeys(name for name in record.values if is_loss(name)))
    return [name for name in names if trainer.split_of(name) is None]


@cache
def _in_lines(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode(), re.MULTILINE)


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """The rows under our names, one for each loss, with any other key that the study names."""
    trainer = trainer_of(in_lines(head_of(path, HEAD)))
    if trainer is None:
        return
    log = _TrainerLog(path, trainer, wish)
    names = list(dict.fromkeys([*COLUMNS, *log.wanted]))
    yield from batched(log.rows(facts), names)


class _TrainerLog:
    """A log of a trainer as it is read."""

    def __init__(self, path: Path, trainer: Trainer, wish: Wish) -> None:
        self.path, self.trainer, self.wish = path, trainer, wish
        self.wanted = [name for name in wish.names if name not in COLUMNS]
        self.splits: dict[str, str] = {}
        self.cut: set[int] = set()
        self.sums: dict[str, float] = {}
        self.step_tokens: set[str] = set()
        self.asked = AskedFacts(path, wish.facts)
        self.own = AskedFacts(path, self._facts())

    def _facts(self) -> tuple[str, ...]:
        trainer = self.trainer
        scaled = [str(one["name"]) for one in trainer.scaled_facts.values()]
        final = [trainer.final_step] if trainer.final_step else []
        return (*(name for names in trainer.facts.values() for name in names), *scaled, *final)

    def rows(self, facts: LogFacts) -> Iterator[dict[str, object] | Unparsed]:
        """One row for each loss, and what cannot be read."""
        trainer = self.trainer
        rows = placed(
            self._heard(), self.splits, trainer.positions, trainer.beside,
            (*self.wanted, trainer.lr, trainer.wall_s, "epoch"),
        )  # fmt: skip
        self.asked.say(facts)
        known = self._known()
        _planned(rows, trainer, known)
        facts.know("", **{name: value for name, value in known.items() if name not in _PARTS})
        facts.units.update(trainer.unit)
        last = max((r.line for r in rows if not r.beside), default=0)
        self._check_bars(rows)
        self._place_by_epochs(rows, known)
        for record in rows:
            wrong = list(
                faults(record, (*self.splits, *trainer.step), complete=self._is_complete(record))
            )
            wrong += [Unparsed(record.line)] * unread(record, self.splits)
            yield from wrong
            if all(fault.reason == SECOND for fault in wrong):
                late = record.line > last and trainer.final_step in self.own.values
                yield from self._row(record, known, late=late)

    def _row(
        self, record: Record, known: Mapping[str, float], *, late: bool
    ) -> Iterator[dict[str, object]]:
        trainer, values = self.trainer, record.values
        step = next((values[name] for name in trainer.step if name in values), None)
        tokens = values.get(trainer.tokens)
        if trainer.samples in values:
            samples = parse_number(values[trainer.samples])
            if "seq_len" in known:
                tokens = samples * known["seq_len"]
            if not trainer.step and known.get("batch_sequences"):
                step = samples / known["batch_sequences"]
        if late:
            step = self.own.values[trainer.final_step][0]
        row = {
            "step": as_cell(step),
            "tokens": as_cell(tokens),
            "lr": as_cell(values.get(trainer.lr)),
            "wall_s": as_cell(values.get(trainer.wall_s)),
            **{name: as_cell(values.get(name)) for name in self.wanted},
            "line": record.line,
        }
        splits = {self.splits[name]: value for name, value in values.items()
                  if name in self.splits}  # fmt: skip
        first = {split: self._first(split, values) for split in splits}
        for split, loss in first.items():
            yield {**row, "split": split, "loss": as_cell(loss)}
        if not splits:
            yield {**row, "split": None, "loss": None}

    def _check_bars(self, rows: list[Record]) -> None:
        """Take the steps of progress bars that lag behind the epochs beside them."""
        both = [r for r in rows if PROGRESS in r.values and r.values.get("epoch")]
        if PROGRESS not in self.trainer.step or not both:
            return
        steps, epochs = (
            [parse_number(r.values[name]) for r in both] for name in (PROGRESS, "epoch")
        )
        if not all(
            math.isfinite(step) and epoch > 0 for step, epoch in zip(steps, epochs, strict=True)
        ):
            return
        of_epoch = steps[-1] / epochs[-1]
        for record, step, epoch in zip(both, steps, epochs, strict=True):
            # An epoch is printed to two digits, and the last bar may lag as well.
            if abs(step - epoch * of_epoch) > _DIGIT * of_epoch * (1 + epoch / epochs[-1]) + 1:
                del record.values[PROGRESS]

    def _place_by_epochs(self, rows: list[Record], known: Mapping[str, float]) -> None:
        """Give the rows of a finished run without a bar the steps that their epochs show.

        Rows of training come every so many steps; they are placed where one such number alone fits
        all epochs, and those of an evaluation with the row of training of the same epoch before
        them, or at the end of an epoch.
        """
        steps, epochs = known.get("horizon_steps"), known.get("epochs")
        bars = any(PROGRESS in record.values for record in rows)
        if PROGRESS not in self.trainer.step or bars or not steps or not epochs:
            return
        epoch_of = [parse_number(record.values.get("epoch")) for record in rows]
        is_trained = ["train" in map(self.splits.get, record.values) for record in rows]
        if not epoch_of or not abs(max(epoch_of) - epochs) <= _half_digit(rows):
            return  # it is not at its end, whose epochs then tell no steps
        trained = [epoch for epoch, here in zip(epoch_of, is_trained, strict=True) if here]
        every = _spacing(trained, steps / epochs, _half_digit(rows))
        if every is None:
            return
        step, trained_at = 0, math.nan
        for record, epoch, here in zip(rows, epoch_of, is_trained, strict=True):
            whole = epoch * steps / epochs
            if here:
                step, trained_at = step + every, epoch
            if here or epoch == trained_at:
                record.values[PROGRESS] = step
            elif epoch.is_integer() and whole.is_integer():
                record.values[PROGRESS] = int(whole)

    def _first(self, split: str, values: Mapping[str, Any]) -> Any:
        """The loss of a split by the first of its names that is there."""
        names = [*self.trainer.losses.get(split, ()), *self.splits]
        return next(values[n] for n in names if n in values and self.splits.get(n) == split)

    def _is_complete(self, record: Record) -> bool:
        return record.line not in self.cut

    def _known(self) -> dict[str, float]:
        """What the log says of its run, as far as it goes."""
        trainer, known = self.trainer, dict(self.sums)
        for ours, names in trainer.facts.items():
            value = next((self.own.values[n][0] for n in names if n in self.own.values), None)
            if value is not None and not math.isnan(number := parse_number(value)):
                known[ours] = number
        for ours, spec in trainer.scaled_facts.items():
            if spec["name"] in self.own.values:
                known[ours] = parse_number(self.own.values[spec["name"]][0]) * spec["times"]
        if {"seq_len", "batch_sequences"} <= set(known):
            known.setdefault("batch_tokens", known["seq_len"] * known["batch_sequences"])
        if len(self.step_tokens) == 1:
            known.setdefault("batch_tokens", parse_number(next(iter(self.step_tokens))))
        return known

    def _heard(self) -> Iterator[Record]:
        """Its records; names of losses and facts are noted as they come."""
        trainer = self.trainer
        for record in _named(self._lines(), trainer) if trainer.line else records(self._lines()):
            self.asked.hear(record)
            self.own.hear(record)
            if trainer.step_tokens in record.values and trainer.knows(record):
                self.step_tokens.add(str(record.values[trainer.step_tokens]))
            for name in record.values:
                if name not in self.splits and (split := trainer.split_of(name)) is not None:
                    self.splits[name] = split
            yield record

    def _lines(self) -> Iterator[tuple[int, str, bool]]:
        patterns = [(one, re.compile(one.pattern)) for one in self.trainer.line_facts]
        for number, text, complete in text_lines(self.path, self.wish.phase):
            if not complete:
                self.cut.add(number)
            for one, pattern in patterns:
                if match := pattern.search(text):
                    value = parse_number(match[1])
                    before = self.sums.get(one.fact, 0.0) if one.add else 0.0
                    self.sums[one.fact] = before + value
            yield number, text, complete


_DIGIT: Final = 0.005
"""Half of the last digit of an epoch."""


def _half_digit(rows: Sequence[Record]) -> float:
    """By how much the epochs of rows may be rounded, as the longest of them is written."""
    written = [str(record.values.get("epoch", "")) for record in rows]
    return 0.5 / 10.0 ** max(len(epoch.partition(".")[2]) for epoch in written)


def _spacing(epochs: Sequence[float], steps_of_one: float, half: float) -> int | None:
    """The steps from row to row, if one number alone fits the epochs of a run's rows.

    An epoch has `steps_of_one` steps and may be rounded by `half`.
    """
    if not epochs or not math.isfinite(epochs[-1]):
        return None
    slack = half * (1 + _ROUNDING)
    bounds = [steps_of_one * (epochs[-1] + sign * slack) / len(epochs) for sign in (-1, 1)]
    fits = [
        every
        for every in range(max(math.ceil(bounds[0]), 1), math.floor(bounds[1]) + 1)
        if all(abs(n * every / steps_of_one - e) <= slack for n, e in enumerate(epochs, 1))
    ]
    return fits[0] if len(fits) == 1 else None


_ROUNDING: Final = 1e-6
"""Share of half a digit that the arithmetic of an epoch may miss it by."""

_PARTS: Final = ("batch_sequences", "epochs", "seq_len")
"""What is known only to make other facts of it."""


def _named(lines: Iterable[tuple[int, str, bool]], trainer: Trainer) -> Iterator[Record]:
    """Records of lines whose values have no names."""
    pattern = re.compile(trainer.line)
    for number, text, _ in lines:
        if match := pattern.search(text):
            yield Record(number, dict(match.groupdict()))


def _planned(rows: list[Record], trainer: Trainer, known: dict[str, float]) -> None:
    """How many steps are planned, where each `step 10/100` counts to the same."""
    for name in trainer.step[:1]:
        of = {record.totals[name] for record in rows if name in record.totals}
        if len(of) == 1 and name != PROGRESS:
            known.setdefault("horizon_steps", parse_number(of.pop()))
            return
