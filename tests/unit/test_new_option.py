"""An option is one field: docs/extending.md followed to the letter in a copy."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builders.checklists import templates
from tests.builders.studies import study_of, write_study_file
from tests.conftest import ROOT

MODEL = "workflow/flopline/laws/isoflop/isoflop_options.py"
MADE = ["config/README.md", "config/config.yaml", "workflow/schemas/config.schema.yaml"]
STUDY = study_of(
    {
        "kind": "table",
        "paths": "runs.csv",
        "columns": {name: name for name in ("run", "params", "tokens", "loss")},
    }
)
USES = """
import json
from pathlib import Path
from flopline.audit import ladder
from flopline.errors import FloplineError
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.isoflop import isoflop_fit
from flopline.laws.isoflop.isoflop_options import IsoflopOptions
from flopline.options import StudyOptions
from flopline.study import load_study
from tests.builders.designs import isoflop_runs
from tests.builders.options import ladder_options

study = load_study({"study": "new"}, Path.cwd(), Path("workflow/schemas"))
options, runs = IsoflopOptions(**study["isoflop"]), isoflop_runs(noise=0.003)
fit = isoflop_fit.fit(runs, [1e23], options, bootstrap=BootstrapOptions(draws=20))
changed = isoflop_fit.fit(runs, [1e23], min_runs=2, draws=20)
try:
    isoflop_fit.fit(runs, [1e23], min_run=2, draws=20)
except FloplineError as mistake:
    refused = str(mistake)

given, real = [], isoflop_fit.fit
def watched(points, targets, options=None, **more):
    fitted = real(points, targets, options, **more)
    given.append(fitted.settings["min_runs"])
    return fitted
isoflop_fit.fit = watched
ladder.audit(runs, 1e24, ladder_options(20).but(options))
in_ladder = set(given)
print(json.dumps({
    "study": study["isoflop"]["min_runs"],
    "fit": fit.settings["min_runs"],
    "changed": changed.settings["min_runs"],
    "ladder": sorted(in_ladder),
    "refused": refused,
}))
"""


def differing(folder: Path) -> list[str]:
    """Files of the copy that are not as ours."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return [
        name
        for file in files
        if "__pycache__" not in (name := str(file.relative_to(folder)))
        and not filecmp.cmp(file, ROOT / name, shallow=False)
    ]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    unread = shutil.ignore_patterns("__pycache__")
    for part in ("workflow/flopline", "workflow/schemas", "config"):
        shutil.copytree(ROOT / part, folder / part, ignore=unread)
    model = folder / MODEL
    (field,) = templates("an option")
    model.write_text(model.read_text() + "\n" + textwrap.indent(field, "    "))
    return folder


def ran(folder: Path, *command: str) -> str:
    """What Python says in the copy, whose library is the copy's."""
    library = os.pathsep.join([str(folder / "workflow"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": library},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_option_is_one_field(copy: Path) -> None:
    assert differing(copy) == [MODEL]
    assert ran(copy, "-m", "flopline.option_files").count("is renewed") == len(MADE)
    assert differing(copy) == sorted([*MADE, MODEL])

    says = "a budget with fewer runs gets no parabola"
    row = f"| `isoflop.min_runs` | 3 | whole number from 1 | {says} |"
    assert row in (copy / "config/README.md").read_text().splitlines()
    assert yaml.safe_load((copy / "config/config.yaml").read_text())["isoflop"]["min_runs"] == 3
    schema = yaml.safe_load((copy / "workflow/schemas/config.schema.yaml").read_text())
    assert schema["properties"]["isoflop"]["properties"]["min_runs"] == {
        "description": says,
        "type": "integer",
        "minimum": 1,
        "default": 3,
    }

    write_study_file(copy, "new", STUDY | {"isoflop": {"min_runs": 4}})
    printed: dict[str, Any] = json.loads(ran(copy, "-c", USES))
    assert (printed["study"], printed["fit"], printed["changed"], printed["ladder"]) == (
        4,
        4,
        2,
        [4],
    )
    assert (
        "'min_run' is no option of isoflop or bootstrap (did you mean 'min_runs'?)"
        in (printed["refused"])
    )
