"""The command `flopline` with its subcommands; errors are one sentence, and exit code 1."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, Final, ParamSpec

import click

import flopline
from flopline.errors import FloplineError
from flopline.places import command

P = ParamSpec("P")

NAMES: Final = {
    "init": ("project_folder", "Make a project folder with a sample study"),
    "fetch": ("fetching_logs", "Fetch logs from trackers, stores and the web into a snapshot"),
    "draft": ("drafted_study", "Write a study file for a folder of logs"),
    "run": ("running", "Run a study from its logs to the report"),
    "plan": ("planning", "N, D and loss at any budget"),
    "next": ("next_sweep", "Which further runs would narrow the answer most"),
    "forecast": ("sealing", "Seal what is predicted of runs still to be made"),
    "judge": ("sealing", "Score sealed forecasts, now that the runs are there"),
    "report": ("report_page", "Where the report of a study lies"),
    "anonymise": ("small_case", "Make a small case of a log that can be shown"),
}
"""The module of this package that holds each command and what it does, in the order of use."""
WIDTH: Final = 100


class Commands(click.Group):
    """Subcommands that are imported when they are asked for: `--help` of one needs no pandas."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names in the order of use."""
        return list(NAMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, None where there is none."""
        if cmd_name not in NAMES:
            return None
        module = import_module(f"flopline.cli.{NAMES[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, does) for name, (_, does) in NAMES.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with the nearest name where there is no such command."""
        from difflib import get_close_matches

        if args and args[0] not in NAMES and not args[0].startswith("-"):
            near = get_close_matches(args[0], NAMES, 1)
            hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(NAMES)}."
            ctx.fail(f"there is no command {args[0]!r}: {hint}")
        return super().resolve_command(ctx, args)


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH},
)
@click.version_option(flopline.__version__, prog_name="flopline")
def main() -> None:
    """From training-run logs to scaling laws you can bet a budget on.

    \b
    flopline init myproject && cd myproject   a project with a sample study
    flopline draft path/to/logs               a study file for your own logs
    flopline run                              logs to report
    flopline plan 1e22                        N, D and loss at a budget
    """


def in_a_sentence(act: Callable[P, None]) -> Callable[P, None]:
    """A command whose FloplineError is one sentence on stderr, with exit code 1."""

    @wraps(act)
    def told(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            act(*args, **kwargs)
        except FloplineError as mistake:
            click.echo(f"flopline: {mistake}", err=True)
            sys.exit(1)

    return told


def study_argument(act: Callable[..., Any]) -> Callable[..., Any]:
    """The optional argument STUDY: a name in config/studies or a path to a study file."""
    return click.argument("study", required=False, default="")(act)


def study_path(study: str) -> str:
    """What Snakemake's `study=` is given: a path, since it takes `2026_11` for a number."""
    listed = Path("config", "studies", f"{study}.yaml")
    return str(listed) if study and listed.is_file() else study


def demand_a_project() -> None:
    """Raise FloplineError where this folder holds no config/config.yaml."""
    if not Path("config/config.yaml").is_file():
        raise FloplineError(
            f"{Path.cwd()} holds no config/config.yaml, so it is no project: go to one, or make "
            f"one with {command()} init FOLDER."
        )
