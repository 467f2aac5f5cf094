"""The documentation: every page is on the site, and every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from flopline.cli.program import NAMES
from tests.conftest import ROOT

AROUND = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "config/README.md")
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / name for name in AROUND)])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", lambda match: match[0] if "](" not in match[0] else "", text)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    found = set()
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for heading in re.findall(r"^#+ +(.+?)\s*$", text, re.M):
        words = LINK.sub("", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading))
        slug = re.sub(r"[^\w\- ]", "", words.lower()).strip().replace(" ", "-")
        found |= {slug, re.sub(r"-+", "-", slug)}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), target


def listed(nav: Any) -> set[str]:
    if isinstance(nav, str):
        return {nav}
    parts = nav.values() if isinstance(nav, dict) else nav
    return set().union(*(listed(part) for part in parts))


def test_every_page_is_on_the_site() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    outside = {"index.md", "config.md", "contributing.md", "changelog.md"}
    assert listed(site["nav"]) == {page.name for page in (ROOT / "docs").glob("*.md")} | outside


def test_commands_in_the_docs_exist() -> None:
    """`flopline x` and `make x` as they stand in blocks of code and between backticks."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        code = re.findall(r"^```.*?^```", text, re.M | re.S) + re.findall(r"`[^`\n]+`", text)
        for name in re.findall(r"(?:^|[`(&|] ?)flopline ([a-z]+)\b", "\n".join(code), re.M):
            assert name in NAMES, f"{page.name}: flopline {name}"
        for name in re.findall(r"(?:^|[`&|] ?)make ([a-z][a-z-]*)\b(?!=)", "\n".join(code), re.M):
            assert name in targets, f"{page.name}: make {name}"
