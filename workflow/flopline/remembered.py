"""Results of costly functions, remembered by content from one run of a stage to the next.

A function that is `remembered` must depend on its arguments and on code alone, and change none of
them. By default nothing is kept and it is simply called. Inside of `remembering` its result is
looked up in a file, by a digest of its name, of every argument and of a salt: what else the result
depends on, the code, the packages and the machine. An entry holds the digest of its key and its
bytes together, so that what was damaged or came from elsewhere is no entry.

Arguments are digested by type and to the last bit: arrays by dtype, shape, layout and bytes, tables
by their columns, an object of ours that is no dataclass by what its method `parts_that_count`
returns. Where one is of a kind that cannot be told apart for sure (`Unknown`), the function is
called. Found or made, a result is built anew from its bytes: nothing that a caller changes in it
reaches the memory, and what was found lies in memory as what was made, since sums may depend on
that.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import math
import os
import platform
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import numpy as np

from flopline.atomic import drop_abandoned, write_note
from flopline.decoders import json_of
from flopline.remembered_tables import KINDS, Unknown, is_table, put_together, taken_apart

P = ParamSpec("P")
R = TypeVar("R")

LIBRARIES: Final = (__name__.partition(".")[0],)
"""Whose classes are told apart by name: the code of others is in no digest of ours."""
SETTINGS: Final = (
    *("OMP_", "OPENBLAS_", "MKL_", "BLIS_", "VECLIB_", "NPY_"),
    *("GLIBC_TUNABLES", "LD_PRELOAD"),
)
"""How the names begin of settings that choose another way to the same sum."""
LARGEST: Final = 1 << 28
"""Bytes of a file beyond which it is none of ours."""
SPARE: Final = 1 << 20
"""Bytes of the entries that are kept besides those of the last run: whoever takes a change back
finds what was solved before it."""

_MARK: Final = b"flopline solves 2\n"
_HALF_LETTERS: Final = b"\\ud"
"""How halves of letters begin in JSON; what is read of one alone is a replaced letter."""
_HEAD: Final = struct.Struct("<q32s")
"""Bytes of the list of entries, and its digest with the salt."""
_DAMAGED: Final = (ValueError, TypeError, KeyError, IndexError, AttributeError, struct.error)


@dataclass(frozen=True, slots=True)
class Function:
    """A function that is remembered, and the classes that its results are made of.

    Of one `with_parts` what it calls is remembered, too.
    """

    name: str
    plain: Callable[..., Any]
    signature: inspect.Signature
    made_of: Mapping[str, type]
    with_parts: bool = False


FUNCTIONS: Final[dict[str, Function]] = {}
"""All that are remembered and loaded, by name."""


def remembered(
    *made_of: type, with_parts: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Have the results of a function remembered inside of `remembering`.

    They are made of arrays, tables, numbers, texts, None, tuples, lists, dicts by text and the
    dataclasses in `made_of`. What the function calls is remembered by itself only `with_parts`:
    worth its room where much of that is the same when another argument comes.
    """

    def decorate(plain: Callable[P, R]) -> Callable[P, R]:
        name = f"{plain.__module__}.{plain.__qualname__}"
        classes = {kind.__name__: kind for kind in made_of}
        function = Function(name, plain, inspect.signature(plain), classes, with_parts)
        FUNCTIONS[name] = function

        @functools.wraps(plain)
        def asked(*args: P.args, **kwargs: P.kwargs) -> R:
            solves = _REMEMBERING.get()
            if solves is None:
                return plain(*args, **kwargs)
            result: R = solves.result(function, args, kwargs)
            return result

        return asked

    return decorate


@contextmanager
def remembering(solves: Solves | None) -> Iterator[None]:
    """Look results up in `solves` inside, and have it remember them; None remembers nothing."""
    token = _REMEMBERING.set(solves)
    try:
        yield
    finally:
        _REMEMBERING.reset(token)


