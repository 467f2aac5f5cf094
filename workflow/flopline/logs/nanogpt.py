"""nanoGPT stdout: `iter 10: loss …, time …ms` and `step 250: train loss …, val loss …`.

The losses of the second kind are means over fixed batches: the split of its training loss is
`train_eval`, that of the loss of a single step `train`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flopline.logs.opening import begins_a_line, text_lines
from flopline.logs.reading import LogFacts, Raw, Unparsed, Wish, batched

COLUMNS: Final = {"step": "step", "split": "split", "loss": "loss"}

_START: Final = re.compile(r"(?:iter|step) \d+: (?:train )?loss ")
_ITER: Final = re.compile(r"iter (\d+): loss ([^\s,]+)(?:, \w[\w/ ]* \S+)+\s*")
_EVAL: Final = re.compile(r"step (\d+): train loss ([^\s,]+), val loss ([^\s,]+)(?:, .*)?\s*")
_LIKE: Final = re.compile(
    rb"^(iter \d+: loss [^\s,]+, (\w+ \S+, )*time |step \d+: train loss )", re.MULTILINE
)
_BATCH: Final = re.compile(r"tokens per iteration will be: (\d[\d,]*)")
_SIZE: Final = re.compile(r"number of parameters: (\d+\.?\d*)M")


def sniff(path: Path, head: bytes) -> bool:
    """Whether a line is an iteration or an evaluation as nanoGPT prints them."""
    begins = begins_a_line(head, b"iter ") or begins_a_line(head, b"step ")
    return begins and bool(_LIKE.search(head))


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """The rows in batches.

    `tokens per iteration` become `batch_tokens`. The printed number of parameters is a count of
    its own (without position embeddings, with those of tokens), in millions: it becomes a fact
    only where the study file asks for `number of parameters`.
    """
    yield from batched(_rows(path, wish, facts), list(COLUMNS))


def _rows(path: Path, wish: Wish, facts: LogFacts) -> Iterator[dict[str, object] | Unparsed]:
    for number, text, complete in text_lines(path, wish.phase):
        # A line without its end may hold a number without its end.
        if complete and (row := _ITER.fullmatch(text)):
            yield {"step": row[1], "split": "train", "loss": row[2], "line": number}
            continue
        if match := _BATCH.search(text):
            facts.know(batch_tokens=float(match[1].replace(",", "")))
        elif match := _SIZE.match(text):
            facts.say("", "number of parameters", f"{float(match[1]) * 1e6:.0f}")
        if not _START.match(text):
            continue
        if complete and (row := _EVAL.fullmatch(text)):
            yield {"step": row[1], "split": "train_eval", "loss": row[2], "line": number}
            yield {"step": row[1], "split": "val", "loss": row[3], "line": number}
        else:
            yield Unparsed(number)
