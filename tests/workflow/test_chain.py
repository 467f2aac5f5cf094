"""Where a stage writes the same bytes again, the chain stops there: workflow/run.py, as make."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.workflow.conftest import AFTER_CLEAN, Checkout, engine

pytestmark = pytest.mark.workflow


@pytest.fixture
def checkout(finished: Checkout, tmp_path: Path) -> Checkout:
    return finished.copy(tmp_path / "repo")


def jobs_of(
    checkout: Checkout, *arguments: str
) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """Run in steps, and tell the jobs that ran: each writes its log anew."""
    logs = checkout.folder / "results/toy/logs"
    before = {log: log.stat().st_mtime_ns for log in logs.glob("*.log")}
    done = engine().snakemake(
        checkout.folder, "--cores", "1", *arguments, "--config", "study=toy",
        program="workflow/run.py",
    )  # fmt: skip
    ran = {log.stem for log in logs.glob("*.log") if before.get(log) != log.stat().st_mtime_ns}
    return done, ran


def test_code_that_reads_the_same_reruns_its_own_stage_only(checkout: Checkout) -> None:
    script = checkout.folder / "workflow/scripts/ingest.py"
    script.write_text(script.read_text() + "\nUNUSED_NAME_OF_THIS_TEST = 1\n")
    assert checkout.planned() == {"ingest": 2, "clean": 2, "gather": 1} | AFTER_CLEAN
    done, ran = jobs_of(checkout)
    assert done.returncode == 0, done.stderr
    assert ran == {"ingest.0", "ingest.1"}
    assert checkout.planned() == {}


def test_a_later_stage_stops_the_chain_too_and_a_real_change_goes_on(checkout: Checkout) -> None:
    study = checkout.folder / "config/studies/toy.yaml"
    former = study.read_text()
    study.write_text(former + "exclude:\n- {column: loss, above: 99, reason: none is so high}\n")
    assert checkout.planned() == {"gather": 1} | AFTER_CLEAN
    done, ran = jobs_of(checkout)
    assert done.returncode == 0, done.stderr
    # The page and the zip show the whole study file.
    assert ran == {"gather", "report", "review"}
    study.write_text(former + "exclude:\n- {runs: [ash-1e+15-3], reason: a test}\n")
    done, ran = jobs_of(checkout, "results/toy/fits/ash/isoflop.json")
    assert done.returncode == 0, done.stderr
    assert ran == {"gather", "fit_isoflop.ash"}


@pytest.mark.slow
def test_damaged_tables_made_again_alike_stop_the_chain_and_none_is_forgotten(
    checkout: Checkout,
) -> None:
    """Each step plans anew, and one before it set all of them aside."""
    results = checkout.folder / "results/toy"
    damaged = [
        "curves/0.parquet",
        "clean/runs.parquet",
        "fits/ash/envelope.json",
        "figures/ash/envelope.png",
    ]
    former = {name: (results / name).read_bytes() for name in damaged}
    for name in damaged[:2]:
        (results / name).write_bytes(b"x" + former[name][1:])
    done, ran = jobs_of(checkout)
    assert done.returncode == 0, done.stderr
    assert ran == {"ingest.0", "gather"}
    for name in damaged:
        (results / name).write_bytes(b"x" + former[name][1:])
    done, ran = jobs_of(checkout, "results/toy/figures/ash/envelope.png")
    assert done.returncode == 0, done.stderr
    # The figure shows no number that the decision refuses, so that it needs it, and it the audit.
    needed = {"fit_envelope.ash", "audit.ash", "decide", "figure_envelope.ash"}
    assert ran == {"ingest.0", "gather", *needed}
    assert {name: (results / name).read_bytes() for name in damaged} == former


def test_a_step_that_fails_ends_the_run(checkout: Checkout) -> None:
    log = checkout.folder / "data/toy/logs/ash-1e+15-3.jsonl"
    log.write_text("{ broken\n" + log.read_text())
    done, ran = jobs_of(checkout)
    assert done.returncode == 1
    assert done.stderr.count("flopline: ") == 1, done.stderr
    assert "ash-1e+15-3.jsonl" in done.stderr
    # Broken rows are counted by their shard and stop the run where all shards meet.
    assert ran == {"ingest.0", "clean.0", "gather"}


@pytest.mark.parametrize("argument", ["--dry-run", "--unlock"])
def test_what_is_no_run_is_handed_to_snakemake(checkout: Checkout, argument: str) -> None:
    done, ran = jobs_of(checkout, argument)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert ran == set()


def test_a_forced_job_runs_once(checkout: Checkout) -> None:
    done, ran = jobs_of(checkout, "--forceall", "--until", "ingest")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("] ingest.0 ") == 1
    assert ran == {"ingest.0", "ingest.1"}


def test_what_cannot_be_planned_is_said_once(checkout: Checkout) -> None:
    (checkout.folder / "data/toy/runs.csv").unlink()
    done, ran = jobs_of(checkout)
    assert done.returncode == 1
    assert done.stderr.count("flopline: ") == 1, done.stderr
    assert ran == set()