@dataclass
class Solves:
    """Results by key as one file holds them, and those that this run has found or made.

    `kept` are entries as they were read; `used` those of this run, in its order. `asking` holds,
    for each function at work of which the parts are remembered, the keys of what it asked for.
    """

    path: Path
    salt: str
    kept: dict[str, bytes] = field(default_factory=dict)
    used: dict[str, bytes] = field(default_factory=dict)
    found: int = 0
    made: int = 0
    spare: int = SPARE
    asking: list[dict[str, None]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, salt: Sequence[str], spare: int = SPARE) -> Solves:
        """What a file holds of this salt; nothing where it is missing or not as we write one."""
        solves = cls(path, _digest([*salt]), spare=spare)
        with suppress(OSError, *_DAMAGED):
            if path.stat().st_size <= LARGEST:
                solves.kept = _listed(path.read_bytes(), solves.salt)
        return solves

    def write(self) -> None:
        """Leave in the file what this run used, and of the rest what finds room in `spare` bytes.

        A file that cannot be written is no harm, and left as it was.
        """
        entries, room = dict(self.used), self.spare
        for key, entry in self.kept.items():
            if key not in entries and len(entry) <= room:
                entries[key] = entry
                room -= len(entry)
        if entries == self.kept:
            drop_abandoned(self.path)
            return
        head = json.dumps([[key, len(entry)] for key, entry in entries.items()]).encode("ascii")
        about = _HEAD.pack(len(head), _seal(self.salt, head))
        write_note(self.path, b"".join([_MARK, about, head, *entries.values()]))

    def result(self, function: Function, args: Any, kwargs: Any) -> Any:
        """What the function returns for these arguments, found or made."""
        try:
            key = key_of(function, args, kwargs, self.salt)
        except Unknown:
            return function.plain(*args, **kwargs)
        return self.by_key(
            key, lambda: function.plain(*args, **kwargs), function.made_of, function.with_parts
        )

    def of(self, content: object, make: Callable[[], R]) -> R:
        """What `make` returns, found where it was made of the same `content` before.

        All that the result depends on must be in the content or in the salt.
        """
        result: R = self.by_key(_digest([self.salt, content]), make, {})
        return result

    def known(self, content: object) -> Any:
        """What `of` would find for this content; None where it would make it."""
        known = self._known(_digest([self.salt, content]), {})
        return known[0] if known else None

    def noted(self, content: object) -> Any:
        """What was last noted of some `content`; None where nothing was."""
        key = _digest([self.salt, "noted", content])
        with suppress(KeyError, *_DAMAGED):
            return _opened(self.kept[key], key, {})[0]
        return None

    def note(self, content: object, result: object) -> None:
        """Note a result of some `content`, in place of what was noted of it before."""
        key = _digest([self.salt, "noted", content])
        self.used[key] = _sealed(result, [], key, {})

    def by_key(
        self,
        key: str,
        make: Callable[[], Any],
        made_of: Mapping[str, type],
        with_parts: bool = False,
    ) -> Any:
        """The result that goes by a key, found or made."""
        for asked in self.asking:
            asked[key] = None
        if known := self._known(key, made_of):
            return known[0]
        asked_for: dict[str, None] = {}
        # What it calls is part of its result, and need not be kept by itself.
        token = _REMEMBERING.set(self if with_parts else None)
        self.asking.append(asked_for)
        try:
            result = make()
        finally:
            self.asking.pop()
            _REMEMBERING.reset(token)
        self.made += 1
        try:
            plan, words, arrays = _laid_out(result, [*asked_for], made_of)
        except Unknown:
            return result
        entry = self.used[key] = _joined(key, words, arrays)
        if _HALF_LETTERS in words:
            return _opened(entry, key, made_of)[0]
        # What would be read of it, without the reading.
        place = len(entry) - sum(map(len, arrays))
        return _built(plan, _Rest(memoryview(entry), place), made_of)

    def _known(self, key: str, made_of: Mapping[str, type]) -> tuple[Any] | None:
        """The result that goes by a key, alone; None where there is none."""
        for entries in (self.used, self.kept):
            if key in entries:
                with suppress(*_DAMAGED):
                    found, parts = _opened(entries[key], key, made_of)
                    self.used[key] = entries[key]
                    self._use(parts)
                    self.found += 1
                    return (found,)
        return None

    def _use(self, parts: Sequence[str]) -> None:
        """Keep what a result that was found is made of, for when it is made again."""
        for asked in self.asking:
            asked.update(dict.fromkeys(parts))
        for key in parts:
            if key in self.kept:
                self.used.setdefault(key, self.kept[key])


_REMEMBERING: ContextVar[Solves | None] = ContextVar("remembering", default=None)


def key_of(function: Function, args: Any, kwargs: Any, salt: str) -> str:
    """The digest of a call in hex; raises Unknown where an argument has none."""
    bound = function.signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return _digest([salt, function.name, dict(bound.arguments)])


