"""CPU of every figure's job, from its own imports to its last file, beside another revision.

    python benchmarks/bench_figures.py results/tinylm config/studies/tinylm.yaml --against 7090a09

Each job is a fork of this process, which has loaded the packages that the server of jobs loads
(workflow/running/job_server.py), on the results that a run has left: imports of this project,
reading, drawing and writing of every format, or of the `--formats` that are asked for. The two
revisions take turns, so that what else the machine does hits both; the least of the turns counts.
Prints CPU-seconds and the ratio.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def job(name: str, family: str, results: Path, study: Path, out: Path, formats: list[str]) -> None:
    """What scripts/figure.py does, on all results that there are."""
    from flopline.figures.spec import Setting, figure_spec
    from flopline.figures.style import save
    from flopline.results import read_results
    from flopline.storage import write_json

    written = yaml.safe_load(study.read_text())
    files = [*results.glob("fits/*/*.*"), *results.glob("audit/*/*.*")]
    files += [*results.glob("clean/curves/*"), results / "decision.json"]
    files += [results / name for name in ("clean/runs.parquet", "clean/dropped.parquet")]
    stated = {"loss_label": "Validation loss", "loss_split": "val", "points": "final"} | written
    stated["envelope"] = {"split": None} | written.get("envelope", {})
    stated["figures"] = {"fitted_surface": True, "envelope_thirds": False}
    spec, setting = figure_spec(name), Setting(stated, family, "page", False)
    read = read_results(results, sorted(files))
    save(spec.draw(read, setting), out / name, formats)
    write_json(spec.words(read, setting), out / f"{name}.json")


def names(file: Path) -> None:
    """Write what figures there are, and whether each is of a family."""
    from flopline.figures.registry import FIGURES
    from flopline.figures.spec import figure_spec

    file.write_text(json.dumps({name: figure_spec(name).per_family for name in FIGURES}))


def run(tree: Path, work: Callable[[], None]) -> float:
    """CPU-seconds of `work` in a fork that takes the library of `tree`."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        status = 1
        try:
            sys.path.insert(0, str(tree / "workflow"))
            if "gc.disable()" in (tree / "workflow/scripts/figure.py").read_text():
                gc.disable()
            work()
            status = 0
        finally:
            os._exit(status)
    _, status, used = os.wait4(process, 0)
    if status:
        sys.exit(f"A job of {tree} failed.")
    return used.ru_utime + used.ru_stime


def load_packages() -> None:
    """Import what a job finds loaded."""
    sys.path.insert(0, str(ROOT / "workflow"))
    server = importlib.import_module("running.job_server")
    for package in server.PACKAGES:
        importlib.import_module(package)
    sys.path.pop(0)
    gc.collect()
    gc.freeze()


def named(tree: Path, family: str, folder: Path) -> dict[str, str]:
    """The figures of `tree`, each with the family that it is drawn for, empty for the study's."""
    file = folder / "names.json"
    run(tree, lambda: names(file))
    return {name: family * each for name, each in json.loads(file.read_text()).items()}


def main() -> None:
    """Time every figure of the study's first family, and those of the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results")
    parser.add_argument("study")
    parser.add_argument("--against", default="HEAD")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--formats", nargs="+", default=["svg", "png", "pdf"])
    asked = parser.parse_args()
    family = next(iter(yaml.safe_load(Path(asked.study).read_text())["families"]))
    with tempfile.TemporaryDirectory() as temporary:
        other = Path(temporary, "other")
        archive = subprocess.run(
            ["git", "archive", asked.against, "workflow"],  # noqa: S607
            cwd=ROOT,
            check=True,
            capture_output=True,
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            packed.extractall(other, filter="data")
        sides = {"then": other, "now": ROOT}
        load_packages()
        figures = {side: named(tree, family, Path(temporary)) for side, tree in sides.items()}
        every = dict.fromkeys([*figures["then"], *figures["now"]])
        totals = dict.fromkeys(sides, 0.0)
        print(
            f"{'figure':18}{'then':>8}{'now':>8}{'ratio':>8}   CPU-seconds, least of {asked.turns}"
        )
        paths = (Path(asked.results).resolve(), Path(asked.study).resolve())
        for name in every:
            least: dict[str, float] = {}
            for side, tree in [*sides.items()] * asked.turns:
                if name in figures[side]:
                    task = partial(job, name, figures[side][name], *paths, Path(temporary, side))
                    spent = run(tree, partial(task, asked.formats))
                    least[side] = min(spent, least.get(side, spent))
            for side, spent in least.items():
                totals[side] += spent
            print_line(name, least)
        print_line("all", totals)


def print_line(name: str, spent: dict[str, float]) -> None:
    """One line of the table; a figure that one side lacks has no ratio."""
    columns = [f"{spent[side]:8.2f}" if side in spent else f"{'-':>8}" for side in ("then", "now")]
    ratio = f"{spent['now'] / spent['then']:8.2f}" if len(spent) == 2 else f"{'-':>8}"
    print(f"{name:18}{''.join(columns)}{ratio}", flush=True)


if __name__ == "__main__":
    main()
