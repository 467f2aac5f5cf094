"""One job alone, its script under the debugger, with the inputs and params that Snakemake gives it.

    python workflow/alone.py RULE [family=NAME] [shard=NUMBER] [study=NAME]

Snakemake makes what the job lacks, then runs it once more with pdb before its script, so that
`snakemake` is there and what the script writes counts as the job's result. `c` runs the script to
its end or to the place where an error arose; `q` at the prompt there ends the job.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from snakemake.cli import main

PREAMBLE = 3
"""Lines that Snakemake puts above a script, which hold its inputs and params: passed over."""


def run_alone(rule: str, **named: str) -> None:
    """Run one job of `rule` under pdb; exits as Snakemake does, or with a sentence."""
    study = named.pop("study", "")
    arguments = ["--cores", "1", *(["--config", f"study={study}"] if study else [])]
    target = output_of(rule, set(named.values()), arguments)
    command = [sys.executable, "-m", "snakemake", target, *arguments]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    os.environ["FLOPLINE_RAISE"] = "1"  # else stage.py tells of an error and the job ends
    # Snakemake starts scripts with the Python that it runs in itself.
    sys.executable = f'{shlex.quote(sys.executable)} -m pdb -c "until {PREAMBLE + 1}"'
    main([target, "--force", "--quiet", "all", *arguments])


def output_of(rule: str, words: set[str], arguments: list[str]) -> str:
    """The first output of a job of `rule` whose path holds all `words`; exits where none does."""
    command = [sys.executable, "-m", "snakemake", "--summary", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    header, *rows = (line.split("\t") for line in done.stdout.splitlines())
    made = [(row[header.index("rule")], row[header.index("output_file")]) for row in rows]
    rules = sorted({name for name, _ in made})
    if rule not in rules:
        sys.exit(
            f"flopline: no job of this study is called {rule!r}: choose one of {', '.join(rules)}."
        )
    for name, path in made:
        if name == rule and words <= {*Path(path).parts, *Path(path).name.split(".")}:
            return path
    sys.exit(f"flopline: no job of {rule} is that of {', '.join(sorted(words))}: correct the name.")


if __name__ == "__main__":
    first, *choices = sys.argv[1:] or ["--help"]
    if first.startswith("-") or not all("=" in choice for choice in choices):
        sys.exit(__doc__)
    run_alone(first, **dict(choice.split("=", 1) for choice in choices))
