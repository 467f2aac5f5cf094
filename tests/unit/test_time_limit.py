"""A user's regular expression that tries too many ways is stopped, with the line it was at."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from flopline.logs import time_limit
from flopline.logs.readers import read_log
from flopline.sources import from_name
from running.log_search import log_files
from tests.builders.refusals import refused

ENDLESS = r"(a+)+b"
SLOW = "a" * 60


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limit, "SECONDS", 0.05)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "run.log"
    lines = [f"step {n} loss {9 - n / 1000}" for n in range(1, 1300)]
    path.write_text("\n".join([*lines, SLOW, "step 1300 loss 3\n"]))
    return path


def test_a_pattern_that_never_ends_names_its_line(log: Path) -> None:
    pattern = rf"step (?P<step>\d+) loss (?P<loss>\S+)|{ENDLESS}"
    words = (f"{log}, line 1300: source.pattern has looked for", "no repeat stand within another")
    refused(lambda: read_log(log, patterns=[{"pattern": pattern}], format_name="pattern"), *words)


@pytest.mark.parametrize("key", ["from", "to"])
def test_so_does_that_of_a_phase(log: Path, key: str) -> None:
    columns = {"step": "step", "loss": "loss"}
    phase = {key: ENDLESS}
    refused(
        lambda: read_log(log, columns, "lines", phase=phase), f"{log}, line 1300: source.phase has"
    )


def test_names_of_files_are_looked_at_no_longer(tmp_path: Path) -> None:
    path = f"logs/{SLOW}.csv"
    (tmp_path / "logs").mkdir()
    (tmp_path / path).touch()
    source: Any = {"kind": "logs", "paths": "logs/*", "runs": {"from_name": f"(?P<run>{ENDLESS})"}}
    refused(lambda: from_name(source, path, "s.yaml"), path, "source.runs.from_name")
    study: Any = {"file": "s.yaml", "source": {**source, "pieces": ENDLESS, "runs": {}}}
    refused(lambda: log_files(study, tmp_path), path, "source.pieces")


def test_the_timer_of_another_goes_on(log: Path) -> None:
    former = signal.signal(signal.SIGVTALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_VIRTUAL, 1000, 7)
    try:
        pattern = r"step (?P<step>\d+) loss (?P<loss>\S+)"
        reading = read_log(log, patterns=[{"pattern": pattern}], format_name="pattern")
        assert reading.rows["line"].tolist() == [*range(1, 1300), 1301]
        assert signal.getitimer(signal.ITIMER_VIRTUAL)[1] == 7
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, former)


def test_many_quick_lines_may_take_longer_together() -> None:
    with time_limit.limited("x", "y") as at:
        for at[0] in range(60):
            until = time.process_time() + 0.002
            while time.process_time() < until:
                pass


def test_a_thread_reads_without_a_limit(log: Path) -> None:
    readings: list[Any] = []
    pattern = [{"pattern": r"step (?P<step>\d+) loss (?P<loss>\S+)"}]
    thread = threading.Thread(
        target=lambda: readings.append(read_log(log, patterns=pattern, format_name="pattern"))
    )
    thread.start()
    thread.join()
    assert len(readings[0].rows) == 1300
