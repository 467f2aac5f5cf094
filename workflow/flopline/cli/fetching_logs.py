"""`flopline fetch`: logs from trackers, stores and the web into a snapshot."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from flopline.cli.program import in_a_sentence
from flopline.drafting.survey import survey
from flopline.drafting.writing import draft
from flopline.errors import FloplineError
from flopline.fetching.fetch import FORMS, MOST_GB, fetch, folder_for
from flopline.fetching.snapshots import LOGS, Changes, Snapshot
from flopline.fetching.tracked_runs import RUN_TABLE
from flopline.numbers import size_in_words
from flopline.places import command

LISTED = 5
"""Changed files that are named one by one."""


@click.command(
    "fetch",
    epilog="\b\n" + "\n".join(f"{form:26} {meaning}" for form, meaning in FORMS.items()),
)
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
@click.option("--into", type=click.Path(path_type=Path), help="The snapshot's folder; data/NAME.")
@click.option("--server", help="Address of a tracking server (mlflow:, wandb:).")
@click.option("--most-gb", default=MOST_GB, show_default=True, help="Refuse to bring more files.")
@in_a_sentence
def fetch_command(
    addresses: tuple[str, ...], into: Path | None, server: str | None, most_gb: float
) -> None:
    """Fetch logs from where they are kept into a snapshot, a folder of plain files.

    A study reads the snapshot, never the place itself, so that results stand still until you fetch
    again; it then says what changed. A path may hold * and **.
    """
    folder = into or folder_for(addresses[0])
    renewal = fetch(addresses, folder, server, most_gb)
    snapshot, changes = renewal.snapshot, renewal.changes
    size = sum(file.size for file in snapshot.files.values())
    files = f"{len(snapshot.files):,} file{'s' * (len(snapshot.files) != 1)}"
    number = f"{files}, {size_in_words(size)}, sha256 {snapshot.digest[:12]}"
    if changes is None:
        click.echo(f"Fetched into {folder}: {number}.")
    elif not changes:
        click.echo(f"Nothing changed in {folder}: {number}.")
    else:
        click.echo(f"Fetched into {folder}: {number}. Since the last time:")
        for line in _changed(changes):
            click.echo(f"  {line}")
    for source in snapshot.sources:
        if source.revision:
            click.echo(f"  {source.address} at commit {source.revision}.")
    for note in snapshot.notes:
        click.echo(f"  {note}")
    if lines := source_lines(snapshot, folder):
        click.echo("\nIn a study file:\n")
        click.echo("\n".join(lines))
        click.echo(f"\nThe whole of it: {command()} draft {shlex.quote(str(folder))}")
    else:
        click.echo(f"\nA study file for it: {command()} draft {shlex.quote(str(folder))}")


def source_lines(snapshot: Snapshot, folder: Path) -> list[str]:
    """The lines `source:` of a study that reads a snapshot; none where more must be known first."""
    try:
        drafted = draft(survey(folder, Path.cwd()), "fetched", {}, "fetched.runs.csv", Path.cwd())
    except FloplineError:
        return []
    if drafted.run_table is not None:
        return []
    lines = drafted.study.splitlines()
    begin = lines.index("source:")
    block = [lines[begin]]
    for line in lines[begin + 1 :]:
        if not line.startswith(" "):
            break
        block.append(line)
    return block


def _changed(changes: Changes) -> list[str]:
    longer = [f"{_bare(path)} by {added:,} bytes" for path, added in changes.longer.items()]
    kinds = {
        "new": [*map(_bare, changes.new)],
        "longer": longer,
        "changed": [*map(_bare, changes.other)],
        "gone from the source": [*map(_bare, changes.gone)],
    }
    lines = [
        f"{len(names):,} {kind}: {', '.join(names[:LISTED])}{', ...' if names[LISTED:] else ''}"
        for kind, names in kinds.items()
        if names
    ]
    return [*lines, f"{changes.same:,} as they were"]


def _bare(path: str) -> str:
    return path if path == RUN_TABLE else path.removeprefix(f"{LOGS}/")
