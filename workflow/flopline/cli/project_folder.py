"""`flopline init`: a folder with config, profile and the sample study."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Final

import click

from flopline.cli.program import in_a_sentence
from flopline.errors import FloplineError
from flopline.places import PROJECT, command
from flopline.study import study_name

CONFIG: Final = ("config/config.yaml", "config/README.md")
SAMPLE: Final = ("config/studies/tinylm.yaml", "data/tinylm/runs.csv", "data/tinylm/README.md")
SAMPLE_LOGS: Final = "data/tinylm/logs"
PROFILES: Final = "profiles"
IGNORED: Final = "results/\n.snakemake/\n"


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path), default=Path(), required=False)
@click.option("--no-sample", is_flag=True, help="Leave the sample study and its logs out.")
@in_a_sentence
def init_command(folder: Path, no_sample: bool) -> None:
    """Make a project in FOLDER: options, profiles and a sample study of 130 small real runs.

    Nothing that is there is written over.
    """
    files = [PROJECT / name for name in (*CONFIG, *(() if no_sample else SAMPLE))]
    files += sorted((PROJECT / PROFILES).rglob("*.*"))
    files += [] if no_sample else sorted((PROJECT / SAMPLE_LOGS).glob("*.jsonl.gz"))
    wanted = {folder / path.relative_to(PROJECT): path for path in files if path.is_file()}
    there = [path for path in wanted if path.exists()]
    if there:
        raise FloplineError(
            f"{there[0]} is there already, and nothing is written over: choose another folder."
        )
    try:
        for new, source in wanted.items():
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, new)
            shutil.copymode(source, new)
        (folder / "config/studies").mkdir(exist_ok=True)
        if no_sample:
            _name_study(folder)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text(IGNORED, encoding="utf-8")
    except OSError as mistake:
        raise FloplineError(
            f"{mistake.filename} cannot be written: {mistake.strerror}: choose another folder."
        ) from None
    click.echo(f"Made a project of {len(wanted)} files in {folder.resolve()}.")
    enter = "" if folder == Path() else f"cd {shlex.quote(str(folder))} && "
    flopline = command(folder)
    if no_sample:
        click.echo(f"Next: {enter}{flopline} draft path/to/your/logs")
    else:
        click.echo(f"Next: {enter}{flopline} run      (the sample study, a minute)")
        click.echo(f"then: {flopline} draft path/to/your/logs")


def _name_study(folder: Path) -> None:
    """Have the options name the study that a draft of this very folder writes."""
    options = folder / "config/config.yaml"
    text = options.read_text(encoding="utf-8")
    options.write_text(
        re.sub(r"^study: .*$", f"study: {study_name(folder)}", text, flags=re.M), encoding="utf-8"
    )