def machine() -> list[str]:
    """What of the packages and of this machine may decide about the last digits of a result."""
    settings = sorted(f"{k}={v}" for k, v in os.environ.items() if k.startswith(SETTINGS))
    known = getattr(np, "_core", None)
    features = getattr(getattr(known, "_multiarray_umath", None), "__cpu_features__", {})
    libc = ""
    with suppress(AttributeError, ValueError, OSError):  # no name of other systems than Linux
        libc = str(os.confstr("CS_GNU_LIBC_VERSION"))
    return [
        platform.python_version(),
        platform.python_implementation(),
        platform.system(),
        platform.machine(),
        libc,
        _processor(),
        *sorted(name for name, there in dict(features).items() if there),
        *_loaded_numerics(),
        *_versions(),
        *settings,
    ]


def before_jobs() -> None:
    """Look up what is the same for all jobs that are forked of this process."""
    _versions()
    _processor()


@functools.cache
def _versions() -> list[str]:
    return [f"{name} {metadata.version(name)}" for name in ("numpy", "scipy", "pandas")]


@functools.cache
def _processor() -> str:
    """What the processor is called: BLAS chooses its way by it."""
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith(("model name", "CPU part")):
                return line
    return platform.processor()


def _loaded_numerics() -> list[str]:
    """The files of the libraries of linear algebra that are loaded, as far as the system says."""
    with suppress(OSError):
        mapped = Path("/proc/self/maps").read_bytes().splitlines()
        loaded = {line.rpartition(b"/")[2] for line in mapped}
        files = {name.decode("utf-8", "replace") for name in loaded}
        return sorted(f for f in files if any(part in f for part in ("blas", "lapack", "mkl_")))
    return []


def _listed(content: bytes, salt: str) -> dict[str, bytes]:
    """The entries of a file by key; raises one of _DAMAGED where it is not of this salt."""
    begin = len(_MARK) + _HEAD.size
    size, seal = _HEAD.unpack(content[len(_MARK) : begin])
    head = content[begin : begin + size]
    if not content.startswith(_MARK) or seal != _seal(salt, head):
        raise ValueError("damaged, or of another code or machine")
    entries, place = {}, begin + size
    for key, length in json_of(head):
        entries[str(key)] = content[place : place + length]
        place += length
    return entries


def _digest(value: object) -> str:
    digest = hashlib.sha256()
    _feed(digest.update, value)
    return digest.hexdigest()


def _feed(update: Callable[[bytes], None], value: object) -> None:
    """Hand on the bytes of a value, of which no other value has the same; see the module."""

    def mark(kind: str, *numbers: int) -> None:
        update(f"{kind}{','.join(map(str, numbers))};".encode("ascii"))

    def text(words: str) -> None:
        raw = words.encode("utf-8", "surrogatepass")
        mark("t", len(raw))
        update(raw)

    if value is None or isinstance(value, bool):
        mark(str(value))
    elif type(value) is int:
        mark("i", value)
    elif type(value) is float:
        mark("f")
        update(struct.pack("<d", value))
    elif type(value) is str:
        text(value)
    elif type(value) is np.ndarray or isinstance(value, np.generic):
        array = np.asarray(value)
        if array.dtype.kind not in KINDS:
            raise Unknown(f"an array of {array.dtype}")
        mark("a" if type(value) is np.ndarray else "g")
        text(array.dtype.str)
        mark("s", *array.shape)
        mark("s", *array.strides)
        update(array.tobytes())
    elif type(value) in (tuple, list):
        assert isinstance(value, tuple | list)
        mark(type(value).__name__, len(value))
        for part in value:
            _feed(update, part)
    elif type(value) is dict:
        mark("d", len(value))
        for name, part in value.items():
            _feed(update, name)
            _feed(update, part)
    elif isinstance(value, type):
        mark("c")
        text(_named(value))
    elif isinstance(value, Enum):
        mark("e")
        text(_named(type(value)))
        text(value.name)
    elif is_table(value):
        mark("table")
        _feed(update, taken_apart(value))
    elif callable(parts := getattr(value, "parts_that_count", None)):
        mark("p")
        text(_named(type(value)))
        _feed(update, parts())
    elif is_dataclass(value):
        mark("o", len(fields(value)))
        text(_named(type(value)))
        for one in fields(value):
            text(one.name)
            _feed(update, getattr(value, one.name))
    else:
        raise Unknown(f"a value of {type(value)}")


def _named(kind: type) -> str:
    """The name of a class of ours, whose code is in the salt; raises Unknown for another's."""
    module, name = kind.__module__, kind.__qualname__
    if module.partition(".")[0] not in LIBRARIES or "<" in name:
        raise Unknown(f"{module}.{name}")
    return f"{module}.{name}"


