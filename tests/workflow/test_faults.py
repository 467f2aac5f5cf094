"""Faults without a scheduler: after each of them, and a resume, the results are the same bytes."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from flopline.figures.spec import FigureSpec
from flopline.laws.registry import LAWS
from running.receipts import receipt_of
from tests.builders.studies import BUDGETS, FAMILIES, write_study
from tests.builders.surfaces import constants_of
from tests.conftest import ROOT
from tests.workflow.conftest import SPECS, Checkout, engine, of_audit, of_law, once_a_session
from tests.workflow.contents import content, different

pytestmark = pytest.mark.workflow

RESULTS = "results/toy"


def figures_after(stage: str) -> list[str]:
    """The job of each figure of one family that waits for `stage` and for no later one."""
    return [
        f"figure_{spec.name}" + (".ash" if spec.per_family else "")
        for spec in SPECS
        if spec.families == 1 and drawn_after(spec) == stage
    ]


def drawn_after(spec: FigureSpec) -> str:
    """The last stage that a figure needs."""
    if spec.needs.of_decision:
        return "decide"
    if of_audit(spec):
        return "audit"
    return "fit" if any(of_law(law)(spec) for law in LAWS) else "gather"


# The one job of each rule, in sets of jobs that can be at work at the same time.
STAGES = (
    ("ingest.0",),
    ("clean.0",),
    ("gather",),
    (*(f"fit_{law}.ash" for law in LAWS), *figures_after("gather")),
    ("audit.ash", *figures_after("fit")),
    ("decide", *figures_after("audit")),
    ("latex", *figures_after("decide")),
    ("report",),
    ("review",),
)
BETWEEN_FAMILIES = [f"figure_{spec.name}" for spec in SPECS if spec.families > 1]
PAGE = f"{RESULTS}/report.html"

# Comes before everything else in every Python of a run. A job waits once where an order tells it
# to, as it `begins`, or where its first complete file is about to be `named`, and leaves a note;
# it goes on when either is gone.
TRAP = """
import os, sys, time
from pathlib import Path

orders = Path(os.environ.get("FAULT_ORDERS", "/nowhere"))
obeyed = set()

def at_order(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".log") and arguments[1] == "w":
        place = "begins"
    elif event == "os.rename" and str(arguments[0]).endswith(".part"):
        place = "named"
    else:
        return
    job = getattr(sys.modules.get("__main__"), "snakemake", None)
    order = job and orders / f"{Path(job.log[0]).stem}.{place}"
    if order and place not in obeyed and order.exists():
        obeyed.add(place)
        note = order.with_suffix(f".{place}-reached")
        note.write_text(str(os.getpid()))
        while order.exists() and note.exists():
            time.sleep(0.02)

if orders.is_dir():
    sys.addaudithook(at_order)
