"""What is left behind by a run that ended early, on real Snakemake; see also test_matrix.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflow.conftest import AUDIT, END, OF_LAWS, Checkout

pytestmark = pytest.mark.workflow


def test_killed_between_stages_is_noticed(finished: Checkout, tmp_path: Path) -> None:
    """A stage that ran while those below it did not must not leave stale results."""
    checkout = finished.copy(tmp_path / "repo")
    checkout.edit("config/config.yaml", "min_sizes: 4", "min_sizes: 7")
    only = checkout.snakemake("--until", "fit_isoflop")
    assert only.returncode == 0, only.stderr
    # What an earlier run decided is no news of this one.
    assert "train" not in only.stderr
    stale = OF_LAWS["isoflop"] | AUDIT | END
    assert checkout.planned() == stale
