"""What reruns after which change: the exact set of jobs, told by real Snakemake."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from tests.workflow.conftest import AFTER_CLEAN, AUDIT, END, FIGURES, PARTS, Checkout

pytestmark = pytest.mark.workflow

LOG = "data/toy/logs/ash-1e+15-3.jsonl"
# With time stamps of the files that they tell of.
NOTES = (".digests.json", ".outputs.json")


@pytest.fixture
def checkout(finished: Checkout, tmp_path: Path) -> Checkout:
    return finished.copy(tmp_path / "repo")


def test_second_run_does_nothing(checkout: Checkout) -> None:
    assert checkout.planned() == {}


def test_touching_logs_reruns_nothing(checkout: Checkout) -> None:
    for log in checkout.folder.glob("data/toy/logs/*"):
        os.utime(log)
    assert checkout.planned() == {}


def test_rewriting_a_log_with_the_same_bytes_reruns_nothing(checkout: Checkout) -> None:
    log = checkout.folder / LOG
    content = log.read_bytes()
    log.unlink()
    log.write_bytes(content)
    assert checkout.planned() == {}


def test_changed_log_reruns_its_shard_and_all_below(checkout: Checkout) -> None:
    with (checkout.folder / LOG).open("a") as stream:
        stream.write('{"step": 21, "tokens": 1e99, "loss": 2.0}\n')
    assert checkout.planned() == {"ingest": 1, "clean": 1, "gather": 1} | AFTER_CLEAN


def test_changed_log_under_its_old_time_stamp_is_seen(checkout: Checkout) -> None:
    log = checkout.folder / LOG
    before = log.stat()
    content = log.read_text()
    log.write_text(content.replace('"lr": 0.001', '"lr": 0.002'))
    os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert log.stat().st_size == before.st_size
    assert checkout.planned() == {"ingest": 1, "clean": 1, "gather": 1} | AFTER_CLEAN


def test_changed_run_table_does_not_reread_logs(checkout: Checkout) -> None:
    checkout.edit("data/toy/runs.csv", "ash-1e+15-3,logs/ash-1e+15-3.jsonl,ash",
                  "ash-1e+15-3,logs/ash-1e+15-3.jsonl,birch")  # fmt: skip
    assert checkout.planned() == {"clean": 1, "gather": 1} | AFTER_CLEAN


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        (
            "config/config.yaml",
            "min_sizes: 4",
            "min_sizes: 5",
            {"fit_isoflop": 2, "figure_isoflop": 2} | AUDIT | END,
        ),
        (
            "config/config.yaml",
            "huber_delta: 0.001",
            "huber_delta: 0.002",
            {"fit_parametric": 2, "figure_surface": 1} | AUDIT | END,
        ),
        (
            "config/config.yaml",
            "bins: 1500",
            "bins: 1400",
            {"fit_envelope": 2, "figure_envelope": 2} | AUDIT | END,
        ),
        ("config/config.yaml", "ladder_draws: 200", "ladder_draws: 150", AUDIT | END),
        ("config/config.yaml", "seed: 20221", "seed: 20222", AFTER_CLEAN),
        ("config/config.yaml", "fitted_surface: true", "fitted_surface: false",
         {"figure_surface": 1, "report": 1}),
        ("config/config.yaml", "diverged: 0.2", "diverged: 0.3", {"gather": 1} | AFTER_CLEAN),
        ("config/config.yaml", "overlap_tolerance: 0.02", "overlap_tolerance: 0.03",
         {"clean": 2, "gather": 1} | AFTER_CLEAN),
        ("config/config.yaml", "# Run-wide options.", "# All options.", {}),
        ("config/studies/toy.yaml", "title: Toy study", "title: Another study", {"report": 1}),
        ("config/studies/toy.yaml", "ash: Ash", "ash: White ash", FIGURES | END),
    ],
)  # fmt: skip
def test_changed_option_reruns_what_uses_it(
    checkout: Checkout, path: str, old: str, new: str, expected: dict[str, int]
) -> None:
    checkout.edit(path, old, new)
    assert checkout.planned() == expected


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("fits/isoflop.py", {"fit_isoflop": 2, "figure_isoflop": 2} | AUDIT | END),
        ("fits/envelope.py", {"fit_envelope": 2, "figure_envelope": 2} | AUDIT | END),
        ("fits/parametric.py", {"fit_parametric": 2, "figure_surface": 1} | AUDIT | END),
        ("fits/bootstrap.py", AFTER_CLEAN),
        ("clean/stitching.py", {"clean": 2, "gather": 1} | AFTER_CLEAN),
        ("clean/gather.py", {"gather": 1} | AFTER_CLEAN),
        ("logs/jsonl.py", {"ingest": 2, "clean": 2, "gather": 1} | AFTER_CLEAN),
        ("figures/surface.py", {"figure_surface": 1, "report": 1}),
        ("figures/isoflop.py", {"figure_isoflop": 2, "report": 1}),
        ("figures/style.py", FIGURES | {"report": 1}),
        ("decision.py", END),
        ("audit/ladder.py", AUDIT | END),
        ("laws/tied.py", {"fit_parametric": 2, "figure_surface": 1} | AUDIT | END),
        ("fits/forms.py", {"fit_parametric": 2, "figure_surface": 1} | AUDIT | END),
        ("report/page.py", {"report": 1}),
        ("study.py", {}),
    ],
)
def test_edited_module_reruns_the_rules_that_import_it(
    checkout: Checkout, module: str, expected: dict[str, int]
) -> None:
    file = checkout.folder / "workflow/flopline" / module
    file.write_text(file.read_text() + "\n# A comment changes nothing.\n")
    assert checkout.planned() == {}
    file.write_text(file.read_text() + "\nUNUSED_NAME_OF_THIS_TEST = 1\n")
    assert checkout.planned() == expected


def test_edited_published_law_reruns_what_compares_with_it(checkout: Checkout) -> None:
    checkout.edit("workflow/flopline/laws/published.toml", "beta = 0.3658", "beta = 0.3659")
    assert checkout.planned() == AUDIT | END
    checkout.edit("workflow/flopline/laws/published.toml", "beta = 0.3659", "beta = 0.3658")
    assert checkout.planned() == {}


def test_edited_script_and_template(checkout: Checkout) -> None:
    checkout.edit("workflow/report/page.html.j2", "</main>", "</main><!-- new -->")
    assert checkout.planned() == {"report": 1}
    checkout.edit("workflow/report/page.html.j2", "</main><!-- new -->", "</main>")
    assert checkout.planned() == {}
    checkout.edit("workflow/scripts/decide.py", "lines", "rows")
    assert checkout.planned() == END


def test_fresh_checkout_over_old_results_reruns_nothing(checkout: Checkout) -> None:
    time.sleep(1.1)
    for part in PARTS:
        target = checkout.folder / part
        for file in target.rglob("*") if target.is_dir() else [target]:
            if file.is_file():
                os.utime(file)
    assert checkout.planned() == {}


def test_killed_between_stages_is_noticed(checkout: Checkout) -> None:
    """A stage that ran while those below it did not must not leave stale results."""
    checkout.edit("config/config.yaml", "min_sizes: 4", "min_sizes: 7")
    only = checkout.snakemake("--until", "fit_isoflop")
    assert only.returncode == 0, only.stderr
    assert checkout.planned() == {"figure_isoflop": 2} | AUDIT | END


def test_added_run_reruns_one_shard(checkout: Checkout) -> None:
    folder = checkout.folder / "data/toy"
    shutil.copy(folder / "logs/ash-1e+15-3.jsonl", folder / "logs/ash-extra.jsonl")
    table = folder / "runs.csv"
    row = next(r for r in table.read_text().splitlines() if r.startswith("ash-1e+15-3"))
    table.write_text(table.read_text() + row.replace("ash-1e+15-3", "ash-extra") + "\n")
    assert checkout.planned() == {"ingest": 1, "clean": 1, "gather": 1} | AFTER_CLEAN


def test_results_are_byte_identical_between_runs(finished: Checkout, tmp_path: Path) -> None:
    again = finished.copy(tmp_path / "repo")
    shutil.rmtree(again.folder / "results")
    done = again.snakemake("--cores", "2")
    assert done.returncode == 0, done.stderr
    kept = sorted(
        p.relative_to(finished.folder)
        for p in (finished.folder / "results/toy").rglob("*")
        if p.is_file() and not {"logs", "benchmarks"} & set(p.parts) and p.name not in NOTES
    )
    assert len(kept) > 20
    different = [
        str(p)
        for p in kept
        if (finished.folder / p).read_bytes() != (again.folder / p).read_bytes()
    ]
    assert different == []