"""


def until(reached: Callable[[], object], seconds: float = 240) -> None:
    limit = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < limit, "not reached in time"
        time.sleep(0.02)


def note_of(order: Path) -> Path:
    """Where a job says that it waits at an order."""
    return order.with_name(f"{order.name}-reached")


class Run:
    """A run in a process group of its own, which a test may disturb."""

    def __init__(self, lab: Lab, *arguments: str) -> None:
        self.lab = lab
        lab.runs += 1
        self.output = lab.orders.with_name(f"said.{lab.runs}")
        self.output.touch()  # the process opens it once it is forked
        self.process = engine().start(
            lab.folder,
            *("--cores", "1", *arguments, "--config", "study=toy"),
            environment={"FAULT_ORDERS": str(lab.orders)},
            output=self.output,
        )

    @property
    def printed(self) -> str:
        return self.output.read_text()

    def end(self) -> int:
        return self.process.wait(300)

    def held(self, *orders: Path) -> list[int]:
        """Processes of the jobs of this run that wait at these orders, once all do."""
        notes = [note_of(order) for order in orders]

        def reached() -> bool:
            assert self.process.poll() is None, self.printed
            return all(note.exists() and note.read_text() for note in notes)

        until(reached)
        return [int(note.read_text()) for note in notes]

    def finished(self, stages: Iterable[str]) -> bool:
        # Stages still at work say so in lines that begin alike.
        ends = (rf"\] {re.escape(stage)} .*\([\d.]+ s\)$" for stage in stages)
        return all(re.search(end, self.printed, re.MULTILINE) for end in ends)

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
        # The workflow hands its own PYTHONPATH to the jobs; the trap goes with it.
        checkout.edit(
            "workflow/rules/common.smk",
            "PYTHONPATH=os.pathsep.join(OURS)",
            f"PYTHONPATH=os.pathsep.join([*OURS, {str(beside)!r}])",
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
            assert run.end() == 0, run.printed
        assert different(content(self.folder, RESULTS), undisturbed) == []
        assert list(self.folder.glob(".snakemake/locks/*")) == []
        return run.printed


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


def write_small_study(folder: Path) -> None:
    """The toy study, so small that each rule has one job, and that of the least work."""
    path = write_study(
        folder,
        families=("ash",),
        budgets=BUDGETS[1:4],
        sizes=5,
        rows=6,
        targets=[1e18],
        envelope={"smoothing_steps": 0, "bins": 50},
        parametric={"variant_draws": None},
        audit={"ladder_draws": 20, "compare": []},
    )
    study = yaml.safe_load(path.read_text())
    study["source"]["shards"] = 1
    path.write_text(yaml.safe_dump(study, sort_keys=False))


def run_small_study(folder: Path) -> None:
    checkout = Checkout.fresh(folder)
    write_small_study(checkout.folder)
    done = checkout.snakemake()
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout whose small study has run to its end; copy it before changing anything."""
    return Checkout(once_a_session(tmp_path_factory, "small", run_small_study))


@pytest.fixture(scope="module")
def undisturbed(small: Checkout) -> dict[str, bytes]:
    actual = content(small.folder, RESULTS)
    assert len(actual) > 50
    return actual


@pytest.fixture
def lab(small: Checkout, tmp_path: Path) -> Lab:
    """A finished study."""
    return Lab.of(small.copy(tmp_path / "repo"), tmp_path / "lab")


@pytest.fixture
def fresh(tmp_path: Path) -> Lab:
    """The same study before its first run."""
    checkout = Checkout.fresh(tmp_path / "repo")
    write_small_study(checkout.folder)
    return Lab.of(checkout, tmp_path / "lab")


def parts(lab: Lab) -> list[Path]:
    return [path for path in lab.results.rglob("*.part") if path.is_file()]


def kill_in_each_stage(
    lab: Lab,
    undisturbed: dict[str, bytes],
    disk: Path | None,
    all_stages: Sequence[Sequence[str]] = STAGES,
    target: Sequence[str] = (),
) -> None:
    """In turn a full disk (where there is one to fill) and kill -9 to everything, in each stage.

    A stage is killed while its first file is written but does not yet have its name. Those that
    can be at work together are out of room together, and are killed together.
    """
    rules = {stage.split(".")[0] for together in all_stages for stage in together}
    assert lab.checkout.planned(arguments=["--cores", "1", *target]) == dict.fromkeys(rules, 1)
    lab.results.mkdir(parents=True, exist_ok=True)
    faults, before_these = 0, ()
    for stages in all_stages:
        named = [lab.order(f"{stage}.named") for stage in stages]
        begins = [lab.order(f"{stage}.begins") for stage in stages]
        with lab.run("--cores", "16", "--retries", "1", *target) as run:
            run.held(*begins)
            until(lambda: run.finished(before_these))  # noqa: B023
            if disk:
                filler = fill(disk)
                for order in begins:
                    note_of(order).unlink()
                sentence = rf"flopline: {RESULTS}/\S+ cannot be written \(No space left on device\)"
                until(lambda: len(re.findall(sentence, run.printed)) == len(stages))  # noqa: B023
                filler.unlink()
                faults += len(stages)
            for order in begins:
                order.unlink()
            run.held(*named)
            before = content(lab.folder, RESULTS)
            run.signal_all(signal.SIGKILL)
            faults += len(stages)
        before_these = stages
        # What stands under its name is whole: it is a part of what comes out in the end.
        complete = {p: b for p, b in before.items() if not p.endswith(".part")}
        assert different(complete, {p: undisturbed[p] for p in complete}) == [], stages
        assert len(before) >= len(complete) + len(stages), stages
    printed = lab.resumed(undisturbed, *target)
    assert f"The last run in {RESULTS} was killed; going on where it stopped." in printed
    lost = different(content(lab.folder, RESULTS), undisturbed)
    print(f"\nfaults injected: {faults}, survived: {faults}, files lost or changed: {len(lost)}")


