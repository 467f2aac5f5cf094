"""A form of the loss surface is one entry: docs/extending.md followed to the letter in a copy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.builders.checklists import templates
from tests.conftest import ROOT

TABLE = "flopline/solvers/surface_family.py"
LISTED = "(CHINCHILLA, TIED, SKALING, KAPLAN)"
SCRIPT = """
import json
from flopline.audit import ladder
from flopline.audit.audit_options import AuditOptions
from flopline.audit.held_out import audit as held_out
from flopline.audit.sensitivity import audit as sensitivity
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.results import LawResults
from flopline.laws.parametric import parametric_fit
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.options import StudyOptions
from flopline.report.methods import law_paragraph
from tests.builders.designs import BUDGETS, isoflop_runs

points = isoflop_runs(budgets=BUDGETS[:5], noise=0.004)
study = StudyOptions(
    BootstrapOptions(draws=10), ParametricOptions(variant_draws=10), AuditOptions(ladder_draws=0)
)
bootstrap = study.of(BootstrapOptions)
fit = parametric_fit.fit(points, [1e23], study.of(ParametricOptions), bootstrap=bootstrap)
table = fit.tables["estimators"]
steps = ladder.audit(points, 1e23, study, steps_flops=[BUDGETS[2] * 1.01]).tables["steps"]
changes = sensitivity(points, 1e23, study, estimators={"parametric": table}).tables["changes"]
unseen = points.tail(1).assign(run="large")
seen = held_out(unseen, points, {"parametric": LawResults.of(fit)}, study).tables["predictions"]
methods = law_paragraph("parametric", fit.to_json(), {"points": "final"}, list(table["estimator"]))
print(json.dumps({
    "labels": list(table["label"]),
    "statuses": dict(zip(table["estimator"], table["status"])),
    "on_ladder": list(steps.loc[steps["law"] == "parametric", "estimator"]),
    "changes": list(changes["change"]),
    "held_out": list(seen["estimator"]),
    "methods": methods,
}))
"""


def test_a_new_form_is_one_entry(tmp_path: Path) -> None:
    """Of its variants, the ladder, the tornado, the runs held out and the methods."""
    shutil.copytree(
        ROOT / "workflow/flopline",
        tmp_path / "flopline",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (entry,) = templates("a form of the loss surface")
    text = (tmp_path / TABLE).read_text(encoding="utf-8")
    assert text.count(LISTED) == 1
    text = text.replace(LISTED, f"{LISTED[:-1]}, {entry.strip()})")
    (tmp_path / TABLE).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert "terms under a square root" in printed["labels"]
    assert printed["statuses"]["half"] != "failed"
    assert "half" in printed["on_ladder"]
    assert "terms under a square root" in printed["changes"]
    assert "half" in printed["held_out"]
    assert "its two terms added under a square root" in printed["methods"]
