"""The default study through Slurm, unchanged: the same bytes in few jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.conftest import Cluster, digests, finish, snakemake
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.cluster


def test_default_study_gives_the_same_bytes_in_a_tenth_of_the_time_slots(
    cluster: Cluster, tmp_path: Path
) -> None:
    here, there = (
        Checkout.fresh(tmp_path / name, data=("tinylm",)) for name in ("local", "cluster")
    )
    before = len(cluster.jobs())
    run = snakemake(there, study="tinylm")
    local = here.snakemake(study="tinylm")
    assert local.returncode == 0, local.stderr
    finish(run, there)
    assert digests(there, "tinylm") == digests(here, "tinylm")
