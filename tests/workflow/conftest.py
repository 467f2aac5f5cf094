"""Real Snakemake on copies of the workflow."""

from __future__ import annotations

import compileall
import fcntl
import filecmp
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

from flopline.figures import registry
from flopline.figures.spec import FigureSpec, chosen
from flopline.laws.registry import LAWS
from running.digest import Memory, _read_code
from running.outlines import outlines
from tests.builders.studies import write_study
from tests.conftest import ROOT, shared_folder
from tests.workflow.engine import Engine, engine_in

# What the toy study is of, and its figures.
FAMILIES = ("ash", "birch")
SPECS = tuple(
    spec
    for spec in outlines(registry.FIGURES, ROOT / "workflow/flopline")
    if spec.is_drawn(LAWS, FAMILIES)
)


def figures_that(
    need: Callable[[FigureSpec], bool], families: int = len(FAMILIES)
) -> dict[str, int]:
    """Jobs of the figures that `need` something, by rule; of so many families."""
    return {
        f"figure_{spec.name}": families if spec.per_family else 1 for spec in SPECS if need(spec)
    }


def of_law(law: str) -> Callable[[FigureSpec], bool]:
    """Whether a figure is made of what the fit of a law leaves."""

    def need(spec: FigureSpec) -> bool:
        tables = [table.partition(".")[0] for table in spec.needs.tables]
        return law in chosen([*spec.needs.fits, *spec.needs.draws, *tables], LAWS)

    return need


def of_audit(spec: FigureSpec) -> bool:
    """Whether a figure waits for the audits: they choose the form of the surface."""
    return spec.needs.of_audit or of_law("parametric")(spec)


# Jobs of the toy study with its two families, by rule.
FITS = {f"fit_{law}": len(FAMILIES) for law in LAWS}
FIGURES = figures_that(lambda spec: True)
AUDIT = {"audit": 2} | figures_that(of_audit)
PAGE = {"report": 1, "review": 1}
END = {"decide": 1, "latex": 1} | figures_that(lambda spec: spec.needs.of_decision) | PAGE
OF_LAWS = {law: figures_that(of_law(law)) for law in LAWS}
AFTER_CLEAN = FITS | AUDIT | FIGURES | END
ALL_FITS = FITS | AUDIT | END
for drawn in OF_LAWS.values():
    ALL_FITS |= drawn

# The rules whose results a cache keeps.
CACHED = ("ingest", "clean", "gather", *FITS, "audit")

PARTS = ("Snakefile", "workflow", "profiles", "config", "environment.yml")


@cache
def compile_all() -> None:
    """Compile our modules, once for all checkouts of this process."""
    compileall.compile_dir(ROOT / "workflow", quiet=2)


@cache
def code_known() -> str:
    """What a run remembers of our code, which it takes a second to read, by its content."""
    memory = Memory(ROOT / "none")
    for path in (ROOT / "workflow").rglob("*.py"):
        memory.alike(path, _read_code)
    return json.dumps(memory.seen)


