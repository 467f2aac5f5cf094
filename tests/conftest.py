"""What all tests share: real data where it is there, and a simulated study."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A failing assert of a builder says as much as one of a test.
pytest.register_assert_rewrite("tests.builders")

# A slow machine is no fault of the code.
settings.register_profile("flopline", deadline=None, derandomize=True)
settings.load_profile("flopline")

ROOT = Path(__file__).parents[1]
ARTEFACTS = ROOT / "results" / "test-artefacts"
"""Where tests leave pictures for us to look at."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs of whole workflows come first, or one process would end long after the others.

    Those on a cluster come last: they only look at what went on beside all others.
    """
    items.sort(key=lambda item: ("cluster" in item.keywords, "tests/workflow" not in item.nodeid))


@pytest.fixture(scope="session", autouse=True)
def _stories(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Runs on the cluster begin with the first test, if any test looks at them."""
    wanted = any("told_on_cluster" in item.fixturenames for item in request.session.items)
    if not wanted or os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0":
        yield
        return
    from tests.cluster.telling import Teller

    with Teller(folder_of_stories(tmp_path_factory)) as teller:
        yield
        session = request.session
        interrupted = session.exitstatus == pytest.ExitCode.INTERRUPTED
        if not (interrupted or session.shouldstop or session.shouldfail):
            teller.wait()


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """The folder of this session that all processes of pytest-xdist share."""
    base = factory.getbasetemp()
    # Each process has a folder of its own in it.
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def folder_of_stories(factory: pytest.TempPathFactory) -> Path:
    """Where runs on the cluster happen, and what becomes of them is told."""
    return shared_folder(factory) / "cluster"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public run tables and logs; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("FLOPLINE_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}; set FLOPLINE_TEST_DATA to a folder that holds it")
    return folder


def counted_together(counts: Iterable[tuple[str, dict[str, int]]]) -> list[str]:
    """A line for all counts of one name: those of all tests added up; of a `most` the largest."""
    totals: dict[str, dict[str, int]] = {}
    for name, parts in counts:
        total = totals.setdefault(name, dict.fromkeys(parts, 0))
        for part, count in parts.items():
            total[part] = max(total[part], count) if "most" in part else total[part] + count
    return [
        f"{name}: " + ", ".join(f"{part} {count:,}" for part, count in total.items())
        for name, total in totals.items()
    ]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests measured by `record_property`, since none asserts it, and where pictures are."""
    passed = terminalreporter.stats.get("passed", [])
    properties = [
        (name, value)
        for report in [*passed, *terminalreporter.stats.get("failed", [])]
        if report.when == "call"
        for name, value in report.user_properties
    ]
    lines = [f"{name}: {value}" for name, value in properties if not isinstance(value, dict)]
    lines += counted_together(
        (name, value) for name, value in properties if isinstance(value, dict)
    )
    if any("/browser/" in report.nodeid for report in passed):
        lines.append(f"screenshots: {ARTEFACTS}")
    for line in lines:
        terminalreporter.write_line(line)
