"""What docs/extending.md gives a newcomer, and what following it touches in a copy."""

from __future__ import annotations

import filecmp
import re
import textwrap
from pathlib import Path

from tests.conftest import ROOT


def templates(kind: str) -> list[str]:
    """The pieces of code that the checklist of a kind gives, in their order."""
    text = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    checklist = text.split(f"## Checklist: {kind}\n")[1].split("\n## ")[0]
    pieces = re.findall(r"   ```python\n(.*?)   ```", checklist, re.DOTALL)
    return [textwrap.dedent(piece) for piece in pieces]


def touched(folder: Path) -> list[str]:
    """The files of a copy of the workflow and its config that differ from ours."""
    found = []
    for part in ("workflow", "config", "profiles", "Snakefile"):
        files = [folder / part] if (folder / part).is_file() else (folder / part).rglob("*")
        for file in files:
            ours = ROOT / file.relative_to(folder)
            told = file.is_file() and "__pycache__" not in file.parts
            if told and not (ours.is_file() and filecmp.cmp(file, ours, shallow=False)):
                found.append(str(file.relative_to(folder)))
    return sorted(found)
