"""Megatron-LM and Megatron-DeepSpeed stdout, with rank prefixes and timestamps.

`iteration a/b | consumed samples: … | lm loss: … |` is a row of training, `validation loss at
iteration a | lm loss value: …` one of validation (`valid loss` in Megatron-DeepSpeed). Tokens are
consumed samples times the sequence length, since a batch that ramps up makes the step no measure
of them; a validation between two logged iterations is placed by the batch sizes around it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from flopline.logs.opening import text_lines
from flopline.logs.reading import NOT_PARSED, TWICE, LogFacts, Raw, Unparsed, Wish, batched
from flopline.logs.samples import Logged, Ramp, samples_at

RAMP: Final = "rampup_batch_size"
COLUMNS: Final = {
    "step": "step",
    "tokens": "tokens",
    "split": "split",
    "loss": "loss",
    "lr": "lr",
    "wall_s": "wall_s",
}

_LIKE: Final = re.compile(rb"\biteration\s+\d+\s*/\s*\d+\s*\|\s*consumed samples:")
_ITERATION: Final = re.compile(r"\biteration\s+(\d+)\s*/\s*(\d+)\s*\|(.*)")
_EVALUATION: Final = re.compile(
    r"(?<![^\s:])([^\s:]+) loss at ((?:iteration \d|the end)[^|]*)\|(.*)"
)
_ARGUMENT: Final = re.compile(r"^(?:\S+:\s)?\s*([a-z_][a-z_0-9]*) \.{3,} (.*\S)\s*$")
_FLAG: Final = re.compile(r"--seq-length[ =](\d+)")
_ESTIMATE: Final = re.compile(
    r"estimated model parameters( without embeddings)?: (\d+(?:\.\d+)?)(?![\d.]*\d)"
)
_ON_RANK: Final = re.compile(
    r"number of parameters on \(tensor, pipeline\) model parallel rank \((\d+), (\d+)\): (\d+)"
)
_COUNT: Final = re.compile(r"\d{1,18}")
"""A count that 64 bits hold; none is larger."""
_LOSSES: Final = ("lm loss", "loss")
_BLANKS: Final = str.maketrans("-_", "  ")
_SPLITS: Final = {"valid": "val", "validation": "val"}
"""How we call what is evaluated; any other set keeps its name."""
_NO_NAME: Final = re.compile(
    r"\biteration \d+|\b(?:the|end|of|training|on|for|val|valid|validation|test|eval|evaluation"
    r"|sets?|data|dataset)\b"
)
"""What stands behind `validation loss at` besides the name of one of several sets."""


def sniff(path: Path, head: bytes) -> bool:
    """Whether a line logs an iteration of so many and the samples consumed by then."""
    # Looking for the words first is ten times as fast as for the line.
    return b"consumed samples:" in head and bool(_LIKE.search(head))


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """The rows in batches; the printed arguments and what follows from them become facts.

    `skipped_iterations` and `nan_iterations` are sums over the log.
    """
    yield from batched(_MegatronLog(facts).rows(path, wish), list(COLUMNS))


class _MegatronLog:
    """One log as it is read: what was said so far and which validations wait for their tokens."""

    def __init__(self, facts: LogFacts) -> None:
        self.facts = facts
        self.arguments: dict[str, str] = {}
        self.last: Logged | None = None
        self.tokens: float | None = None
        # Whether samples differ in length, as under a curriculum.
        self.uneven = False
        self.wall_s = 0.0
        self.waiting: list[dict[str, Any]] = []
        self.counts = {"skipped_iterations": 0, "nan_iterations": 0}
        self.on_rank: dict[tuple[str, str], float] = {}

    def rows(self, path: Path, wish: Wish) -> Iterator[dict[str, object] | Unparsed]:
        for number, text, _ in text_lines(path, wish.phase):
            if match := _ITERATION.search(text):
                yield from self._iteration(number, match)
            elif match := _EVALUATION.search(text):
                yield from self._evaluation(number, match)
            elif not self.last:
                self._header(text)
        yield from self._placed(None)
        self._conclude()

    def _iteration(
        self, number: int, match: re.Match[str]
    ) -> Iterator[dict[str, object] | Unparsed]:
        cells = match[3].split("|")
        values, twice = _values(cells[:-1])
        step = _int(match[1])
        if step is None or (cells[-1].strip() and "number of nan iterations" not in values):
            yield Unparsed(number)
            return
        if twice:
            yield Unparsed(number, TWICE)
            return
        samples, batch = (_int(values.get(n)) for n in ("consumed samples", "global batch size"))
        now = Logged(step, samples, batch)
        consumed = _int(values.get("consumed tokens"))
        if consumed is not None and consumed != self._tokens(samples):
            self.uneven = True
        yield from self._placed(now)
        passed = step - self.last.step if self.last else 0
        passed = passed if passed > 0 else _int(self.arguments.get("log_interval")) or step
        for unit, of_second in (("ms", 1000.0), ("s", 1.0)):
            each = values.get(f"elapsed time per iteration ({unit})")
            self.wall_s += (_float(each) or 0.0) / of_second * passed
        for count in self.counts:
            self.counts[count] += _int(values.get(f"number of {count.replace('_', ' ')}")) or 0
        self.last = now
        self.tokens = self._tokens(samples) if consumed is None else consumed
        loss = next((values[name] for name in _LOSSES if name in values), None)
        yield {
            "step": step,
            "tokens": self.tokens,
            "split": "train",
            "loss": loss,
            "lr": values.get("learning rate"),
            "wall_s": self.wall_s,
            "line": number,
        }

    def _evaluation(self, number: int, match: re.Match[str]) -> Iterator[Unparsed]:
        values, twice = _values(match[3].split("|")[:-1])
        loss = next((values[f"{n} value"] for n in _LOSSES if f"{n} value" in values), None)
        at = re.search(r"\biteration (\d+)", match[2])
        step = _int(at[1]) if at else self.last.step if self.last else None
        if loss is None or twice or step is None:
            yield Unparsed(number, TWICE if twice else NOT_PARSED)
            return
        split = _split(match[1], match[2])
        self.waiting.append({"step": step, "split": split, "loss": loss, "line": number})

    def _placed(self, after: Logged | None) -> Iterator[dict[str, object]]:
        """The validations since the last logged iteration, with the tokens seen by then."""
        ramp = self._ramp()
        for row in self.waiting:
            if self.last and self.last.step == row["step"]:
                tokens = self.tokens
            elif self.uneven:
                tokens = None
            else:
                tokens = self._tokens(samples_at(row["step"], self.last, after, ramp))
            yield row | {"tokens": tokens}
        self.waiting.clear()

    def _ramp(self) -> Ramp | None:
        """How the batch grows; None where it does not."""
        grows = re.findall(r"\d[\d_]*", self.arguments.get(RAMP, ""))
        final = _int(self.arguments.get("global_batch_size"))
        if len(grows) != 3 or not final:
            return None
        start, increment, samples = (_int(number.replace("_", "")) for number in grows)
        if start is None or samples is None or not increment:
            return None
        return Ramp(start, increment, samples, final)

    def _tokens(self, samples: float | None) -> float | None:
        length = _int(self.arguments.get("seq_length"))
        return None if samples is None or length is None else samples * length

    def _header(self, text: str) -> None:
        if match := _ARGUMENT.match(text):
            self.arguments.setdefault(match[1], match[2])
            self.facts.say("", match[1], match[2])
        elif match := _ESTIMATE.search(text):
            # In billions, to the single weight.
            name = "params_nonembedding" if match[1] else "params_total"
            self.facts.know("", **{name: float(round(float(match[2]) * 1e9))})
        elif match := _ON_RANK.search(text):
            self.on_rank[match[1], match[2]] = float(match[3])
        elif match := _FLAG.search(text):
            self.arguments.setdefault("seq_length", match[1])

    def _conclude(self) -> None:
        for name, count in self.counts.items():
            self.facts.say("", name, count)
        # Of a model cut over several ranks, what they share is counted more than once.
        parallel = [self.arguments.get(f"{k}_model_parallel_size") for k in ("tensor", "pipeline")]
        if parallel == ["1", "1"] and set(self.on_rank) == {("0", "0")}:
            self.facts.known.setdefault("", {}).setdefault("params_total", self.on_rank["0", "0"])
        length = _int(self.arguments.get("seq_length"))
        samples = _int(self.arguments.get("lr_decay_samples")) or _int(
            self.arguments.get("train_samples")
        )
        steps = _int(self.arguments.get("lr_decay_iters")) or _int(
            self.arguments.get("train_iters")
        )
        batch = _int(self.arguments.get("global_batch_size"))
        if samples is None and steps and batch and self._ramp() is None:
            samples = steps * batch
        if samples and length:
            self.facts.know(horizon_tokens=float(samples * length))


@lru_cache(1 << 10)
def _split(kind: str, at: str) -> str:
    """The split of `KIND loss at AT`: `test` or `val`, or one of several sets by its own name."""
    is_test = re.search(r"\btest (set|data)\b", at)
    split = "test" if is_test else _SPLITS.get(kind, kind)
    name = re.sub(r"[^\w.-]+", "_", _NO_NAME.sub(" ", at)).strip("_")
    if not name:
        return split
    return f"{split}_{name}" if is_test else name


@lru_cache(1 << 10)
def _plain(name: str) -> str:
    return name.strip().translate(_BLANKS)


def _values(cells: list[str]) -> tuple[dict[str, str], bool]:
    """What stands in cells `name: value`, and whether a name stands there twice.

    Forks write lm-loss or lm_loss for lm loss.
    """
    pairs = [cell.split(":", 1) for cell in cells if ":" in cell]
    values = {_plain(name): value.strip() for name, value in pairs}
    return values, len(values) < len(pairs)


def _int(text: str | None) -> int | None:
    return int(text) if text is not None and _COUNT.fullmatch(text.strip()) else None


def _float(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
