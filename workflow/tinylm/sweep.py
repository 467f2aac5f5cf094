"""Drive the whole design with one process per core, each training run after run.

Does what the Snakefile does without starting PyTorch anew for every run: worth
it where most runs take seconds. A finished log is never run again.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import torch
from train import train


def claim(path: Path) -> bool:
    """Take a run for this process; false if another worker has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def main() -> None:
    """Command line: sweep.py DESIGN DATA STUDY; start one per core."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("design", type=Path, help="design.json, read again before every run")
    parser.add_argument(
        "data", type=Path, help="folder of train.bin and val.bin, of raw logs and claims"
    )
    parser.add_argument("study", type=Path, help="folder that log paths start from")
    args = parser.parse_args()
    torch.set_num_threads(1)
    while True:
        # Read anew, so that a design extended while the sweep runs is taken up.
        design = json.loads(args.design.read_text())
        for run in design["runs"].values():
            log = args.study / run["log"]
            if not log.exists() and claim(args.data / "claims" / run["run"]):
                raw = args.data / "raw" / f"{run['run']}.jsonl"
                train(run, design["train"], args.data, raw, log)
                print(run["run"], flush=True)
                break
        else:
            return


if __name__ == "__main__":
    main()
