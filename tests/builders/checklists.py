"""What docs/extending.md gives a newcomer."""

from __future__ import annotations

import re
import textwrap

from tests.conftest import ROOT


def templates(kind: str) -> list[str]:
    """The pieces of code that the checklist of a kind gives, in their order."""
    text = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    checklist = text.split(f"## Checklist: {kind}\n")[1].split("\n## ")[0]
    # A line that is no statement by itself stands as plain text.
    pieces = re.findall(r"   ```(?:python)?\n(.*?)   ```", checklist, re.DOTALL)
    return [textwrap.dedent(piece) for piece in pieces]
