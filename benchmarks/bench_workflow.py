"""The default study and a study of six families from raw logs to page, and what an option costs.

    python benchmarks/bench_workflow.py [--against REVISION] [--six] [--cores 2]

Of each: wall time, and CPU of Snakemake with all that it starts. Then one option at a time is
changed in the finished default study and the study made again, as shares of its whole run, and a
run with nothing to do, as `make` starts it and by Snakemake alone, stands beside a dry run of a
workflow with a single rule. `--against` runs
the workflow of a revision in turn with this one, with the same packages, and prints ratios; `--six`
adds six families of 90 runs, simulated (synthetic). Byte code and font cache are warm: each
workflow makes a dry run first.
"""

from __future__ import annotations

import argparse
import ctypes
import io
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import yaml

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "workflow", "profiles", "config", "environment.yml", "data")
ONE_RULE = """
rule all:
    input: "out.txt"

rule one:
    output: "out.txt"
    shell: "touch {output}"
"""
REPEATS = 5
AS_MAKE = ("workflow/run.py",)
"""What `make` starts."""

SUBREAPER = 36
"""Of Linux's prctl: processes whose parent ended become children of this one, and are counted."""

CHANGES = {
    "one more target": {"targets": [1e14, 1e13, 3e13]},
    "the title": {"title": "Small models on CPUs, once more"},
    "width of the figures": {"figures": {"width": "column"}},
    "a mesh less in one figure": {"figures": {"fitted_surface": False}},
    "weights of isoFLOP": {"isoflop": {"weights": "equal"}},
}
"""Of the default study, each changed by itself."""


