"""The study that a command is about, and what its last run left."""

from __future__ import annotations

from pathlib import Path

from flopline.cli.program import demand_a_project, study_path
from flopline.errors import FloplineError
from flopline.places import SCHEMAS, command
from flopline.results import StudyResults
from flopline.sealed.study_evidence import study_results
from flopline.study import load_study, read_yaml
from flopline.study_document import StudyDocument


def config_study(study: str) -> str:
    """The study named, else the one that config/config.yaml names.

    Raises FloplineError where this folder is no project.
    """
    demand_a_project()
    if study:
        return study_path(study)
    named = read_yaml(Path("config/config.yaml")).get("study")
    if not isinstance(named, str):
        raise FloplineError(
            f"config/config.yaml names no `study`: name one, as in {command()} run mine."
        )
    return study_path(named)


def loaded(study: str) -> StudyDocument:
    """The document of the study named, or of that of config/config.yaml."""
    named = config_study(study)
    config = {**read_yaml(Path("config/config.yaml")), "study": named}
    return load_study(config, Path.cwd(), SCHEMAS)


def results_of(study: str) -> tuple[StudyDocument, Path]:
    """The study's document and its folder of results."""
    document = loaded(study)
    return document, Path("results", document["name"])


def left_by(document: StudyDocument) -> StudyResults:
    """What the last run of the study left; FloplineError where it was not run to its end."""
    return study_results(document, Path.cwd())
