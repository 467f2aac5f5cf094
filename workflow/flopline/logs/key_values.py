"""Lines of keys and values as trainers print them, taken apart without knowing the trainer.

A key stands before its number, whatever parts them (`loss: 3.2`, `loss=3.2`, `loss 3.2`) and
whatever parts the pairs (bars, commas, tabs, blanks), behind any prefix. An object of JSON or
Python behind a prefix gives its own keys. Indented lines below a line with a position belong to it.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flopline.decoders import Undecodable, decoding, json_of

POSITIONS: Final = ("step", "iteration", "iter", "batch", "epoch", "update", "global_step", "it")
"""Words that say where in a run a line stands."""

PROGRESS: Final = "progress"
"""The key of the position that a progress bar shows."""

FIRST: Final = "first number"
"""The key of a number that begins a line, or stands alone in brackets, and has no name."""

MOST_LINES: Final = 500
"""Lines of an object that is printed over several of them."""

_LOGGED_BAR: Final = re.compile(
    r"\bProgress on:(?P<label>\S*) (?P<n>[\d.]+[kMGT]?)\w*/(?P<total>[\d.]+[kMGT]?)\w* rate:\S+"
    r" remaining:\S+ elapsed:\S+ postfix:(?P<postfix>.*)"
)
"""How tqdm-loggable logs a progress bar where there is no terminal; it rounds to three digits."""
FEWEST_DOTS: Final = 3
"""Dots that lead from a key to its number."""

MOST_WORDS: Final = 8
"""Words of a key; what is longer is prose."""

_NOISE: Final = re.compile(
    r"\x1b\[[\d;]*[A-Za-z]|\^\[\[[A-D]"  # colours, and keys that were typed
    r"|\b\d{4}[-/]\d\d?[-/]\d\d?(?:[T ]\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?)?(?:Z|[+-]\d\d:?\d\d\b)?"
    r"|\b\d\d?/\d\d?/\d{4}(?: \d\d?:\d\d:\d\d)?"
    r"|(?<![\d.])\d+:\d\d(?::\d\d)?(?:\.\d+)?(?![\d:])"
)
"""Dates, times and colours, which hold numbers that are no values."""

_RANK: Final = re.compile(r"^\s?\[?(?:rank|default|proc)?[\s_]?\d+\]?:(?=\s|\[|$)")
"""The process that printed a line, put before it by srun or torchrun."""

_BAR: Final = re.compile(
    r"(?<!\d)(\d+)/(\d+)\s+\[[\d:]+<[^\]]{0,500}?(?:, ([^\],]{0,100}=[^\]]{0,1000}))?\]"
)
_NUMBER: Final = re.compile(
    r"(?<![\w.+\-/])(?P<number>[-+]?(?:\d+(?:[.,_]\d+)*|\.\d+)(?:\.(?=\s|$))?(?:[eE][-+]?\d+)?)"
    r"(?P<unit>%|[A-Za-z\u00b5](?:[A-Za-z0-9\u00b5]|/(?!\d))*)?(?!\w)"
    r"(?:\s*/\s*(?P<total>\d+(?:[,_]\d+)*(?:\.\d+)?[kKMBGT]?)(?![\w.]))?"
    r"|(?<=[:=])\s*(?P<word>[-+]?(?:nan|inf|infinity))(?![\w.])"
    r"|(?<=\s)(?P<last>[-+]?(?:nan|inf))(?=\s*(?:[|,;)\]]|$))",
    re.IGNORECASE,
)
_DIVIDED: Final = re.compile(r"[|,;\t\[\]{}]|\s{2,}|\s-\s|:\s|>>")
_SEPARATORS: Final = ("=>", "->", ":", "=")
_OPENED: Final = "'\"[("
_AT: Final = re.compile(r"^(.*\S)\s+(?:at|after|@|on|of)$", re.IGNORECASE)
_BEGINS: Final = re.compile(r"\s*[A-Za-z]")
_CLOSES: Final = re.compile(r"\s*\](?P<key>[\s:|,-]*[A-Za-z])?")
"""What stands behind a number alone in brackets: their end, and then perhaps a key."""
_OPEN_KEY: Final = re.compile(r"\S+=\s*$")
"""The key of an object, as `grad_norm=`, which has no number of its own."""
_SPLIT: Final = re.compile(
    r"train(?:ing)?(?:_inner)?|val(?:id)?(?:ation|ating|ate)?|eval(?:uation|uating|uate)?|test(?:ing)?"
    r"|dev|held[-_ ]?out"
)
_NO_POSITION: Final = (
    "per", "max", "min", "total", "warmup", "num", "number", "every", "each", "best", "decay",
    "log", "save", "micro", "mini", "global",
)  # fmt: skip
"""What makes `step`, `batch` and the like no position, where it stands before them."""

_PLAIN_NAN: Final = re.compile(r"(?<![\w'\"])(-?)(nan|inf)(?![\w'\"])")
_LOSS: Final = re.compile(
    r"(?:^|[^a-z])(?:loss(?:es)?|nll|xent|cross[-_ ]?entropy|crossentropyloss|ce|bpb|bpc"
    r"|bits[-_ ]per[-_ ](?:byte|char(?:acter)?))(?:$|[^a-z])|loss$|CrossEntropy",
)

_BESIDE: Final = re.compile(
    r"loss[-_ ]?(?:scal|mask|weight|spike|coef|fn|time|rate)", re.IGNORECASE
)
"""What is about a loss and no loss."""


@dataclass(slots=True)
class Record:
    """What a line, or a block of lines, says: its keys with their values, text or numbers.

    `totals` are of how many a key counts, `repeated` the keys that stand twice in it. `lead` is the
    word before the first pair that names a split, `ends` the key whose value ends the line. One
    with `beside` has its position from the line beside it.
    """

    line: int
    values: dict[str, Any] = field(default_factory=dict)
    totals: dict[str, str] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)
    lead: str = ""
    ends: str = ""
    beside: bool = False
    text: str = ""

    @property
    def placed(self) -> bool:
        """Whether it says where in the run it stands."""
        return any(name in self.values for name in POSITIONS)

    def note(self, name: str, value: Any) -> None:
        """A key with its value; the first of several counts."""
        if name in self.values:
            self.repeated.append(name)
        else:
            self.values[name] = value


def is_loss(name: str) -> bool:
    """Whether a key is named like a loss."""
    return bool(_LOSS.search(name) or _LOSS.search(name.lower())) and not _BESIDE.search(name)


def records(lines: Iterable[tuple[int, str, bool]]) -> Iterator[Record]:
    """What the lines of a log say, each (number, text, whole); an indented block is one record."""
    block: Record | None = None
    for number, text, _ in _with_whole_objects(lines):
        # Most lines of a log that is not all metrics hold no number or no letter.
        record = parsed(number, text)
        below = _RANK.sub("", text, count=1)[:1] in (" ", "\t")
        if block is not None and below and not record.placed:
            for name, value in record.values.items():
                block.note(name, value)
            block.ends, block.text = record.ends, f"{block.text}\n{text}"
            continue
        if block is not None:
            yield block
            block = None
        if record.placed:
            block = record
        elif record.values:
            yield record
    if block is not None:
        yield block


def opens_object(line: str | bytes) -> bool:
    """Whether an object begins in a line and goes on in the next, as `pprint` prints it."""
    if isinstance(line, bytes):
        line = line.decode("utf-8", errors="replace")
    begun = line.rstrip()
    return begun.endswith((",", "{")) and begun.count("{") > begun.count("}")


def _with_whole_objects(
    lines: Iterable[tuple[int, str, bool]],
) -> Iterator[tuple[int, str, bool]]:
    """The lines, those of an object with a loss that is printed over several as one line."""
    held: list[tuple[int, str, bool]] = []
    depth = 0
    for number, text, complete in lines:
        if not held and not ("{" in text and opens_object(text)):
            yield number, text, complete
            continue
        held.append((number, text, complete))
        depth += text.count("{") - text.count("}")
        if depth > 0 and len(held) < MOST_LINES:
            continue
        yield from _joined(held)
        held, depth = [], 0
    yield from held


def _joined(lines: list[tuple[int, str, bool]]) -> list[tuple[int, str, bool]]:
    """Lines as the one that they make, if they are an object with a loss; else as they are."""
    line = " ".join(text.strip() for _, text, _ in lines)
    content = object_in(line)
    if content is None or not any(is_loss(str(name)) for name, _ in leaves(content[1])):
        return lines
    return [(lines[0][0], line, lines[-1][2])]


def parsed(number: int, text: str) -> Record:
    """What one line says."""
    record = Record(number, text=text)
    plain = _NOISE.sub(" ", text) if ":" in text or "\x1b" in text or "/" in text else text
    if "{" in text and (split_line := object_in(text)):
        before, content = split_line
        record.lead = _split_word(_words(_NOISE.sub(" ", before)))
        _bar(record, before)
        for name, value in leaves(content, pairs=True):
            if isinstance(value, int | float | str) and not isinstance(value, bool):
                record.note(_named(name, record.lead), value)
        _beside_object(record, plain)
        record.ends = ""
        return record
    barred = "/" in text and ("<" in text or "Progress on:" in text)
    if barred and (bar := _bar(record, text)):
        plain = bar
    _pairs(record, _RANK.sub("", plain, count=1))
    return record


def leaves(
    content: Mapping[Any, Any], *, pairs: bool = False, prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """What nested objects hold, by dotted names; with `pairs`, `key` and `value` of one are one."""
    if pairs and isinstance(content.get("key"), str) and "value" in content:
        others = {name: value for name, value in content.items() if name not in ("key", "value")}
        content = {**others, content["key"]: content["value"]}
    for name, value in content.items():
        if isinstance(value, dict):
            yield from leaves(value, pairs=pairs, prefix=f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _beside_object(record: Record, text: str) -> None:
    """Note what stands in a line around its object, if it is told by `=` or says a position."""
    begin, end = text.find("{"), text.rfind("}") + 1
    around = Record(record.line)
    _pairs(around, f"{_OPEN_KEY.sub('', text[:begin])} {text[end:]}")
    equals = "=" in text[:begin] or "=" in text[end:]
    for name, value in around.values.items():
        if name not in record.values and (equals or name in POSITIONS):
            record.values[name] = value
    if not record.totals:
        record.totals.update(around.totals)


def _pairs(record: Record, text: str) -> None:
    end, measure = 0, ""
    alone: list[re.Match[str]] = []
    for match in _NUMBER.finditer(text):
        between = text[end : match.start()]
        after, end = end, match.end()
        value = match["number"] or match["word"] or match["last"]
        if match["number"]:
            # The point behind `loss 5.1.` ends a sentence.
            value = value[:-1] if value.endswith(".") and "." in value[:-1] else value
            value += match["unit"] or ""
        sep = _separator(between)
        words = between if sep is None else between[:sep]
        if not after and not words.strip():
            if sep is None and not match["unit"] and _BEGINS.match(text, end):
                record.note(FIRST, value)
            continue
        if between.rstrip().endswith("[") and _CLOSES.match(text, end) and not match["unit"]:
            record.lead = record.lead or _split_word(_words(words))
            if not _note_bracketed(record, match, between):
                alone.append(match)
            continue
        key = _key(words, explicit=sep is not None)
        if not key:
            if measure and not words.strip(" ,|)-]"):
                # `loss at step 10: 3.2` names what it measures before the step.
                record.note(_named(measure, record.lead), value)
                record.ends = measure
            measure = ""
            continue
        first, _, last = key.rpartition(" ")
        measure, last = "", last.lower()
        if last in POSITIONS and not _own_counter(first, last):
            record.lead = record.lead or _split_word(_words(words))
            if at := _AT.match(first):
                measure = at[1]
            if match["total"]:
                record.totals.setdefault(last, match["total"])
            if last not in record.values:
                record.values[last] = value
            elif record.values[last] != value:
                record.repeated.append(last)
            record.ends = last
            continue
        if last in POSITIONS:
            record.lead = record.lead or _split_word(_words(first))
        elif not after and not record.lead:
            record.lead = _split_word(_words(words)[: -len(key.split())])
        name = _named(key, record.lead)
        record.note(name, value)
        record.ends = name
        if match["total"]:
            record.totals.setdefault(name, match["total"])
    if text[end:].strip(" \t|,;)]}\"'"):
        record.ends = ""
    _alone(record, alone)


def _note_bracketed(record: Record, match: re.Match[str], between: str) -> bool:
    """Note the position that a number in brackets is, as `Step [50/2400]`, if its word says so."""
    first, _, last = between.rstrip()[:-1].strip(" ,|").rpartition(" ")
    name = last.rstrip(":=").lower()
    if name not in POSITIONS or _own_counter(first, name) or not match["total"]:
        return False
    record.note(name, match["number"])
    record.totals.setdefault(name, match["total"])
    return True


def _alone(record: Record, numbers: Sequence[re.Match[str]]) -> None:
    """Note the one number of a line that stands alone in brackets, if nothing else is its place.

    That of an evaluation counts its own batches.
    """
    counts_training = not record.lead or record.lead.startswith("train")
    if len(numbers) != 1 or record.placed or FIRST in record.values or not counts_training:
        return
    (match,) = numbers
    closes = _CLOSES.match(match.string, match.end())
    if closes is not None and closes["key"]:
        record.values[FIRST] = match["number"]
        if match["total"]:
            record.totals[FIRST] = match["total"]


def _separator(between: str) -> int | None:
    """Where the sign begins that parts a key from the number after it; None without one."""
    rest = between.rstrip().rstrip(_OPENED).rstrip()
    if rest.endswith(_SEPARATORS):
        return len(rest.removesuffix(">")[:-1].rstrip())
    key = rest.rstrip(".")
    return len(key.rstrip()) if len(rest) - len(key) >= FEWEST_DOTS else None


def _key(words: str, *, explicit: bool) -> str:
    """The name that stands right before a number; empty where none does."""
    words = words.rstrip()
    if not explicit and words.endswith(("(", "[", "{", ",", "|", ";")):
        return ""
    key = _DIVIDED.split(words)[-1].strip(" \t.:=*#>'\"")
    if key.count("(") > key.count(")"):
        key = key.rpartition("(")[2]
    elif key.count(")") > key.count("("):
        key = key.rpartition(")")[2]
    if "=" in key:
        key = key.rpartition("=")[2].rpartition(" ")[2]
    key = " ".join(key.strip(" -'\"").split())
    several = key.count(" ") >= MOST_WORDS
    return "" if several or not any(letter.isalpha() for letter in key) else key


def _named(key: str, lead: str) -> str:
    """A loss is named with the split that the line begins with, where it says none itself."""
    if lead and is_loss(key) and not _split_word(re.split(r"[\s_/.\-]+", key)):
        return f"{lead}/{key}"
    return key


def _own_counter(first: str, last: str) -> bool:
    """Whether a key counts something else, as `Eval batch=3/10`, `tokens per step`, `max step`."""
    before = first.rpartition(" ")[2].lower()
    if before in _NO_POSITION:
        return True
    counts = last not in ("step", "global_step", "update")
    return counts and bool(_SPLIT.fullmatch(before)) and not before.startswith("train")


def _words(text: str) -> list[str]:
    return re.split(r"[\s|:,;\[\]()'\"]+", text)


def _split_word(words: Iterable[str]) -> str:
    """The first word that names a split; empty where none does."""
    return next((w.lower() for w in words if _SPLIT.fullmatch(w.lower())), "")


def _bar(record: Record, text: str) -> str:
    """Note the position that a progress bar shows; what stands behind it, and in it as pairs."""
    if (logged := _LOGGED_BAR.search(text)) is not None:
        record.lead = _split_word([logged["label"]])
        if not record.lead.startswith("train"):
            return ""
        record.values[PROGRESS] = _without_zeros(logged["n"])
        record.totals[PROGRESS] = _without_zeros(logged["total"])
        return str(logged["postfix"])
    bars = list(_BAR.finditer(text))
    if not bars:
        return ""
    last = bars[-1]
    name = _label(text)
    record.lead = _split_word(_words(name))
    if name and not record.lead.startswith("train"):
        # The bar of something else, such as an evaluation or a download.
        return ""
    record.values[PROGRESS] = last[1]
    record.totals[PROGRESS] = last[2]
    return f"{last[3] or ''} | {text[last.end() :]}"


def _without_zeros(number: str) -> str:
    """19.0 as 19, since tqdm writes whole numbers with a point."""
    return re.sub(r"\.0+$", "", number)


def _label(text: str) -> str:
    """What stands before the percentage that a bar begins with."""
    before, bar, _ = text.partition("%|")
    name = before.rstrip("0123456789")
    named = bar and name != before and not {"|", "%"} & set(name)
    return name.strip(": \t") if named else ""


def object_in(text: str) -> tuple[str, dict[str, Any]] | None:
    """What stands before an object of JSON or Python in a line, and the object."""
    begin, end = text.find("{"), text.rfind("}") + 1
    if end <= begin:
        return None
    body = text[begin:end]
    try:
        content = json_of(body, parse_constant=str)
    except Undecodable:
        try:
            quoted = _PLAIN_NAN.sub(r"'\1\2'", body)
            with decoding(), warnings.catch_warnings(action="ignore"):
                content = ast.literal_eval(quoted) if ":" in body else None
        except Undecodable:
            return None
    return (text[:begin], content) if isinstance(content, dict) else None
