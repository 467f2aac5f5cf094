"""`flopline report`: where the report of a study lies, or the report on paper."""

from __future__ import annotations

import sys
import webbrowser

import click

from flopline.cli.program import in_a_sentence, study_argument
from flopline.cli.study_at_hand import results_of
from flopline.errors import FloplineError
from flopline.places import to_run


@click.command("report")
@study_argument
@click.option("--open", "opened", is_flag=True, help="Open it in the browser.")
@click.option("--pdf", is_flag=True, help="Print it by an installed Chromium or Chrome.")
@in_a_sentence
def report_command(study: str, opened: bool, pdf: bool) -> None:
    """Print the path of a study's report."""
    document, folder = results_of(study)
    page = folder / "report.html"
    if not page.is_file():
        run = to_run(document["name"])
        raise FloplineError(f"{page} is not there: run the study first, with {run}.")
    if pdf:
        from flopline.printing import main as print_page

        sys.exit(print_page([str(page), str(page.with_suffix(".pdf"))]))
    click.echo(page.resolve())
    if opened:
        webbrowser.open(page.resolve().as_uri())
