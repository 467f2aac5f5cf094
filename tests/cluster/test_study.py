"""The default study on Slurm, unchanged: the same bytes as on one machine, in few jobs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cluster.conftest import Cluster, digests, finish, snakemake
from tests.conftest import ROOT
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.cluster


def test_default_study_leaves_the_same_bytes_on_slurm(cluster: Cluster, tmp_path: Path) -> None:
    here, there = (Checkout.fresh(tmp_path / name) for name in ("here", "there"))
    for checkout in (here, there):
        shutil.copytree(ROOT / "data" / "tinylm", checkout.folder / "data" / "tinylm")
    before = cluster.jobs()
    run = snakemake(there, study="tinylm")
    local = here.snakemake(study="tinylm")
    assert local.returncode == 0, local.stderr
    finish(run, there)
    found = digests(there, "tinylm")
    assert "decision.parquet" in found
    assert "report.html" in found
    assert found == digests(here, "tinylm")
    submitted = set(cluster.jobs()) - set(before)
    # Groups: the shards, the families' fits, the end.
    assert 3 <= len(submitted) <= 8
    # The jobs of a group take turns, so none asks for more than its largest one does.
    for number in submitted:
        job = cluster.job(number)
        assert job["JobState"] == "COMPLETED"
        assert job["NumCPUs"] == "1"
        assert int(job["MinMemoryNode"].rstrip("M")) <= 2000
