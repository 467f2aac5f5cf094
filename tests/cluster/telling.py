"""Stories told by a process of their own: `python -m tests.cluster.telling FOLDER`.

Runs on a cluster mostly wait, so all of them go on beside the other tests from the first to the
last. What became of each is left in FOLDER/told/<story>.json; tests wait for these files,
whichever process of pytest-xdist they are in. The process ends when all is told, or with whoever
holds the other end of its standard input.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from tests.cluster import slurm
from tests.cluster.conftest import PATIENCE_S, running_cluster
from tests.cluster.stories import DISTURBED, Quiet, Story, default_study
from tests.cluster.tally import TALLY, Tally
from tests.conftest import ROOT
from tests.workflow.conftest import Checkout, engine

TALLIED = "tally"
HINDERED = "hindered"
ENDED = "ended"


class Teller:
    """The process that tells them, as whoever starts it holds it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Teller:
        stories = self.folder / "told"
        stories.mkdir(parents=True)
        with (self.folder / "telling.log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(self.folder)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # It ends all that it started by this group.
                start_new_session=True,
            )
        return self

    def wait(self) -> None:
        """Till all is told: others may still be listening."""
        self.process.wait(4 * PATIENCE_S)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(PATIENCE_S)


def heard(folder: Path, name: str) -> dict[str, Any]:
    """What is told under a name below `folder`; waits for it, and skips if nothing can be."""
    stories = folder / "told"
    deadline = time.monotonic() + 3 * PATIENCE_S
    while time.monotonic() < deadline:
        # Looked at first: what came just before the end is found all the same.
        ended = (stories / ENDED).exists()
        if (stories / HINDERED).exists():
            pytest.skip(f"NO SLURM CLUSTER CAN BE STARTED: {(stories / HINDERED).read_text()}")
        file = stories / f"{name}.json"
        if file.exists():
            content: dict[str, Any] = json.loads(file.read_text())
            assert "error" not in content, content["error"]
            return content
        assert not ended, f"{name} was not told: {(folder / 'telling.log').read_text()}"
        time.sleep(0.5)
    raise TimeoutError(f"{name} was not told in time")


def story_of(content: dict[str, Any]) -> Story:
    """A story as it was told."""
    return Story(**content | {"checkout": Checkout(Path(content["checkout"]))})


def tally_of(content: dict[str, Any]) -> Tally:
    """The tally at the end of all stories."""
    return Tally(**content)


def tell(folder: Path) -> None:
    """Start the cluster, have all stories happen at once and leave what became of each."""
    stories = folder / "told"
    hindrance = slurm.why_not(with_accounting=False)
    if hindrance:
        leave(stories / HINDERED, hindrance)
        return
    engine()  # before there are threads, each of which would start one
    with running_cluster() as cluster, ThreadPoolExecutor(2 + len(DISTURBED)) as pool:
        quiet = pool.submit(Quiet.ran, folder / "quiet")
        happening = {
            default_study: lambda: default_study(cluster, folder),
            **{
                story: lambda story=story: story(cluster, quiet.result(), folder / story.__name__)
                for story in DISTURBED
            },
        }
        for story, happens in happening.items():
            pool.submit(put_down, stories / f"{story.__name__}.json", happens)
    engine().stop()
    leave(stories / f"{TALLIED}.json", json.dumps(asdict(TALLY)))


def put_down(file: Path, happens: Callable[[], Story]) -> None:
    """Have a story happen and leave what became of it, or why it broke off."""
    try:
        story = happens()
        content = asdict(replace(story, checkout=None)) | {"checkout": str(story.checkout.folder)}
    except Exception:
        content = {"error": traceback.format_exc()}
    leave(file, json.dumps(content))


def leave(file: Path, text: str) -> None:
    """Write a file that is whole as soon as it has its name."""
    part = file.with_suffix(".part")
    part.write_text(text)
    part.replace(file)


def end_with_the_listener() -> None:
    """End all that was started, runs first and by them the cluster, when nobody listens."""
    sys.stdin.read()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=end_with_the_listener, daemon=True).start()
    try:
        tell(Path(sys.argv[1]))
    finally:
        leave(Path(sys.argv[1]) / "told" / ENDED, "")
