"""The templates of docs/extending.md, so that tests follow it to the letter."""

from __future__ import annotations

import re
import textwrap

from tests.conftest import ROOT


def templates(what: str) -> list[str]:
    """The code of the checklist for `what`, as "a law", in its order."""
    text = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    checklist = text.split(f"## Checklist: {what}\n")[1].split("\n## ")[0]
    return [
        textwrap.dedent(code) for code in re.findall(r"   ```python\n(.*?)   ```", checklist, re.S)
    ]
