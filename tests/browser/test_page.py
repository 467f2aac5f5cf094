"""The report page of the default study in a real browser."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.browser.conftest import OpenPage

pytestmark = [pytest.mark.workflow, pytest.mark.browser]

# A page that takes longer is broken, whatever the machine.
ENDLESS_S = 20


@pytest.mark.parametrize("colour_scheme", ["light", "dark"])
def test_the_page_is_one_file_that_asks_nothing_of_the_network(
    open_page: OpenPage, page_file: Path, colour_scheme: str, record_property: object
) -> None:
    start = time.perf_counter()
    page = open_page(colour_scheme=colour_scheme)
    seconds = time.perf_counter() - start
    record_property(f"page opened, {colour_scheme}", f"{seconds:.2f} s")  # type: ignore[operator]
    assert seconds < ENDLESS_S
    assert open_page.seen[page].errors == []
    fetched = [url for url in open_page.seen[page].requests if not url.startswith("data:")]
    assert fetched == [page_file.as_uri()]
    open_page.shoot(page, "whole", full=True)
