"""How many jobs a large study hands in, of the true graph to a scheduler that only counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.workflow

# Takes the place of sbatch: writes down what it is given and leaves every output empty.
SBATCH = f"""#!{sys.executable}
import json
import re
import sys
from pathlib import Path

by_rule = json.loads(Path("outputs.json").read_text())
command = Path(sys.argv[-1]).read_text()
jobs = re.search(r"--target-jobs (.*?) --", command)[1].replace("'", "").split()
made = []
for job in jobs:
    rule, _, wildcards = job.partition(":")
    values = [pair.partition("=")[2] for pair in wildcards.split(",")]
    made += [file for file in by_rule[rule] if set(values) <= set(re.split("[/.]", file))]
    made.append(f"results/large/benchmarks/{{'.'.join([rule, *values[1:]])}}.tsv")
for output in map(Path, made):
    output.parent.mkdir(parents=True, exist_ok=True)
    output.touch() if output.suffix else output.mkdir()
with open("submitted.jsonl", "a") as log:
    log.write(json.dumps({{"jobs": jobs, "outputs": made}}) + "\\n")
print(1)
"""
SCONTROL = "#!/bin/sh\necho 'JobId=1 JobState=COMPLETED'\n"


def grid(sizes: int, budgets: int) -> dict[str, object]:
    """A family of sizes x budgets simulated runs."""
    return {
        "law": {"E": 1.8, "A": 120.0, "B": 300.0, "alpha": 0.34, "beta": 0.33},
        "design": {
            "params": [1e6 * (1 + size) for size in range(sizes)],
            "tokens": [1e9 * (1 + budget) for budget in range(budgets)],
        },
    }


def submitted(checkout: Checkout, shards: int, sizes: int) -> list[dict[str, list[str]]]:
    """What a study of 2 x `sizes` x 50 runs hands in through the generic profile."""
    families = {"ash": grid(sizes, 50), "birch": grid(sizes, 50)}
    study = {
        "title": "Large (synthetic)",
        "source": {"kind": "simulate", "seed": 1, "rows": 2, "families": families, "shards": shards}
        | {"noise": {"run": 0.0, "row": 0.0}},
        "families": {family: family.title() for family in families},
        "params_convention": "total",
        "flops_convention": "six_nd",
        "targets": [1e21],
    }
    (checkout.folder / "config/studies/large.yaml").write_text(yaml.safe_dump(study))
    # There is no decision in empty files.
    checkout.edit("Snakefile", "    CONSOLE.stop(last_words())", "    pass")
    summary = checkout.snakemake("--summary", study="large")
    assert summary.returncode == 0, summary.stderr
    outputs: dict[str, list[str]] = {}
    for line in summary.stdout.splitlines()[1:]:
        file, _, rule, *_ = line.split("\t")
        outputs.setdefault(rule, []).append(file)
    (checkout.folder / "outputs.json").write_text(json.dumps(outputs))
    programs = checkout.folder / "programs"
    programs.mkdir()
    for name, text in {"sbatch": SBATCH, "scontrol": SCONTROL}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--profile", "profiles/cluster-generic",
         "--seconds-between-status-checks", "1", "--latency-wait", "5", "--config", "study=large"],
        cwd=checkout.folder, capture_output=True, text=True, check=False, timeout=600,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}",
             "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (checkout.folder / "submitted.jsonl").open()]


@pytest.mark.slow
def test_study_of_5000_runs_is_fifteen_jobs(tmp_path: Path) -> None:
    jobs = submitted(Checkout.fresh(tmp_path / "repo"), shards=100, sizes=50)
    outputs = [output for job in jobs for output in job["outputs"]]
    logs = [output for output in outputs if "/simulated/logs/" in output]
    shards = [output for output in outputs if output.endswith(".runs.parquet")]
    assert (len(logs), len(shards)) == (5000, 2 * 100)
    assert "results/large/report.html" in outputs
    # The simulation; ten times ten shards, read and cleaned; their union; two families; the end.
    assert len(jobs) == 1 + 10 + 1 + 2 + 1
    assert len(outputs) == len(set(outputs))


def test_the_groups_of_a_profile_hold_all_rules() -> None:
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    rules = {
        line.split()[1].rstrip(":")
        for file in (ROOT / "workflow/rules").glob("*.smk")
        for line in map(str.strip, file.read_text().splitlines())
        if line.startswith("rule ")
    }
    # Two are single jobs anyway; audits, as fits and figures, say of themselves where they belong.
    assert set(profile["groups"]) == rules - {"gather", "simulate", "audit"}
