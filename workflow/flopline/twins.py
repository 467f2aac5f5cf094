"""Names that stand twice: which of two values counts is not told, so that neither is taken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from flopline.decoders import RaisedByHook, decoding
from flopline.errors import FloplineError


def demand_once(names: Sequence[str], wanted: Iterable[str], path: Path) -> None:
    """Raise FloplineError where one of the `wanted` columns stands twice among those of a file."""
    for name in wanted:
        if names.count(name) > 1:
            places = [number for number, known in enumerate(names, start=1) if known == name]
            raise FloplineError(
                f"{path}: the column '{name}' stands there twice, as column {places[0]} and as "
                f"column {places[1]}: rename one or take it out."
            )


class Once:
    """Makes objects of JSON in which each of the `wanted` names (dotted: its parts) stands once.

    Without them that goes for all. It is an object_pairs_hook. Raises Twice.
    """

    def __init__(self, wanted: Iterable[str] | None) -> None:
        self.wanted = None
        if wanted is not None:
            self.wanted = {part for name in wanted for part in (name, *name.split("."))}

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """An object of these pairs."""
        record = dict(pairs)
        if len(record) < len(pairs):
            names = [name for name, _ in pairs]
            for name, value in pairs:
                if names.count(name) > 1 and (self.wanted is None or name in self.wanted):
                    raise Twice(name, value, record[name])
        return record


class Twice(RaisedByHook):
    """A name that stands twice in an object of JSON, with its first value and its last."""

    def __init__(self, name: str, first: Any, last: Any) -> None:
        super().__init__(name, first, last)
        self.name, self.first, self.last = name, first, last

    def at(self, place: str) -> FloplineError:
        """The same as an error that says where."""
        first, last = (str(value)[:60] for value in (self.first, self.last))
        return FloplineError(
            f"{place}: the key '{self.name}' stands twice in one record, as {first} and as "
            f"{last}: rename one or take it out."
        )


MOST_YAML: Final = 1 << 20
"""Letters of a YAML file: Python takes some seconds for so many."""


class _Loader(yaml.SafeLoader):
    """A loader that says of a value with a wrong tag, or a date that is none, where it stands."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node."""
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            kind = node.tag.rpartition(":")[2]
            quoted = f"{str(node.value)[:40]!r}" if isinstance(node, yaml.ScalarNode) else "this"
            raise yaml.constructor.ConstructorError(
                None, None, f"{quoted} is no {kind}; put it in quotes if it is text",
                node.start_mark,
            ) from error  # fmt: skip


def yaml_once(text: str, name: str) -> Any:
    """The content of YAML in which no key stands twice in one place; `name` is what errors call it.

    Keys are text as they stand in the file, and 1e21 is a number.

    Raises FloplineError where one does, and Undecodable.
    """
    if len(text) > MOST_YAML:
        raise FloplineError(
            f"{name} holds {len(text):,} letters, and YAML is read up to {MOST_YAML:,}: keep what "
            "is long in a table."
        )
    with decoding():
        loader = _Loader(text)
        try:
            top = loader.get_single_node()
            _refuse_twins(top, name)
            _as_meant(top)
            return None if top is None else loader.construct_document(top)
        finally:
            loader.dispose()


_FLOAT: Final = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)[eE][-+]?\d+")


def _as_meant(top: yaml.Node | None) -> None:
    """Make keys text as they stand, since on, no, 7 and 1e3 are names there, and 1e21 a number.

    YAML 1.1 takes 1e21 for text; in quotes it is.
    """
    todo, seen = [top], set[int]()
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if (
            isinstance(node, yaml.ScalarNode)
            and node.style is None
            and _FLOAT.fullmatch(node.value)
        ):
            node.tag = "tag:yaml.org,2002:float"
        elif isinstance(node, yaml.SequenceNode):
            todo += node.value
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                todo.append(value)
                if isinstance(key, yaml.ScalarNode) and not key.tag.endswith(":merge"):
                    key.tag = "tag:yaml.org,2002:str"


def _refuse_twins(top: yaml.Node | None, name: str) -> None:
    """Stop at a key that stands twice in one place, of which YAML silently takes the last."""
    todo, seen = [top], set[int]()
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue  # by an alias
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += node.value
        elif isinstance(node, yaml.MappingNode):
            todo += [value for _, value in node.value]
            keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            first: dict[str, int] = {}
            for key in keys:
                line = key.start_mark.line + 1
                if first.setdefault(key.value, line) != line:
                    raise FloplineError(
                        f"{name}: the key '{key.value}' stands in line {first[key.value]} and "
                        f"again in line {line}: put both into one."
                    )
