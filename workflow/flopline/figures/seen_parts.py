"""Which parts of its inputs a figure was made of: for the others it need not be drawn again.

A figure is handed every finding of an audit and the whole verdict, and most read a few of them.
What it asks for is noted while it is drawn; as long as all of that is the same it would ask for the
same again, and show the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flopline.figures.first_target import FirstTarget
from flopline.hashing import hash_file
from flopline.results import PartsView

WHOLE: Final = ""
"""The part that is all of a file."""
NAMES: Final = "*"
"""The part that is the names of all parts."""

Part = tuple[str, str]
"""A file, and which part of it."""


@dataclass
class SeenParts(PartsView):
    """A results.View that notes what is asked for; `view` says what there is to be seen."""

    view: FirstTarget | None = None
    parts: dict[Part, None] = field(default_factory=dict)

    def __call__(self, path: Path, content: Any) -> Any:
        """What is to be seen of a file; a note of it, or of what will be asked of it."""
        shown = content if self.view is None else self.view(path, content)
        if path.name == "decision.json":
            return _Noted(shown, lambda name: self.note(path, name))
        if path.name != "findings.json":
            self.note(path, WHOLE)
        return shown

    def note(self, path: Path, name: str | None) -> None:
        """Note that a part of a file was asked for, or with None which there are."""
        self.parts[str(path), NAMES if name is None else name] = None

    def digests(self, parts: Iterable[Part]) -> list[str]:
        """Digests of these parts as the files now hold them."""
        read: dict[str, Mapping[str, Any]] = {}
        return [self._digest(Path(path), name, read) for path, name in parts]

    def _digest(self, path: Path, name: str, read: dict[str, Mapping[str, Any]]) -> str:
        if name == WHOLE:
            return hash_file(path) if self.view is None else self.view.digest(path)
        if str(path) not in read:
            read[str(path)] = self._parts_of(path)
        parts = read[str(path)]
        of_part = list(parts) if name == NAMES else [parts[name]] if name in parts else None
        return hashlib.sha256(json.dumps(of_part).encode()).hexdigest()

    def _parts_of(self, path: Path) -> Mapping[str, Any]:
        """What is to be seen of the verdict, or of findings, by the name of each part."""
        from flopline.storage import read_json

        content = read_json(path)
        shown = content if self.view is None else self.view(path, content)
        if path.name == "decision.json":
            parts: Mapping[str, Any] = shown
            return parts
        # The digests of tables are not to be seen; each table is noted as it is read.
        return {one["audit"]: {**one, "tables": list(one["tables"])} for one in shown}


class _Noted(Mapping[str, Any]):
    """A mapping that tells what it is asked for: a name, or None for which there are."""

    def __init__(self, content: Mapping[str, Any], note: Callable[[str | None], None]) -> None:
        self._content, self._note = content, note

    def __getitem__(self, name: str) -> Any:
        self._note(name)
        return self._content[name]

    def __iter__(self) -> Iterator[str]:
        self._note(None)
        return iter(self._content)

    def __len__(self) -> int:
        self._note(None)
        return len(self._content)
