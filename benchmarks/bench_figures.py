"""CPU of every figure's job, from its imports to its last file, beside another revision.

    python benchmarks/bench_figures.py results/tinylm config/studies/tinylm.yaml --against 7090a09

Each job is a process of its own, as in a run, on the results that a run has left: interpreter,
imports, reading, drawing and writing of every format. The two revisions take turns, so that what
else the machine does hits both; the least of the turns counts. Prints CPU-seconds and the ratio.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
JOB = """
import sys
from pathlib import Path
import yaml
from flopline.figures.spec import Setting, figure_spec
from flopline.figures.style import save
from flopline.results import read_results
from flopline.storage import write_json

name, family, results, study, out, *formats = sys.argv[1:]
folder, written = Path(results), yaml.safe_load(Path(study).read_text())
files = [*folder.glob("fits/*/*.*"), *folder.glob("audit/*/*.*"), *folder.glob("clean/curves/*")]
files += [folder / name for name in ("clean/runs.parquet", "clean/dropped.parquet")]
files += [folder / "decision.json"]
stated = {"loss_label": "Validation loss", "loss_split": "val", "points": "final"} | written
stated["envelope"] = {"split": None} | written.get("envelope", {})
stated["figures"] = {"fitted_surface": True, "envelope_thirds": False}
spec, setting = figure_spec(name), Setting(stated, family, "page", False)
read = read_results(folder, sorted(files))
save(spec.draw(read, setting), Path(out, name), formats)
write_json(spec.words(read, setting), Path(out, f"{name}.json"))
"""
NAMES = """
from flopline.figures.registry import FIGURES
from flopline.figures.spec import figure_spec
for name in FIGURES:
    print(name, int(figure_spec(name).per_family))
"""


def run(tree: Path, code: str, *arguments: str) -> tuple[float, str]:
    """CPU-seconds and output of `code` with the library of `tree`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(tree / "workflow"), "OMP_NUM_THREADS": "1"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, done.stdout


def named(tree: Path, family: str) -> dict[str, str]:
    """The figures of `tree`, each with the family that it is drawn for, empty for the study's."""
    lines = (line.split() for line in run(tree, NAMES)[1].splitlines())
    return {name: family if int(each) else "" for name, each in lines}


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
        figures = {side: named(tree, family) for side, tree in sides.items()}
        every = dict.fromkeys([*figures["then"], *figures["now"]])
        totals = dict.fromkeys(sides, 0.0)
        print(
            f"{'figure':18}{'then':>8}{'now':>8}{'ratio':>8}   CPU-seconds, least of {asked.turns}"
        )
        for name in every:
            least: dict[str, float] = {}
            for _ in range(asked.turns):
                for side, tree in sides.items():
                    if name not in figures[side]:
                        continue
                    of = figures[side][name]
                    out = str(Path(temporary, side))
                    paths = (str(Path(asked.results).resolve()), str(Path(asked.study).resolve()))
                    spent, _ = run(tree, JOB, name, of, *paths, out, *asked.formats)
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
