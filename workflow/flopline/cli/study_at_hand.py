"""The study that a command is about, and what its last run left."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from flopline.cli.program import demand_a_project, study_path
from flopline.documents import VerdictJson
from flopline.errors import FloplineError
from flopline.numbers import flops_label
from flopline.places import SCHEMAS, command, to_run
from flopline.results import StudyResults
from flopline.schema import split_label
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
    """What the last run of the study left, of the study as its file is now.

    Raises FloplineError where it was not run to its end, or asked other questions than now.
    """
    results = study_results(document, Path.cwd())
    if changed := changed_since(document, results.decision, results.lines):
        raise FloplineError(
            f"the study file changed since results/{document['name']} were made ({changed}): run "
            f"it again with {to_run(document['name'])}."
        )
    return results


def changed_since(document: StudyDocument, decision: VerdictJson, lines: pd.DataFrame) -> str:
    """What a study asks that its results do not answer, empty where they answer all of it."""
    answered = [*decision["choices"], *decision["silent"]]
    known = [entry["budget_flops"] for entry in answered]
    for target in map(float, document["targets"]):
        if known and not any(math.isclose(target, flops, rel_tol=1e-9) for flops in known):
            return f"they have no target of {flops_label(target)} FLOPs"
    splits = set(lines.loc[lines["law"].isin(document["laws"]), "loss_split"].astype(str))
    if splits and str(document["loss_split"]) not in splits:
        return f"their loss is {split_label(splits.pop())}, not {document['loss_split']}"
    return ""
