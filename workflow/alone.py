"""One job alone, its script under the debugger, with the inputs and params that Snakemake gives it.

    python workflow/alone.py RULE [family=NAME] [shard=NUMBER] [study=NAME]

Snakemake makes what the job lacks, then runs it once more with pdb before its script, so that
`snakemake` is there and what the script writes counts as the job's result. `c` runs the script to
its end or to the place where an error arose; `q` at the prompt there ends the job.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from tempfile import TemporaryFile

from snakemake.cli import main

PREAMBLE = 3
"""Lines that Snakemake puts above a script, which hold its inputs and params: passed over."""


def run_alone(rule: str, **named: str) -> None:
    """Run one job of `rule` under pdb; exits as Snakemake does, or with a sentence."""
    study = named.pop("study", "")
    arguments = ["--cores", "1", *(["--config", f"study={study}"] if study else [])]
    target = output_of(rule, set(named.values()), arguments)
    fork([target, *arguments])
    os.environ["FLOPLINE_RAISE"] = "1"  # else stage.py tells of an error and the job ends
    # Snakemake starts scripts with the Python that it runs in itself.
    sys.executable = f'{shlex.quote(sys.executable)} -m pdb -c "until {PREAMBLE + 1}"'
    main([target, "--force", "--quiet", "all", *arguments])


def output_of(rule: str, words: set[str], arguments: list[str]) -> str:
    """The first output of a job of `rule` whose path holds all `words`; exits where none does."""
    with TemporaryFile("w+") as table, TemporaryFile("w+") as errors:
        code = fork(["--summary", *arguments], table.fileno(), errors.fileno())
        for stream in (table, errors):
            stream.seek(0)
        if code:
            sys.exit(errors.read())
        header, *rows = (line.rstrip("\n").split("\t") for line in table)
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


def fork(arguments: list[str], out: int = 1, errors: int = 2) -> int:
    """Exit code of Snakemake in a fork of this process, which writes to these descriptors."""
    child = os.fork()
    if child == 0:
        with Path(os.devnull).open() as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(out, 1)
        os.dup2(errors, 2)
        main(arguments)
        sys.exit()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    first, *choices = sys.argv[1:] or ["--help"]
    if first.startswith("-") or not all("=" in choice for choice in choices):
        sys.exit(__doc__)
    run_alone(first, **dict(choice.split("=", 1) for choice in choices))