class Checkout:
    """A copy of the workflow in a folder of its own, with what it takes to run it there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def fresh(cls, folder: Path) -> Checkout:
        folder.mkdir(parents=True, exist_ok=True)
        # Compiled modules go along, so that not every job compiles them; one that a test edits has
        # another time stamp than the compiled one knows and is compiled when it is loaded.
        compile_all()
        ignore = shutil.ignore_patterns("tinylm")
        for part in PARTS:
            source, target = ROOT / part, folder / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=ignore)
            else:
                shutil.copy2(source, target)
        (folder / "results").mkdir(exist_ok=True)
        (folder / "results/.code.json").write_text(code_known())
        return cls(folder)

    def copy(self, folder: Path) -> Checkout:
        """The same checkout with its results elsewhere; time stamps are kept."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Checkout(folder)

    def touched(self) -> list[str]:
        """The files of the workflow and its config that differ from ours."""
        paths = []
        for part in ("workflow", "config", "profiles", "Snakefile"):
            path = self.folder / part
            for file in [path] if path.is_file() else path.rglob("*"):
                ours = ROOT / file.relative_to(self.folder)
                is_input = file.is_file() and "__pycache__" not in file.parts
                if is_input and not (ours.is_file() and filecmp.cmp(file, ours, shallow=False)):
                    paths.append(str(file.relative_to(self.folder)))
        return sorted(paths)

    def snakemake(
        self, *arguments: str, study: str = "toy", environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Snakemake on a study; in another environment it is started anew."""
        command = ["--cores", "1", *arguments, "--config", f"study={study}"]
        if environment is None:
            return engine().snakemake(self.folder, *command)
        return subprocess.run(
            [sys.executable, "-m", "snakemake", *command],
            cwd=self.folder,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def planned(self, study: str = "toy", arguments: Sequence[str] = ()) -> dict[str, int]:
        """How many jobs of each rule a dry run plans, `all` aside."""
        return planned_jobs(
            self.snakemake("--dry-run", "--quiet", "reason", *arguments, study=study)
        )

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        text = file.read_text()
        assert old in text, f"{old!r} not in {path}"
        file.write_text(text.replace(old, new))


def planned_jobs(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """How many jobs of each rule a dry run said that it plans, `all` aside."""
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    stats = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\ntotal", printed, re.DOTALL)
    if stats is None:
        assert "Nothing to be done" in printed, printed
        return {}
    counts = Counter()
    for line in stats[1].splitlines():
        rule, count = line.split()
        counts[rule] += int(count)
    del counts["all"]
    return dict(counts)


@cache
def engine() -> Engine:
    """One for all tests of a process, started by the first that runs Snakemake."""
    return Engine()


@pytest.fixture(scope="session", autouse=True)
def _stop_engine() -> Iterator[None]:
    yield
    if engine.cache_info().currsize:
        engine().stop()
        engine.cache_clear()


def once_a_session(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """A folder that `make` fills once for all processes of pytest-xdist; to be left as it is."""
    return filled_once(shared_folder(factory), name, make)


def filled_once(base: Path, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name` below `base`, filled by `make` once for all processes that ask for it.

    Whoever comes second waits at a lock and finds it filled.
    """
    folder = base / name
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        filled = folder.with_name(f"{name}.filled")
        if not filled.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            filled.touch()
    return folder


DEFAULT = "tinylm"
"""The default study, and the folder of its checkout in `shared_folder`."""


def run_default_study(folder: Path) -> None:
    """Run the default study below `folder`, or what of it changed since it was run there."""
    for part in (*PARTS, "data"):
        if (folder / part).is_dir():
            shutil.rmtree(folder / part)
    Checkout.fresh(folder)
    shutil.copytree(ROOT / "data" / DEFAULT, folder / "data" / DEFAULT)
    # Another environment than that of the run on a cluster, which leaves the same bytes.
    elsewhere = {"LC_ALL": "C", "TZ": "Pacific/Chatham", "PYTHONHASHSEED": "7"}
    # By an engine of its own, since whoever waits for it may have other runs going on.
    with engine_in(elsewhere) as own:
        done = own.snakemake(folder, "--cores", "2", "--config", f"study={DEFAULT}")
    assert done.returncode == 0, done.stderr


def _run_toy(folder: Path) -> None:
    checkout = Checkout.fresh(folder)
    write_study(checkout.folder)
    # What its jobs really use stands in trace/ then.
    shutil.copy(
        Path(__file__).with_name("traced.py"), checkout.folder / "workflow/sitecustomize.py"
    )
    # The other processes of pytest wait for it, so that their cores are free.
    done = checkout.snakemake("--cores", "2")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout whose toy study has run to its end; copy it before changing anything."""
    return Checkout(once_a_session(tmp_path_factory, "finished", _run_toy))
