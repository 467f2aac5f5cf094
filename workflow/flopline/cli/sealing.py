"""`flopline forecast` and `flopline judge`: sealed forecasts of runs still to be made."""

from __future__ import annotations

import sys

import click

from flopline.cli.program import in_a_sentence, study_argument
from flopline.cli.study_at_hand import config_study
from flopline.sealed.sealing_command import main as sealed


@click.command("forecast")
@study_argument
@click.option(
    "--run", "runs", multiple=True, metavar='"NAME PARAMS TOKENS"', help="A run to forecast."
)
@click.option("--date", help="The date of the forecast, YYYY-MM-DD; today by default.")
@click.option("--file", "path", help="The file to write; forecasts/STUDY/DATE.json by default.")
@in_a_sentence
def forecast_command(study: str, runs: tuple[str, ...], date: str | None, path: str | None) -> None:
    """Seal what is predicted of runs still to be made, in a file to commit before they run."""
    words = [word for run in runs for word in ("--run", run)]
    words += [word for key, v in (("--date", date), ("--file", path)) if v for word in (key, v)]
    sys.exit(sealed(["forecast", config_study(study), *words]))


@click.command("judge")
@study_argument
@click.option("--results", help="A table of run and loss, where the runs are in no study.")
@click.option("--file", "path", help="The sealed file; the newest one by default.")
@in_a_sentence
def judge_command(study: str, results: str | None, path: str | None) -> None:
    """Score sealed forecasts, now that the runs are there."""
    given = (("--results", results), ("--file", path))
    words = [word for key, value in given if value for word in (key, value)]
    sys.exit(sealed(["judge", config_study(study), *words]))