@dataclass(frozen=True, slots=True)
class Used:
    """What a run took: wall and CPU seconds."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:6.1f} s wall {self.cpu:6.1f} s CPU"

    def beside(self, other: Used) -> str:
        """The shares of another run that this one took."""
        return f"{self.wall / other.wall:.2f} of the wall time, {self.cpu / other.cpu:.2f} of CPU"


@dataclass(frozen=True, slots=True)
class Side:
    """A checkout, with its workflow."""

    name: str
    folder: Path
    cores: int

    def run(self, *arguments: str, program: Sequence[str] = ("-m", "snakemake")) -> Used:
        """Run Snakemake, or a program that does, successfully; wait for all that it started."""
        before, began = _cpu(), time.perf_counter()
        done = subprocess.run(
            [sys.executable, *program, "--cores", str(self.cores), *arguments],
            cwd=self.folder,
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPATH": ""},
        )
        wall = time.perf_counter() - began
        if done.returncode:
            sys.exit(f"{self.name}: {' '.join([*program, *arguments])} failed:\n{done.stderr}")
        while True:
            try:
                os.wait()
            except ChildProcessError:
                return Used(wall, _cpu() - before)

    def anew(self, *arguments: str) -> Used:
        """The same without any results."""
        for leftover in ("results", ".snakemake"):
            shutil.rmtree(self.folder / leftover, ignore_errors=True)
        return self.run(*arguments)


def _cpu() -> float:
    use = resource.getrusage(resource.RUSAGE_CHILDREN)
    return use.ru_utime + use.ru_stime


def checkout(folder: Path, revision: str | None) -> Path:
    """The files of a revision, or of this tree as it stands, that a run needs."""
    folder.mkdir()
    if revision:
        packed = subprocess.run(
            ["git", "archive", revision, *PARTS],  # noqa: S607 - whichever git there is
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as files:
            files.extractall(folder, filter="data")
        return folder
    for part in PARTS:
        source = ROOT / part
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, folder / part)
    return folder


def six_families() -> dict[str, object]:
    """A study of six families of 90 simulated runs (synthetic), all laws."""
    law = {"E": 1.8, "A": 400.0, "B": 1200.0, "alpha": 0.34, "beta": 0.35}
    design = {"budgets": np.geomspace(1e17, 1e20, 9).tolist(), "sizes": 10, "factor": 5}
    families = {
        f"family{number}": {"law": {**law, "E": 1.8 + 0.02 * number}, "design": design}
        for number in range(6)
    }
    return {
        "title": "Six families (synthetic)",
        "source": {
            "kind": "simulate",
            "seed": 1,
            "noise": {"run": 0.002, "row": 0.001},
            "families": families,
        },
        "families": {name: name.capitalize() for name in families},
        "params_convention": "total",
        "flops_convention": "six_nd",
        "targets": [1e22],
        "laws": ["envelope", "isoflop", "parametric"],
    }


def whole_runs(sides: list[Side], *arguments: str) -> list[Used]:
    """Run a study on each side in turn, and print what it took."""
    used = []
    for side in sides:
        used.append(side.anew(*arguments))
        ratio = f"  {used[0].beside(used[-1])} of this one" if len(used) > 1 else ""
        print(f"  {side.name:<12} {used[-1]}{ratio}", flush=True)
    return used


def changes(side: Side, whole: Used) -> None:
    """Change one option of the finished default study at a time."""
    file = side.folder / "config/studies/tinylm.yaml"
    original = file.read_text()
    for what, change in CHANGES.items():
        study = yaml.safe_load(original)
        for group, value in change.items():
            study[group] = {**study.get(group, {}), **value} if isinstance(value, dict) else value
        file.write_text(yaml.safe_dump(study, sort_keys=False))
        used = side.run()
        print(f"  {what:<28} {used}  {used.beside(whole)} of the whole run", flush=True)
        file.write_text(original)
        side.run()


def nothing_to_do(sides: list[Side], bare: Side) -> None:
    """Compare runs with nothing to do with `snakemake -n` on a one-rule workflow, in turn."""
    calls: dict[str, Callable[[], Used]] = {"one-rule dry run": lambda: bare.run("-n")}
    for side in sides:
        calls[f"{side.name}, make"] = partial(side.run, program=AS_MAKE)
        calls[f"{side.name}, snakemake"] = side.run
    turns = [{name: call() for name, call in calls.items()} for _ in range(REPEATS)]
    print(f"nothing to do, medians of {REPEATS} turns:")
    for name in calls:
        wall, cpu, times_wall, times_cpu = (
            statistics.median(of(turn[name], turn["one-rule dry run"]) for turn in turns)
            for of in (
                lambda used, _: used.wall,
                lambda used, _: used.cpu,
                lambda used, one: used.wall / one.wall,
                lambda used, one: used.cpu / one.cpu,
            )
        )
        print(
            f"  {name:<28} {wall:5.2f} s wall {cpu:5.2f} s CPU  "
            f"{times_wall:.2f} of the wall time, {times_cpu:.2f} of CPU of the dry run",
            flush=True,
        )


def main() -> None:
    """Run all on copies of this repository."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", metavar="REVISION", help="a revision to run beside this one")
    parser.add_argument("--six", action="store_true", help="six families of 90 runs, too")
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args()
    ctypes.CDLL(None).prctl(SUBREAPER, 1)
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary)
        sides = [Side("here", checkout(top / "here", None), given.cores)]
        if given.against:
            other = checkout(top / "other", given.against)
            sides.append(Side(given.against, other, given.cores))
        for side in sides:
            side.run("-n")
        print(f"default study, raw logs to page, {given.cores} cores:")
        whole = whole_runs(sides)[0]
        if given.six:
            for side in sides:
                study = yaml.safe_dump(six_families(), sort_keys=False)
                (side.folder / "config/studies/six.yaml").write_text(study)
            print("six families of 90 runs:")
            whole_runs(sides, "--config", "study=six")
            for side in sides:
                side.anew()
        print("one option changed:")
        changes(sides[0], whole)
        (top / "bare").mkdir()
        (top / "bare/Snakefile").write_text(ONE_RULE)
        nothing_to_do(sides, Side("bare", top / "bare", given.cores))


if __name__ == "__main__":
    main()
