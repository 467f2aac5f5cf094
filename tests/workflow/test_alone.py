"""One script under the debugger, as CONTRIBUTING.md says: with the job that Snakemake gives it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.workflow

FIT = "results/toy/fits/ash/isoflop.json"


def alone(checkout: Checkout, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """What a person sees who types these lines at the prompt."""
    return subprocess.run(
        [sys.executable, "workflow/alone.py", *words, "study=toy"],
        cwd=checkout.folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        input=typed,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_script_runs_under_pdb_with_its_job_and_leaves_its_results(
    finished: Checkout, tmp_path: Path
) -> None:
    checkout = finished.copy(tmp_path / "repo")
    before = (checkout.folder / FIT).read_bytes()
    typed = "p snakemake.wildcards.family, snakemake.params.study['targets']\nc\nq\n"
    done = alone(checkout, "fit_isoflop", "family=ash", typed=typed)
    assert done.returncode == 0, done.stderr
    # The first prompt stands at the first line of the script, below what Snakemake puts above it.
    (script,) = set(re.findall(r"/scripts/tmp\w+\.(\w+\.py)\(\d+\)<module>", done.stdout))
    first = (checkout.folder / "workflow/scripts" / script).read_text().splitlines()[0]
    assert done.stdout.splitlines()[1] == f"-> {first}"
    assert "('ash', [1e+18, 1e+19])" in done.stdout
    assert (checkout.folder / FIT).read_bytes() == before
    assert checkout.planned() == {}


def test_the_prompt_stands_where_an_error_arose(finished: Checkout, tmp_path: Path) -> None:
    checkout = finished.copy(tmp_path / "repo")
    checkout.edit(
        "workflow/flopline/points.py",
        "def final_points(",
        "def final_points(runs, family):\n    raise ValueError(family)\n\n\ndef other(",
    )
    done = alone(checkout, "fit_isoflop", "family=ash", typed="c\np 2 * family\nq\n")
    assert "ValueError: ash" in done.stderr
    assert "'ashash'" in done.stdout


def test_a_job_that_there_is_not_is_one_sentence(finished: Checkout) -> None:
    for words, sentence in (
        (["fit_isoflops"], "flopline: no job of this study is called 'fit_isoflops': choose one"),
        (["fit_isoflop", "family=oak"], "flopline: no job of fit_isoflop is that of oak"),
    ):
        done = alone(finished, *words)
        assert done.returncode == 1
        assert done.stderr.startswith(sentence)
