"""`flopline draft`: a study file for a folder of logs."""

from __future__ import annotations

import sys

import click

from flopline.drafting.drafting_command import main as draft


@click.command("draft")
@click.argument("folder")
@click.option("--name", help="Name of the study; the folder's by default.")
@click.option("--params-convention", help="total, non_embedding, active or decoder.")
@click.option("--flops-convention", help="six_nd, supplied, ...")
@click.option("--target", "targets", multiple=True, help="A budget to decide for, in FLOPs.")
@click.option("--force", is_flag=True, help="Replace a study file that exists.")
def draft_command(
    folder: str,
    name: str | None,
    params_convention: str | None,
    flops_convention: str | None,
    targets: tuple[str, ...],
    force: bool,
) -> None:
    """Look into FOLDER of training logs and write config/studies/NAME.yaml for it.

    What the logs say is filled in; what nobody but you can know is marked TODO.
    """
    given = {
        "--name": name,
        "--params-convention": params_convention,
        "--flops-convention": flops_convention,
    }
    arguments = [word for key, value in given.items() if value for word in (key, value)]
    if targets:
        arguments += ["--targets", *targets]
    # The folder first, since `--targets` takes all that follow.
    sys.exit(draft([folder, *arguments, *(["--force"] if force else [])]))
