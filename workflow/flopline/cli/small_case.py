"""`flopline anonymise`: of a log, a small case with names replaced and numbers kept."""

from __future__ import annotations

from pathlib import Path

import click

from flopline.anonymising import anonymised, read_alike
from flopline.cli.program import in_a_sentence
from flopline.errors import FloplineError


@click.command("anonymise")
@click.argument("log", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--lines",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    help="Keep so many lines; 0 keeps all.",
)
@click.option("--keep", multiple=True, metavar="WORD", help="A word that may stay as it is.")
@in_a_sentence
def anonymise_command(log: Path, out: Path, lines: int, keep: tuple[str, ...]) -> None:
    """Write a copy of the text file LOG to OUT that can be shown to others.

    Words that no log format is known to use become worda, wordb, ..., the same for the same; keys
    of formats, punctuation and numbers stay, so that the copy is read, or misread, as the log is.
    Read it through before you send it: numbers may say things, too.
    """
    if out.exists():
        raise FloplineError(f"{out} is there already, and nothing is written over: name another.")
    made = anonymised(log, lines, keep)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(made.text, encoding="utf-8", newline="")
    except OSError as mistake:
        raise FloplineError(f"{out} cannot be written: {mistake.strerror}.") from None
    click.echo(
        f"Wrote {out}: {made.lines:,} lines, {made.words:,} different words replaced, "
        f"{made.urls:,} addresses and paths."
    )
    alike = read_alike(log, out, made.lines)
    if not alike.alike:
        raise FloplineError(alike.sentence)
    click.echo(alike.sentence)
