"""The checks that Snakemake's workflow catalog makes of a workflow, on its `.test` folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.workflow.conftest import engine, planned_jobs

pytestmark = pytest.mark.workflow


def test_the_small_data_set_is_planned_from_logs_to_report(tmp_path: Path) -> None:
    ignore = shutil.ignore_patterns("results", ".snakemake")
    shutil.copytree(ROOT / ".test", tmp_path / ".test", ignore=ignore)
    folder = str(tmp_path / ".test")
    jobs = planned_jobs(engine().snakemake(ROOT, "--directory", folder, "--cores", "2", "-n"))
    assert {"ingest", "fit_parametric", "audit", "decide", "report"} <= set(jobs)
