"""docs/cleaning.md names every reason code."""

from __future__ import annotations

from flopline.clean.reasons import MISTAKES, REASONS
from tests.conftest import ROOT


def test_every_reason_code_is_explained_and_what_stops_is_marked() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs/cleaning.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    assert sorted(row[0].strip("`") for row in rows) == sorted(REASONS)
    assert {row[0].strip("`") for row in rows if row[2] == "yes"} == set(MISTAKES)