def _sealed(result: object, parts: Sequence[str], key: str, made_of: Mapping[str, type]) -> bytes:
    """A result as bytes, with the digest of the key and these; raises Unknown for another kind.

    `parts` are the keys of what it was made of.
    """
    _, words, arrays = _laid_out(result, parts, made_of)
    return _joined(key, words, arrays)


def _laid_out(
    result: object, parts: Sequence[str], made_of: Mapping[str, type]
) -> tuple[Any, bytes, list[bytes]]:
    """The plan of a result, the same as JSON beside `parts`, and the bytes of its arrays."""
    arrays: list[bytes] = []
    plan = _plan(result, arrays, made_of)
    return plan, json.dumps([[*parts], plan]).encode("ascii"), arrays


def _joined(key: str, words: bytes, arrays: Sequence[bytes]) -> bytes:
    body = b"".join([struct.pack("<q", len(words)), words, *arrays])
    return _seal(key, body) + body


def _seal(key: str, body: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(key.encode("ascii"))
    digest.update(body)
    return digest.digest()


def _opened(entry: bytes, key: str, made_of: Mapping[str, type]) -> tuple[Any, list[str]]:
    """A result built anew from its bytes, and the keys of what it was made of.

    Raises one of _DAMAGED where they are not as written.
    """
    whole = memoryview(entry)
    seal, body = whole[:32], whole[32:]
    if seal != _seal(key, body):
        raise ValueError("damaged")
    (size,) = struct.unpack("<q", body[:8])
    parts, plan = json_of(bytes(body[8 : 8 + size]))
    return _built(plan, _Rest(body, 8 + size), made_of), parts


@dataclass(slots=True)
class _Rest:
    """The bytes of the arrays that are still to be built."""

    body: memoryview
    place: int

    def taken(self, size: int) -> memoryview:
        part = self.body[self.place : self.place + size]
        self.place += size
        return part


def _plan(value: Any, arrays: list[bytes], made_of: Mapping[str, type]) -> Any:
    """What a value is, as JSON; the bytes of its arrays go to `arrays`."""
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return ["float", struct.pack("<d", value).hex()]
    if type(value) is np.ndarray or isinstance(value, np.generic):
        array = np.asarray(value)
        if array.dtype.kind not in KINDS:
            raise Unknown(f"an array of {array.dtype}")
        # Axes in the order in which they lie in memory.
        axes = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
        lying = array.transpose(axes)
        arrays.append(lying.tobytes())
        kind = "array" if type(value) is np.ndarray else "scalar"
        return [kind, array.dtype.str, list(lying.shape), axes]
    if type(value) in (tuple, list):
        if set(map(type, value)) <= {str}:
            return [type(value).__name__, list(value)]
        return [type(value).__name__, [_plan(part, arrays, made_of) for part in value]]
    if type(value) is dict and all(type(name) is str for name in value):
        return ["dict", [[name, _plan(part, arrays, made_of)] for name, part in value.items()]]
    if is_table(value):
        return ["table", _plan(taken_apart(value), arrays, made_of)]
    name = type(value).__name__
    if made_of.get(name) is type(value) and is_dataclass(value):
        parts = [[one.name, _plan(getattr(value, one.name), arrays, made_of)]
                 for one in fields(value)]  # fmt: skip
        return ["of", name, parts]
    raise Unknown(f"a result of {type(value)}")


def _built(plan: Any, rest: _Rest, made_of: Mapping[str, type]) -> Any:
    """The value of a plan, its arrays copied from `rest`."""
    if not isinstance(plan, list):
        return plan
    kind, *about = plan
    if kind == "float":
        return struct.unpack("<d", bytes.fromhex(about[0]))[0]
    if kind in ("array", "scalar"):
        dtype, shape, axes = np.dtype(about[0]), about[1], about[2]
        raw = rest.taken(dtype.itemsize * math.prod(shape))
        lying = np.frombuffer(raw, dtype).reshape(shape).copy()
        array = lying.transpose(np.argsort(axes)) if axes else lying
        return array if kind == "array" else array[()]
    if kind in ("tuple", "list"):
        parts = about[0]
        if list in set(map(type, parts)):
            parts = [_built(part, rest, made_of) for part in parts]
        return tuple(parts) if kind == "tuple" else parts
    if kind == "table":
        return put_together(_built(about[0], rest, made_of))
    if kind == "dict":
        return {name: _built(part, rest, made_of) for name, part in about[0]}
    return made_of[about[0]](**{name: _built(part, rest, made_of) for name, part in about[1]})
