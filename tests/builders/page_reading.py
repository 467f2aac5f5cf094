"""Pages read back as strictly as they should be written."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np

from flopline.report.formatting import sentences_of


def csv_rows(page: str, table_id: str) -> list[dict[str, str]]:
    """The CSV that is saved beside a table."""
    match = re.search(rf'data-for="{table_id}">\s*<a class="csv" href="([^"]+)"', page)
    assert match, table_id
    text = base64.b64decode(match[1].partition("base64,")[2]).decode()
    return list(csv.DictReader(io.StringIO(text)))


class Reader(HTMLParser):
    """Reads a page strictly: unbalanced tags, repeated ids and skipped headings are noted."""

    VOID = frozenset({"meta", "link", "img", "br", "input", "hr"})
    BLOCKS = frozenset({"td", "th", "dt", "dd", "li", "p"})
    INLINE = frozenset({"a", "b", "i", "span", "code", "sup", "strong", "em", "input", "img", "br"})

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.headings: list[int] = []
        self.tags: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()
        self.table = ""
        self.text_parts: list[str] = []
        self.sight_parts: list[str] = []
        self.out_of_sight: list[bool] = []
        self.folds: list[bool] = []
        self.feed(page)
        self.close()
        self.faults += [f"<{tag}> left open" for tag in self.open]

    @property
    def text(self) -> str:
        """What a reader sees, in one line."""
        return re.sub(r"\s+", " ", "".join(self.text_parts))

    @property
    def blocks_in_sight(self) -> list[str]:
        """What stands in sight before anything is clicked: not in folds, one line a block."""
        lines = "".join(self.sight_parts).split("\n")
        return [text for line in lines if (text := re.sub(r"\s+", " ", line).strip())]

    @property
    def numbers_in_sight(self) -> list[str]:
        """Every sentence in sight that holds a number."""
        parts = [part for block in self.blocks_in_sight for part in sentences_of(block)]
        return [part for part in parts if re.search(r"\d", part) and part[-1] in ".!?"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        given = {name: value or "" for name, value in attrs}
        if len(given) != len(attrs):
            self.faults.append(f"<{tag}> repeats an attribute")
        self.attributes += [(tag, name, value) for name, value in given.items()]
        if "id" in given:
            self.ids.append(given["id"])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "table":
            self.table = given.get("id", "")
        if tag == "tr" and "tbody" in self.open:
            self.rows[self.table] += 1
        if tag not in self.INLINE:
            self.sight_parts.append("\n")
        if tag not in self.VOID:
            self.open.append(tag)
            folded = bool(self.folds) and self.folds[-1] and tag != "summary"
            unseen = {"unseen", "c80", "skip"} & set(given.get("class", "").split())
            gone = (
                folded or bool(unseen) or "hidden" in given or tag in ("style", "script", "title")
            )
            self.out_of_sight.append(gone or (bool(self.out_of_sight) and self.out_of_sight[-1]))
            self.folds.append(tag == "details" and "open" not in given)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()} closes nothing or something else")
        if self.out_of_sight:
            self.out_of_sight.pop()
            self.folds.pop()
        if tag in self.BLOCKS:
            self.text_parts.append(" ")
        if tag not in self.INLINE:
            self.sight_parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text_parts.append(data)
        if not any([*self.out_of_sight[-1:], *self.folds[-1:]]):
            self.sight_parts.append(data.replace("\n", " "))

    def values(self, attribute: str) -> list[str]:
        """All values of an attribute, in order."""
        return [value for _, name, value in self.attributes if name == attribute]


def check_structure(page: str) -> Reader:
    """The page read; fails where tags, ids, headings or links inside it are not in order."""
    read = Reader(page)
    assert read.faults == []
    assert read.tags["h1"] == 1
    assert len(read.ids) == len(set(read.ids))
    steps = np.diff(read.headings)
    assert read.headings[0] == 1
    assert steps.max() <= 1
    inside = [h[1:] for h in read.values("href") if h.startswith("#")]
    pointed = inside + [i for v in read.values("aria-labelledby") for i in v.split()]
    assert inside
    assert set(pointed) <= set(read.ids)
    assert ("html", "lang", "en") in read.attributes
    return read


def check_pages(report: str, appendix: str) -> tuple[Reader, Reader]:
    """Both pages read; fails where either is out of order or a link between them leads nowhere."""
    read, behind = check_structure(report), check_structure(appendix)
    for one, other, name in ((read, behind, "appendix.html"), (behind, read, "report.html")):
        links = [href for href in one.values("href") if href.startswith(name)]
        assert links
        assert {href.partition("#")[2] for href in links} - {""} <= set(other.ids)
    return read, behind


def figure_names(page: str) -> list[tuple[str, str]]:
    """Number and name of every figure: the name stands below what was found, or alone."""
    captions = r'<b>Figure (\d+)\. (.*?)</b>(?: <span class="unit">(.*?)</span>)?'
    return [
        (number, (name or title).removesuffix("."))
        for number, title, name in re.findall(captions, page)
    ]
