"""Faults without a scheduler: after each of them, and a resume, the results are the same bytes."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.simulate import write_study
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.workflow

RESULTS = "results/toy"
NOT_COMPARED = {"logs", "benchmarks", ".sha256"}
NOTES = {".digests.json", ".outputs.json", ".lock", ".jobs.lock"}

# One job of each rule.
STAGES = {
    "ingest.0",
    "clean.0",
    "gather",
    "fit_envelope.ash",
    "fit_isoflop.ash",
    "fit_parametric.ash",
    "audit.ash",
    "decide",
    "figure_envelope.ash",
    "figure_isoflop.ash",
    "figure_surface",
    "figure_audit.ash",
    "report",
}

# Comes before everything else in every Python of a run. A job waits where an order tells it to: as
# it `begins`, or where its first complete file is about to be `named`.
TRAP = """
import os, sys, time
from pathlib import Path

orders = Path(os.environ.get("FAULT_ORDERS", "/nowhere"))

def at_order(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".log") and arguments[1] == "w":
        place = "begins"
    elif event == "os.rename" and str(arguments[0]).endswith(".part"):
        place = "named"
    else:
        return
    job = getattr(sys.modules.get("__main__"), "snakemake", None)
    order = job and orders / f"{Path(job.log[0]).stem}.{place}"
    if order and order.exists():
        order.with_suffix(f".{place}-reached").write_text(str(os.getpid()))
        while order.exists():
            time.sleep(0.02)

if orders.is_dir():
    sys.addaudithook(at_order)
