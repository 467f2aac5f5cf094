"""The default study's page in a real Chromium, which Playwright drives.

The study is run once a test session by real Snakemake, below the folder that all processes of
pytest-xdist share; whoever comes second waits at a lock and finds it finished.
FLOPLINE_BROWSER_STUDY names a folder to keep instead, where Snakemake only reruns what changed
since: for work on the page, where a whole study for every look is too much.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from flopline.errors import FloplineError
from flopline.printing import find_chromium
from tests.conftest import ARTEFACTS
from tests.workflow.conftest import DEFAULT, once_a_session, run_default_study

KEEP = "FLOPLINE_BROWSER_STUDY"
# The second lets software draw what needs WebGL, on machines without a GPU.
ARGUMENTS = ["--no-sandbox", "--enable-unsafe-swiftshader"]
LOCAL = ("file:", "data:", "blob:", "about:")


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the default study, by real Snakemake; shared, so to be left as they are."""
    if KEEP in os.environ:
        folder = Path(os.environ[KEEP])
        run_default_study(folder)
    else:
        folder = once_a_session(tmp_path_factory, DEFAULT, run_default_study)
    return folder / "results" / DEFAULT


@pytest.fixture(scope="session")
def page_file(study_folder: Path) -> Path:
    """The report page of the default study."""
    return study_folder / "report.html"


@pytest.fixture(scope="session")
def appendix_file(study_folder: Path) -> Path:
    """Its second page, with all other figures and every table."""
    return study_folder / "appendix.html"


# Ends with these tests, not the session: Playwright's event loop would be in the way of others.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A headless Chromium; tests that need it skip where none is installed."""
    try:
        program = find_chromium()
    except FloplineError as missing:
        pytest.skip(f"NO PAGE IS TESTED IN A BROWSER. {missing}")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=ARGUMENTS)


@dataclass
class Seen:
    """What a page did that nobody sees on it."""

    errors: list[str] = field(default_factory=list)
    """Errors of the console (those of the page's own security policy too) and of its scripts."""
    requests: list[str] = field(default_factory=list)
    """Everything fetched, addresses cut short."""

    @property
    def from_network(self) -> list[str]:
        return [address for address in self.requests if not address.startswith(LOCAL)]

    def watch(self, page: Page) -> None:
        page.on(
            "console",
            lambda line: self.errors.extend([line.text] * (line.type == "error")),
        )
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url[:200]))


class OpenPage:
    """Opens pages; remembers what each did, and shoots each when its test is over."""

    def __init__(self, browser: Browser, page_file: Callable[[], Path], name: str) -> None:
        self._browser, self._page_file, self._name = browser, page_file, name
        self.seen: dict[Page, Seen] = {}

    def __call__(
        self,
        *,
        colour_scheme: str = "light",
        viewport: tuple[int, int] = (1280, 900),
        file: Path | None = None,
        anchor: str = "",
        **context: Any,
    ) -> Page:
        """A new page under file://, loaded, without network and with a clipboard of its own.

        `file` is the default study's page if not given; `viewport` is width, height in CSS pixels;
        more goes to Playwright's `new_context`, as in `java_script_enabled=False`.
        """
        width, height = viewport
        made = self._browser.new_context(
            color_scheme=colour_scheme,
            viewport={"width": width, "height": height},
            offline=True,
            reduced_motion="reduce",
            **context,
        )
        page = made.new_page()
        self.seen[page] = Seen()
        self.seen[page].watch(page)
        page.goto((file or self._page_file()).as_uri() + anchor, wait_until="load")
        return page

    def shoot(self, page: Page, label: str, *, full: bool = False) -> Path:
        """Screenshot of what is in view, or of all, in the folder of artefacts; its path."""
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        path = ARTEFACTS / f"{self._name}-{label}.png"
        page.screenshot(path=path, full_page=full)
        return path

    def close(self) -> None:
        for number, page in enumerate(self.seen, start=1):
            if not page.is_closed():
                print(f"As it was at the end: {self.shoot(page, f'end{number}')}")
                page.context.close()


@pytest.fixture
def open_page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[OpenPage]:
    """`open_page(colour_scheme=..., viewport=...)`; no page may err or ask the network."""
    name = re.sub(r"[^\w.-]+", "-", request.node.name).strip("-")
    opened = OpenPage(browser, lambda: request.getfixturevalue("page_file"), name)
    yield opened
    opened.close()
    for seen in opened.seen.values():
        assert seen.errors == []
        assert seen.from_network == []
