"""`flopline run`: the packaged workflow in this folder, by Snakemake."""

from __future__ import annotations

import itertools
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from flopline.cli.program import demand_a_project, in_a_sentence, study_path
from flopline.errors import FloplineError
from flopline.places import LIBRARY, PROJECT, SNAKEFILE, WORKFLOW
from flopline.schema_sentences import did_you_mean

CORES: Final = ("--cores", "-c", "--jobs", "-j", "--profile")
"""Options of Snakemake's that say how many jobs run at once."""
OF_RULES: Final = ("--until", "-U", "--omit-from", "-O", "--forcerun", "-R")
"""Options of Snakemake's that name rules."""
OWN_PROFILE: Final = "profiles/default"


@click.command(
    "run",
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "allow_interspersed_args": False,
    },
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[STUDY] [SNAKEMAKE OPTIONS]")
@in_a_sentence
def run_command(words: tuple[str, ...]) -> None:
    """Run a study from its logs to the report; what is up to date stays.

    STUDY is a name in config/studies or a path to a study file; without it config/config.yaml says
    which. All that follows goes to Snakemake: `--cores 4`, `--dry-run`, `--profile slurm`.
    """
    demand_a_project()
    study, rest = (words[0], words[1:]) if words and not words[0].startswith("-") else ("", words)
    command = run_command_line(study, rest)
    # Snakemake takes this process's place.
    os.execve(sys.executable, command, run_environment())  # noqa: S606


def run_command_line(study: str, more: Sequence[str]) -> list[str]:
    """The program and arguments that run a study; FloplineError as `snakemake_arguments`."""
    return [sys.executable, str(WORKFLOW / "run.py"), *snakemake_arguments(study, more)]


def run_environment() -> dict[str, str]:
    """The environment of a run, whose Python finds the library and what runs the workflow."""
    library = os.pathsep.join(dict.fromkeys([str(LIBRARY.parent), str(WORKFLOW)]))
    return {**os.environ, "PYTHONPATH": library}


def snakemake_arguments(study: str, more: Sequence[str]) -> list[str]:
    """The command line of Snakemake for a study and what else a user wants of it.

    Raises FloplineError for a profile that is neither there nor packaged.
    """
    words = _with_profiles(more)
    _demand_rules(words)
    out = ["--snakefile", str(SNAKEFILE)]
    if not any(word.split("=")[0] in CORES for word in words):
        out += ["--cores", "all"]
    if not Path(OWN_PROFILE).is_dir() and not any("workflow-profile" in word for word in words):
        out += ["--workflow-profile", str(PROJECT / OWN_PROFILE)]
    # Before the rest: `--config` takes every word that follows, up to the next option.
    return [*out, *words, *(["--config", f"study={study_path(study)}"] if study else [])]


def _demand_rules(words: Sequence[str]) -> None:
    """Raise FloplineError where an option that names rules names one that there is not."""
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option not in OF_RULES:
            continue
        after = list(itertools.takewhile(lambda one: not one.startswith("-"), words[place + 1 :]))
        for name in [value] if equals else after:
            if "/" in name or "." in name or any(rule.fullmatch(name) for rule in _rules()):
                continue
            known = [rule.pattern for rule in _rules() if rule.pattern.isalnum()]
            raise FloplineError(
                f"{option} names {name!r}, which is neither a stage nor a file of results"
                f"{did_you_mean(name, known)}; the stages are {', '.join(known)}."
            )


def _rules() -> list[re.Pattern[str]]:
    """The names of the rules in the order of their files, as patterns where they are made."""
    texts = [SNAKEFILE.read_text(encoding="utf-8")]
    texts += [path.read_text(encoding="utf-8") for path in sorted(WORKFLOW.glob("rules/*.smk"))]
    names: list[str] = []
    for text in texts:
        names += re.findall(r"^\s*(?:rule|checkpoint) (\w+):", text, re.MULTILINE)
        made = re.findall(r"^\s+name:\s+f?\"([^\"]+)\"", text, re.MULTILINE)
        names += [re.sub(r"\\{[^}]*\\}", ".+", re.escape(one)) for one in made]
    return [re.compile(name) for name in dict.fromkeys(names)]


def _with_profiles(words: Sequence[str]) -> list[str]:
    """The words with `--profile slurm` as the folder of the profile, the project's own first."""
    out = [part for word in words for part in _parted(word)]
    for place, word in enumerate(out[:-1]):
        name = out[place + 1]
        if word != "--profile" or Path(name).is_dir() or "/" in name:
            continue
        known = [Path("profiles", name), PROJECT / "profiles" / name]
        folder = next((path for path in known if path.is_dir()), None)
        if folder is None:
            packaged = sorted(path.name for path in (PROJECT / "profiles").iterdir())
            raise FloplineError(
                f"there is no profile {name!r} here: name a folder, or one of "
                f"{', '.join(packaged)}."
            )
        out[place + 1] = str(folder)
    return out


def _parted(word: str) -> list[str]:
    return word.split("=", 1) if word.startswith("--profile=") else [word]