@contextlib.contextmanager
def small_disk(disk: Path) -> Iterator[Path | None]:
    """The folder as a disk of its own; None where that is not allowed."""
    disk.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(mounted(disk, "-t", "tmpfs", "-o", "size=64m", "tmpfs"))
        except pytest.skip.Exception as skipped:
            print(f"kill only: {skipped}")
            yield None
        else:
            yield disk


def test_no_rule_is_forgotten_by_the_faults_in_each_stage() -> None:
    files = [*(ROOT / "workflow/rules").glob("*.smk"), ROOT / "Snakefile"]
    rules = re.findall(
        r"^\s*(?:rule|checkpoint) (\w+):", "\n".join(f.read_text() for f in files), re.MULTILINE
    )
    listed = {f"figure_{spec.name}" for spec in SPECS} | {f"fit_{law}" for law in LAWS}
    covered = [*STAGES, BETWEEN_FAMILIES, ("simulate",)]
    named = {s.split(".")[0] for together in covered for s in together}
    assert (set(rules) - {"all"}) | listed == named


@pytest.mark.slow
def test_killed_and_out_of_room_in_each_stage(fresh: Lab, undisturbed: dict[str, bytes]) -> None:
    with small_disk(fresh.folder / "results") as disk:
        kill_in_each_stage(fresh, undisturbed, disk)


@pytest.mark.slow
def test_killed_and_out_of_room_between_families(finished: Checkout, tmp_path: Path) -> None:
    """The rules that take two families."""
    folder = tmp_path / "repo"
    shutil.copytree(
        finished.folder, folder, symlinks=True, ignore=shutil.ignore_patterns("results", "trace")
    )
    (folder / "workflow/sitecustomize.py").unlink()
    lab = Lab.of(Checkout(folder), tmp_path / "lab")
    with small_disk(folder / "results") as disk:
        shutil.copytree(finished.folder / "results", folder / "results", dirs_exist_ok=True)
        drawn = [f"{RESULTS}/{rule.replace('_', 's/', 1)}.svg" for rule in BETWEEN_FAMILIES]
        for file in drawn:
            for end in ("svg", "png", "pdf", "json"):
                figure = Path(file).with_suffix(f".{end}")
                (folder / figure).unlink()
                # Its job would find the room of it for a note of what went wrong.
                (folder / receipt_of(figure, Path(RESULTS))).unlink()
        undisturbed = content(finished.folder, RESULTS)
        kill_in_each_stage(lab, undisturbed, disk, [BETWEEN_FAMILIES], drawn)


@pytest.mark.slow
def test_killed_and_out_of_room_while_runs_are_simulated(fresh: Lab) -> None:
    path = fresh.folder / "config/studies/toy.yaml"
    study = yaml.safe_load(path.read_text())
    design = {"budgets": [1e15, 1e16], "sizes": 3, "factor": 5.0}
    study["source"] = {
        "kind": "simulate",
        "seed": 5,
        "rows": 5,
        "noise": {"run": 0.001, "row": 0.0005},
        "families": {"ash": {"law": constants_of(FAMILIES["ash"]), "design": design}},
        "shards": 1,
    }
    path.write_text(yaml.safe_dump(study))
    target = [f"{RESULTS}/simulated/runs.csv"]
    with fresh.run(*target) as run:
        assert run.end() == 0, run.printed
    undisturbed = content(fresh.folder, RESULTS)
    assert len(undisturbed) > 2
    shutil.rmtree(fresh.folder / "results")
    with small_disk(fresh.folder / "results") as disk:
        kill_in_each_stage(fresh, undisturbed, disk, [("simulate",)], target)


