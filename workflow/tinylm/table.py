"""Write the table of the finished runs: the columns of the design, one row a run, sorted."""

from __future__ import annotations

import argparse
import csv
import json
from operator import itemgetter
from pathlib import Path


def main() -> None:
    """Command line: table.py DESIGN STUDY; writes STUDY/runs.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("design", type=Path, help="the sweep, written by design.py")
    parser.add_argument("study", type=Path, help="folder that log paths start from")
    args = parser.parse_args()
    design = json.loads(args.design.read_text())["runs"]
    finished = [run for run in design.values() if (args.study / run["log"]).exists()]
    finished.sort(key=itemgetter("run"))
    with (args.study / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, finished[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(finished)
    print(f"{len(finished)} of {len(design)} runs finished")


if __name__ == "__main__":
    main()