"""


def content(folder: Path) -> dict[str, bytes]:
    """Every result of a study, by its path."""
    results = folder / RESULTS
    return {
        str(path.relative_to(results)): path.read_bytes()
        for path in sorted(results.rglob("*"))
        if path.is_file()
        and not NOT_COMPARED & set(path.relative_to(results).parts)
        and path.name not in NOTES
        and not path.name.startswith(".snakemake")
    }


def different(found: dict[str, bytes], wanted: dict[str, bytes]) -> list[str]:
    return sorted(p for p in found.keys() | wanted.keys() if found.get(p) != wanted.get(p))


def until(reached: Callable[[], object], seconds: float = 240) -> None:
    limit = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < limit, "not reached in time"
        time.sleep(0.02)


class Run:
    """A run in a process group of its own, which a test may disturb."""

    def __init__(self, lab: Lab, *arguments: str) -> None:
        self.lab = lab
        lab.runs += 1
        self.output = lab.orders.with_name(f"said.{lab.runs}")
        with self.output.open("w") as stream:
            self.process = subprocess.Popen(
                ["snakemake", "--cores", "1", *arguments, "--config", "study=toy"],
                cwd=lab.folder,
                env={
                    **os.environ,
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "FAULT_ORDERS": str(lab.orders),
                },
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    def end(self) -> int:
        return self.process.wait(300)

    def held(self) -> tuple[Path, int]:
        """The order at which a job of this run waits, and its process."""
        found: list[Path] = []

        def reached() -> bool:
            assert self.process.poll() is None, self.said
            found[:] = [p for p in self.lab.orders.glob("*-reached") if p.read_text()]
            return bool(found)

        until(reached)
        (note,) = found
        pid = int(note.read_text())
        note.unlink()
        return note.with_name(note.name.removesuffix("-reached")), pid

    def signal_all(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


@dataclass
class Lab:
    """A checkout in which runs are disturbed."""

    checkout: Checkout
    orders: Path
    runs: int = 0

    @classmethod
    def of(cls, checkout: Checkout, beside: Path) -> Lab:
        (beside / "orders").mkdir(parents=True)
        (beside / "sitecustomize.py").write_text(TRAP)
        # Of two modules of this name Python would take that of the tests which trace jobs.
        (checkout.folder / "workflow/sitecustomize.py").unlink(missing_ok=True)
        # The workflow hands its own PYTHONPATH to the jobs; the trap goes with it.
        checkout.edit(
            "workflow/rules/common.smk",
            "PYTHONPATH=str(LIBRARY.parent)",
            f'PYTHONPATH=f"{{LIBRARY.parent}}:{beside}"',
        )
        return cls(checkout, beside / "orders")

    @property
    def folder(self) -> Path:
        return self.checkout.folder

    @property
    def results(self) -> Path:
        return self.folder / RESULTS

    def order(self, name: str) -> Path:
        path = self.orders / name
        path.touch()
        return path

    @contextlib.contextmanager
    def run(self, *arguments: str) -> Iterator[Run]:
        """A run that does not outlive the test."""
        run = Run(self, *arguments)
        try:
            yield run
        finally:
            for order in self.orders.iterdir():
                order.unlink()
            run.signal_all(signal.SIGKILL)
            run.process.wait(60)

    def resumed(self, undisturbed: dict[str, bytes], *arguments: str) -> str:
        """The plain command goes on to its end, and to the same bytes; what it said."""
        with self.run(*arguments) as run:
            assert run.end() == 0, run.said
        assert different(content(self.folder), undisturbed) == []
        assert list(self.folder.glob(".snakemake/locks/*")) == []
        return run.said


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Something mounted on a folder; the test is skipped where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: a full or read-only disk is made by a mount, which needs root")
    done = subprocess.run(
        ["mount", *options, str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"NOT TESTED: this machine allows no mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no room on the disk of a folder; returns the file that takes it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as stream:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    stream.write(bytes(size))
            except OSError as error:
                assert error.errno == errno.ENOSPC
    return filler


@pytest.fixture(scope="session")
def undisturbed(finished: Checkout) -> dict[str, bytes]:
    found = content(finished.folder)
    assert len(found) > 60
    return found


@pytest.fixture
def lab(finished: Checkout, tmp_path: Path) -> Lab:
    """A finished study."""
    return Lab.of(finished.copy(tmp_path / "repo"), tmp_path / "lab")


@pytest.fixture
def fresh(tmp_path: Path) -> Lab:
    """The same study before its first run."""
    checkout = Checkout.fresh(tmp_path / "repo")
    write_study(checkout.folder)
    return Lab.of(checkout, tmp_path / "lab")


def parts(lab: Lab) -> list[Path]:
    return [path for path in lab.results.rglob("*.part") if path.is_file()]


def kill_in_each_stage(lab: Lab, undisturbed: dict[str, bytes], disk: Path | None) -> None:
    """In turn a full disk (where there is one to fill) and kill -9 to everything, in each stage.

    A stage is killed while its first file is written but does not yet have its name.
    """
    lab.results.mkdir(parents=True, exist_ok=True)
    remaining, faults = set(STAGES), 0
    while remaining:
        for stage in remaining:
            lab.order(f"{stage}.named")
            if disk:
                lab.order(f"{stage}.begins")
        with lab.run("--retries", "1") as run:
            order, _ = run.held()
            stage = order.stem
            if disk:
                assert order.suffix == ".begins"
                filler = fill(disk)
                order.unlink()
                sentence = rf"flopline: {RESULTS}/\S+ cannot be written \(No space left on device\)"
                until(lambda: re.search(sentence, run.said))  # noqa: B023
                filler.unlink()
                faults += 1
                order, _ = run.held()
                assert order.name == f"{stage}.named"
            before = content(lab.folder)
            run.signal_all(signal.SIGKILL)
            faults += 1
        remaining.remove(stage)
        # What stands under its name is whole: it is a part of what comes out in the end.
        named = {p: b for p, b in before.items() if not p.endswith(".part")}
        assert different(named, {p: undisturbed[p] for p in named}) == [], stage
        assert len(before) > len(named), stage
    said = lab.resumed(undisturbed)
    assert f"The last run in {RESULTS} was killed; going on where it stopped." in said
    lost = different(content(lab.folder), undisturbed)
    print(f"\nfaults injected: {faults}, survived: {faults}, files lost or changed: {len(lost)}")


def test_killed_and_out_of_room_in_each_stage(fresh: Lab, undisturbed: dict[str, bytes]) -> None:
    with contextlib.ExitStack() as stack:
        disk = fresh.folder / "results"
        disk.mkdir()
        try:
            stack.enter_context(mounted(disk, "-t", "tmpfs", "-o", "size=64m", "tmpfs"))
        except pytest.skip.Exception as skipped:
            print(f"kill only: {skipped}")
            kill_in_each_stage(fresh, undisturbed, None)
        else:
            kill_in_each_stage(fresh, undisturbed, disk)


def test_full_disk_is_one_sentence(lab: Lab, undisturbed: dict[str, bytes]) -> None:
    (lab.results / "report.html").unlink()
    target = lab.folder.with_name("disk")
    target.mkdir()
    with mounted(target, "-t", "tmpfs", "-o", "size=96m", "tmpfs"):
        on_disk = Lab(lab.checkout.copy(target / "repo"), lab.orders)
        filler = fill(target)
        with on_disk.run() as run:
            assert run.end() == 1
        sentences = [line for line in run.said.splitlines() if "flopline: " in line]
        assert len(sentences) == 1, run.said
        assert "cannot be written (No space left on device): make room" in sentences[0]
        assert "Traceback" not in run.said
        assert parts(on_disk) == []
        filler.unlink()
        on_disk.resumed(undisturbed)


def test_read_only_results_are_one_sentence(lab: Lab, undisturbed: dict[str, bytes]) -> None:
    (lab.results / "report.html").unlink()
    results = lab.folder / "results"
    with mounted(results, "--bind", str(results)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(results)], check=True)
        with lab.run() as run:
            assert run.end() == 1
    assert (
        f"flopline: {RESULTS}/.lock cannot be written (Read-only file system): make the folder"
        in (run.said)
    )
    assert "Traceback" not in run.said
    lab.resumed(undisturbed)


def test_killed_job_is_tried_again(lab: Lab, undisturbed: dict[str, bytes]) -> None:
    (lab.results / "report.html").unlink()
    lab.order("report.named")
    with lab.run("--retries", "1") as run:
        order, pid = run.held()
        os.kill(pid, signal.SIGKILL)
        order.unlink()
        assert run.end() == 0, run.said
    assert "[1/1] report " in run.said
    assert "was killed" not in run.said
    assert different(content(lab.folder), undisturbed) == []


def test_killed_job_is_told_with_its_log_and_what_to_do(
    lab: Lab, undisturbed: dict[str, bytes]
) -> None:
    (lab.results / "report.html").unlink()
    lab.order("report.named")
    with lab.run() as run:
        _, pid = run.held()
        os.kill(pid, signal.SIGKILL)
        assert run.end() == 1
    assert "flopline: report was killed (SIGKILL): if not by you, the machine may have run" in (
        run.said
    )
    assert f"The end of {RESULTS}/logs/report.log:" in run.said
    assert "The same command goes on from here." in run.said
    assert "Traceback" not in run.said
    lab.resumed(undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_fit_leaves_nothing_half_done(
    lab: Lab, undisturbed: dict[str, bytes], number: int
) -> None:
    target = f"{RESULTS}/fits/ash/isoflop.json"
    (lab.folder / target).unlink()
    lab.order("fit_isoflop.ash.named")
    with lab.run(target) as run:
        run.held()
        assert len(parts(lab)) == 1
        run.signal_all(number)
        assert run.end() == 1
    assert parts(lab) == []
    assert list(lab.folder.glob(".snakemake/locks/*")) == []
    assert (lab.results / ".lock").read_text() == ""
    assert "Traceback" not in run.said
    lab.resumed(undisturbed, target)


def test_run_told_to_end_finishes_the_job_at_work(lab: Lab, undisturbed: dict[str, bytes]) -> None:
    (lab.results / "report.html").unlink()
    order = lab.order("report.named")
    with lab.run() as run:
        run.held()
        run.process.terminate()
        until(lambda: "Will exit after finishing currently running jobs" in run.said)
        order.unlink()
        assert run.end() == 1, run.said
    assert "Nothing to do: results are up to date." in lab.resumed(undisturbed)


def test_second_run_is_refused_and_the_first_unharmed(
    lab: Lab, undisturbed: dict[str, bytes]
) -> None:
    (lab.results / "report.html").unlink()
    order = lab.order("report.named")
    with lab.run() as first:
        first.held()
        second = Run(lab)
        assert second.end() == 1
        assert (
            f"flopline: another run is at work in {RESULTS} (process {first.process.pid} on "
            in (second.said)
        )
        assert "Traceback" not in second.said
        order.unlink()
        assert first.end() == 0, first.said
    assert different(content(lab.folder), undisturbed) == []


def test_jobs_of_a_killed_run_are_waited_for(lab: Lab, undisturbed: dict[str, bytes]) -> None:
    """Snakemake alone is killed: its job works on, and two must not write the same file."""
    (lab.results / "report.html").unlink()
    order = lab.order("report.named")
    with lab.run() as first:
        _, pid = first.held()
        first.process.kill()
        first.process.wait(60)
        second = Run(lab)
        waits = f"A job of a run that was killed is still at work (process {pid}): waiting for it"
        until(lambda: waits in second.said)
        assert f"`kill {pid}`" in second.said
        order.unlink()
        assert second.end() == 0, second.said
    assert different(content(lab.folder), undisturbed) == []


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def test_damaged_results_are_made_again(lab: Lab, undisturbed: dict[str, bytes]) -> None:
    flip_a_bit(lab.results / "figures/surface.svg")
    cut(lab.results / "figures/surface.pdf")
    flip_a_bit(lab.results / "report.html")
    told = "was changed or damaged since it was written"
    dry = lab.checkout.snakemake("--dry-run")
    assert dry.stderr.count(told) == 3
    with lab.run() as run:
        assert run.end() == 0, run.said
    for name in ("figures/surface.svg", "figures/surface.pdf", "report.html"):
        assert f"flopline: {RESULTS}/{name} {told}: it is made again." in run.said
        aside = lab.results / f"{name}.changed"
        assert aside.read_bytes() != undisturbed[name]
        aside.unlink()
    assert re.findall(r"^\[\d/(\d)\] (\w+)(?!.* still at work)", run.said, re.MULTILINE) == [
        ("2", "figure_surface"),
        ("2", "report"),
    ]
    assert different(content(lab.folder), undisturbed) == []


def test_clock_set_back_reruns_nothing_and_misses_nothing(lab: Lab) -> None:
    """All files seem to come from tomorrow, what is written from now on is older than its input."""
    tomorrow = time.time() + 86400
    for part in ("data", "config", "results", "workflow"):
        for path in (lab.folder / part).rglob("*"):
            if path.is_file():
                os.utime(path, (tomorrow, tomorrow))
    assert lab.checkout.planned() == {}
    lab.checkout.edit("config/studies/toy.yaml", "title: Toy study", "title: Another study")
    assert lab.checkout.planned() == {"report": 1}
    # Results are brought to now; files of the user are his to change.
    with lab.run() as run:
        assert run.end() == 0, run.said
    assert "Another study" in (lab.results / "report.html").read_text()
    assert lab.checkout.planned() == {}


def test_run_with_nothing_to_do_repeats_its_last_words(lab: Lab) -> None:
    with lab.run() as run:
        assert run.end() == 0, run.said
    tail = run.said[run.said.index("Nothing to do: results are up to date.") :].splitlines()
    assert tail[2] == f"Report: {lab.results.resolve() / 'report.html'}"
    assert tail[3].startswith("At 1e18 FLOPs (")
    assert "Traceback" not in run.said


def test_mistake_of_ours_is_told_with_its_log(lab: Lab) -> None:
    lab.checkout.edit(
        "workflow/scripts/report.py", "    study, code =", "    1 / 0\n    study, code ="
    )
    with lab.run() as run:
        assert run.end() == 1
    assert "flopline: report stopped unexpectedly (ZeroDivisionError: division by zero)" in run.said
    end = run.said[run.said.index(f"  The end of {RESULTS}/logs/report.log:") :]
    assert "    ZeroDivisionError: division by zero" in end
    assert "CalledProcessError" not in run.said


def test_verbose_run_shows_what_snakemake_says(lab: Lab) -> None:
    (lab.results / "report.html").unlink()
    with lab.run("--quiet", "host") as run:
        assert run.end() == 0, run.said
    assert "rule report:" in run.said
    assert "reason: Missing output files" in run.said
    assert "[1/1] report " in run.said


def test_digests_of_finished_files_stand_beside_them(finished: Checkout) -> None:
    results = finished.folder / RESULTS
    assert (results / ".sha256/report.html").is_file()
    assert (results / ".sha256/audit/ash/tables").is_file()
    remembered = json.loads((results / ".digests.json").read_text())
    assert remembered
    assert not list(results.rglob("*.part"))
    assert not list(results.rglob("*.progress"))