def test_full_disk_is_one_sentence(lab: Lab, undisturbed: dict[str, bytes]) -> None:
    (lab.results / "report.html").unlink()
    target = lab.folder.with_name("disk")
    target.mkdir()
    with mounted(target, "-t", "tmpfs", "-o", "size=96m", "tmpfs"):
        on_disk = Lab(lab.checkout.copy(target / "repo"), lab.orders)
        filler = fill(target)
        with on_disk.run(PAGE) as run:
            assert run.end() == 1
        sentences = [line for line in run.printed.splitlines() if "flopline: " in line]
        assert len(sentences) == 1, run.printed
        assert "cannot be written (No space left on device): make room" in sentences[0]
        assert "Traceback" not in run.printed
        assert parts(on_disk) == []
        filler.unlink()
        on_disk.resumed(undisturbed, PAGE)


def test_read_only_results_are_one_sentence(lab: Lab, undisturbed: dict[str, bytes]) -> None:
    (lab.results / "report.html").unlink()
    results = lab.folder / "results"
    with mounted(results, "--bind", str(results)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(results)], check=True)
        with lab.run() as run:
            assert run.end() == 1
    assert (
        f"flopline: {RESULTS}/.lock cannot be written (Read-only file system): make the folder"
        in (run.printed)
    )
    assert "Traceback" not in run.printed
    lab.resumed(undisturbed, PAGE)


def test_killed_job_is_tried_again(lab: Lab, undisturbed: dict[str, bytes]) -> None:
    (lab.results / "report.html").unlink()
    order = lab.order("report.named")
    with lab.run("--retries", "1", PAGE) as run:
        (pid,) = run.held(order)
        os.kill(pid, signal.SIGKILL)
        order.unlink()
        assert run.end() == 0, run.printed
    assert "[1/1] report " in run.printed
    assert "was killed" not in run.printed
    assert different(content(lab.folder, RESULTS), undisturbed) == []


