"""Hugging Face `trainer_state.json`: one JSON document whose `log_history` lists what was logged.

Without a column map every loss of an entry becomes a row: `loss` is the split `train`,
`eval_loss` is `val`, and `eval_NAME_loss` is `NAME`, one for each evaluation set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pandas as pd

from flopline.decoders import Undecodable, decoding, json_of
from flopline.errors import FloplineError
from flopline.logs.json_document import no_document
from flopline.logs.opening import read_bytes
from flopline.logs.reading import LogFacts, Raw, Wish

COLUMNS: Final = {
    "step": "step",
    "tokens": "num_input_tokens_seen",
    "split": "split",
    "loss": "loss",
    "lr": "learning_rate",
}

_EVAL_LOSS: Final = re.compile(r"eval_(?:(.+)_)?loss")


def sniff(path: Path, head: bytes) -> bool:
    """Whether this is a JSON object that has a `log_history`."""
    # Looking for one letter first is a hundred times as fast.
    return head.lstrip()[:1] == b"{" and b"y" in head and b'"log_history"' in head


def read(path: Path, wish: Wish, facts: LogFacts) -> Iterator[Raw]:
    """The entries of `log_history`; what stands beside them are facts.

    `max_steps` becomes `horizon_steps`, and the tokens seen by the last step, where they are a
    whole multiple of the steps, say `batch_tokens`.

    Raises FloplineError when the file is not a whole JSON document with a `log_history`.
    """
    text = read_bytes(path).decode("utf-8-sig", errors="replace")
    if not text.strip():
        return
    try:
        # A NaN as text, since in a table it would stand for an absent loss.
        document = json_of(text, parse_constant=str)
        with decoding():
            entries = list(_entries(text, document["log_history"]))
    except Undecodable as error:
        raise no_document(path, error) from None
    except (KeyError, TypeError):
        raise FloplineError(
            f"{path} has no list `log_history`, so it is no trainer_state.json: correct "
            "source.format or take the file out."
        ) from None
    for name, value in document.items():
        if isinstance(value, str | int | float):
            facts.say("", name, value)
    if document.get("max_steps"):
        facts.know(horizon_steps=float(document["max_steps"]))
    if (batch := _batch_tokens(document)) is not None:
        facts.know(batch_tokens=batch)
    names = list(dict.fromkeys(key for _, entry in entries for key in entry))
    if wish.columns is None:
        rows = [row for line, entry in entries for row in _losses(entry, line)]
        wanted = list(COLUMNS.values())
    else:
        rows = [{**entry, "line": line} for line, entry in entries]
        wanted = [name for name in wish.names if name in names]
    yield Raw(pd.DataFrame(rows, columns=[*wanted, "line"], dtype=object), names=names)


def _batch_tokens(document: dict[str, Any]) -> float | None:
    """Tokens of one step, where all steps took the same count and the trainer counted them."""
    seen, steps = document.get("num_input_tokens_seen"), document.get("global_step")
    if not (isinstance(seen, int) and isinstance(steps, int) and seen > 0 and steps > 0):
        return None
    return float(seen // steps) if seen % steps == 0 else None


def _entries(text: str, history: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each entry with the line at which it begins."""
    if not isinstance(history, list):
        raise TypeError
    decoder = json.JSONDecoder()
    place = text.index("[", text.index('"log_history"')) + 1
    line, counted = 1, 0
    for entry in history:
        place = text.index("{", place) if isinstance(entry, dict) else place
        line += text.count("\n", counted, place)
        counted = place
        _, place = decoder.raw_decode(text, place)
        yield line, entry


def _losses(entry: dict[str, Any], line: int) -> Iterator[dict[str, object]]:
    """One row for each loss of an entry; one without a loss for an entry that has none."""
    shared = {name: entry.get(name) for name in COLUMNS.values() if name not in ("loss", "split")}
    losses: list[tuple[str | None, Any]]
    losses = [("train", entry["loss"])] if entry.get("loss") is not None else []
    for name, value in entry.items():
        if (match := _EVAL_LOSS.fullmatch(name)) and value is not None:
            losses.append((match[1] or "val", value))
    for split, loss in losses or [(None, None)]:
        yield {**shared, "split": split, "loss": loss, "line": line}
