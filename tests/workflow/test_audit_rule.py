"""The audit of studies that do not fit all laws, told by real Snakemake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.builders.studies import write_study
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.workflow


@pytest.mark.parametrize(
    ("laws", "absent"),
    [(["isoflop"], {"inference"}), (["parametric"], {"bias", "inference"})],
    ids=["isoflop", "parametric"],
)
def test_a_study_with_some_laws_is_audited_all_the_same(
    tmp_path: Path, laws: list[str], absent: set[str]
) -> None:
    checkout = Checkout.fresh(tmp_path / "repo")
    write_study(checkout.folder, families=("ash",), shards=1, laws=laws)
    done = checkout.snakemake("results/toy/audit/ash/findings.json")
    assert done.returncode == 0, done.stderr
    folder = checkout.folder / "results/toy/audit/ash"
    findings = {f["audit"]: f for f in json.loads((folder / "findings.json").read_text())}
    expected = {"ladder", "form", "identifiability", "regret", "bias", "sensitivity", "next_run"}
    assert set(findings) == (expected | {"hygiene", "published"}) - absent
    assert not [f["sentence"] for f in findings.values() if f["sentence"].startswith("Not made")]
    for finding in findings.values():
        for name in finding["tables"]:
            assert (folder / "tables" / f"{finding['audit']}.{name}.parquet").is_file()
    # The toy's logs hold one constant rate for all sizes.
    assert "never falls" in findings["hygiene"]["sentence"]
    assert "not tuned to each" in findings["hygiene"]["sentence"]