def test_killed_job_is_told_with_its_log_and_what_to_do(
    lab: Lab, undisturbed: dict[str, bytes]
) -> None:
    (lab.results / "report.html").unlink()
    order = lab.order("report.named")
    with lab.run(PAGE) as run:
        (pid,) = run.held(order)
        os.kill(pid, signal.SIGKILL)
        assert run.end() == 1
    assert "flopline: report was killed (SIGKILL): if not by you, the machine may have run" in (
        run.printed
    )
    assert f"The end of {RESULTS}/logs/report.log:" in run.printed
    assert "The same command goes on from here." in run.printed
    assert "Traceback" not in run.printed
    lab.resumed(undisturbed, PAGE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_fit_leaves_nothing_half_done(
    lab: Lab, undisturbed: dict[str, bytes], number: int
) -> None:
    target = f"{RESULTS}/fits/ash/isoflop.json"
    (lab.folder / target).unlink()
    order = lab.order("fit_isoflop.ash.named")
    with lab.run(target) as run:
        run.held(order)
        assert len(parts(lab)) == 1
        run.signal_all(number)
        assert run.end() == 1
    assert parts(lab) == []
    assert list(lab.folder.glob(".snakemake/locks/*")) == []
    assert (lab.results / ".lock").read_text() == ""
    assert "Traceback" not in run.printed
    lab.resumed(undisturbed, target)


def test_run_told_to_end_finishes_the_job_at_work(lab: Lab, undisturbed: dict[str, bytes]) -> None:
    (lab.results / "report.html").unlink()
    order = lab.order("report.named")
    with lab.run(PAGE) as run:
        run.held(order)
        run.process.terminate()
        until(lambda: "Will exit after finishing currently running jobs" in run.printed)
        order.unlink()
        assert run.end() == 1, run.printed
    assert "Nothing to do: results are up to date." in lab.resumed(undisturbed, PAGE)


def test_second_run_is_refused_and_the_first_unharmed(
    lab: Lab, undisturbed: dict[str, bytes]
) -> None:
    (lab.results / "report.html").unlink()
    order = lab.order("report.named")
    with lab.run(PAGE) as first:
        first.held(order)
        second = Run(lab)
        assert second.end() == 1
        assert (
            f"flopline: another run is at work in {RESULTS} (process {first.process.pid} on "
            in (second.printed)
        )
        assert "Traceback" not in second.printed
        order.unlink()
        assert first.end() == 0, first.printed
    assert different(content(lab.folder, RESULTS), undisturbed) == []


def test_jobs_of_a_killed_run_are_waited_for(lab: Lab, undisturbed: dict[str, bytes]) -> None:
    """Snakemake alone is killed: its job works on, and two must not write the same file."""
    (lab.results / "report.html").unlink()
    order = lab.order("report.named")
    with lab.run(PAGE) as first:
        (pid,) = first.held(order)
        first.process.kill()
        first.process.wait(60)
        second = Run(lab, PAGE)
        waits = f"A job of a run that was killed is still at work (process {pid}): waiting for it"
        until(lambda: waits in second.printed)
        assert f"`kill {pid}`" in second.printed
        second.process.send_signal(signal.SIGINT)
        assert second.end() == 1
        third = Run(lab, PAGE)
        until(lambda: waits in third.printed)
        order.unlink()
        assert third.end() == 0, third.printed
    assert different(content(lab.folder, RESULTS), undisturbed) == []


def test_log_that_is_written_while_a_run_is_at_work_is_refused(lab: Lab) -> None:
    """What was read would stand under the digest of what was planned, in a shared cache too."""
    log = next(iter(sorted((lab.folder / "data/toy/logs").iterdir())))
    log.write_text(log.read_text() + '{"step": 7, "tokens": 1e99, "loss": 2.0}\n')
    order = lab.order("ingest.0.begins")
    with lab.run() as run:
        run.held(order)
        log.write_text(log.read_text().replace("1e99", "2e99"))
        order.unlink()
        assert run.end() == 1
    place = log.relative_to(lab.folder)
    assert f"flopline: {place} changed while the run was at work" in run.printed
    assert "Traceback" not in run.printed


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
    reason = "was changed or damaged since it was written"
    dry = lab.checkout.snakemake("--dry-run")
    assert dry.stderr.count(reason) == 3
    with lab.run() as run:
        assert run.end() == 0, run.printed
    for name in ("figures/surface.svg", "figures/surface.pdf", "report.html"):
        assert f"flopline: {RESULTS}/{name} {reason}: it is made again." in run.printed
        aside = lab.results / f"{name}.changed"
        assert aside.read_bytes() != undisturbed[name]
        aside.unlink()
    assert re.findall(r"^\[\d/(\d)\] (\w+)(?!.* still at work)", run.printed, re.MULTILINE) == [
        ("3", "figure_surface"),
        ("3", "report"),
        ("3", "review"),
    ]
    assert different(content(lab.folder, RESULTS), undisturbed) == []


def test_other_words_of_snakemake_change_neither_safety_nor_lines(
    lab: Lab, undisturbed: dict[str, bytes]
) -> None:
    """All its messages read alike here; their events and fields are left."""
    lab.checkout.edit(
        "Snakefile",
        "logging.raiseExceptions = False\n",
        "logging.raiseExceptions = False\n"
        'logging.getLogger("snakemake.logging").addFilter(\n'
        '    lambda record: setattr(record, "msg", "other words") is None\n'
        ")\n",
    )
    flip_a_bit(lab.results / "report.html")
    order = lab.order("report.begins")
    with lab.run() as run:
        run.held(order)
        second = Run(lab)
        assert second.end() == 1
        assert "flopline: another run is at work in" in second.printed
        order.unlink()
        assert run.end() == 0, run.printed
    for printed in (run.printed, second.printed):
        assert "other words" in printed
        assert "Building DAG" not in printed
    assert f"flopline: {RESULTS}/report.html was changed or damaged" in run.printed
    stages = re.findall(r"^\[\d/(\d)\] (\w+)(?!.* still at work)", run.printed, re.MULTILINE)
    assert stages == [("2", "report"), ("2", "review")]
    assert "At 1e18 FLOPs (" in run.printed
    (lab.results / "report.html.changed").unlink()
    assert "Nothing to do: results are up to date." in lab.resumed(undisturbed)


def test_no_job_begins_where_nothing_guards_the_results(lab: Lab) -> None:
    lab.checkout.edit("Snakefile", "each.set_input(GUARD.inputs)", "pass")
    (lab.results / "report.html").unlink()
    with lab.run() as run:
        assert run.end() == 1
    assert "so that nothing guards the results: install its version" in run.printed
    assert not (lab.results / "report.html").exists()


def test_clock_set_back_reruns_nothing_and_misses_nothing(lab: Lab) -> None:
    """All files seem to come from tomorrow, what is written from now on is older than its input."""
    tomorrow = time.time() + 86400
    for part in ("data", "config", "results", "workflow"):
        for path in (lab.folder / part).rglob("*"):
            if path.is_file():
                os.utime(path, (tomorrow, tomorrow))
    assert lab.checkout.planned() == {}
    lab.checkout.edit("config/studies/toy.yaml", "title: Toy study", "title: Another study")
    assert lab.checkout.planned() == {"latex": 1, "report": 1, "review": 1}
    # Results are brought to now; files of the user are his to change.
    with lab.run() as run:
        assert run.end() == 0, run.printed
    assert "Another study" in (lab.results / "report.html").read_text()
    assert lab.checkout.planned() == {}


def test_run_with_nothing_to_do_repeats_its_last_words(lab: Lab) -> None:
    with lab.run() as run:
        assert run.end() == 0, run.printed
    tail = run.printed[run.printed.index("Nothing to do: results are up to date.") :].splitlines()
    assert tail[2] == f"Report: {lab.results.resolve() / 'report.html'}"
    assert tail[3].startswith("At 1e18 FLOPs (")
    assert "Traceback" not in run.printed


def test_mistake_of_ours_is_told_with_its_log(lab: Lab) -> None:
    lab.checkout.edit(
        "workflow/scripts/report.py", "    summary.append(", "    1 / 0\n    summary.append("
    )
    with lab.run() as run:
        assert run.end() == 1
    assert (
        "flopline: report stopped unexpectedly (ZeroDivisionError: division by zero)" in run.printed
    )
    end = run.printed[run.printed.index(f"  The end of {RESULTS}/logs/report.log:") :]
    assert "    ZeroDivisionError: division by zero" in end
    assert "CalledProcessError" not in run.printed


def test_verbose_run_shows_what_snakemake_says(lab: Lab) -> None:
    (lab.results / "report.html").unlink()
    with lab.run(PAGE, "--quiet", "host") as run:
        assert run.end() == 0, run.printed
    assert "rule report:" in run.printed
    assert "reason: Missing output files" in run.printed
    assert "[1/1] report " in run.printed


def test_digests_of_finished_files_stand_beside_them(small: Checkout) -> None:
    results = small.folder / RESULTS
    assert (results / ".sha256/report.html").is_file()
    assert (results / ".sha256/audit/ash/tables").is_file()
    remembered = json.loads((results / ".digests.json").read_text())
    assert remembered
    assert not list(results.rglob("*.part"))
    assert not list(results.rglob("*.progress"))
