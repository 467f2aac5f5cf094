"""Simulated studies on real Snakemake: what reruns, what outputs say, and the shipped pair."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.colors import to_hex

from flopline.figures.surface_figure import color_map
from flopline.study import read_yaml
from flopline.surfaces.chinchilla import PARAMETERS
from tests.builders.decision_misfits import misfits
from tests.workflow.conftest import AFTER_CLEAN, ALL_FITS, PAGE, Checkout, once_a_session

pytestmark = pytest.mark.workflow

STUDY = {
    "title": "Simulated pair",
    "source": {
        "kind": "simulate",
        "seed": 5,
        "rows": 25,
        "noise": {"run": 0.001, "row": 0.0005},
        "families": {
            family: {
                "law": {"E": e, "A": 120.0, "B": 300.0, "alpha": 0.34, "beta": 0.33},
                "design": {"budgets": [1e15, 1e16, 1e17, 1e18], "sizes": 7, "factor": 5.0},
            }
            for family, e in {"ash": 1.8, "birch": 1.9}.items()
        },
        "shards": 2,
    },
    "families": {"ash": "Ash", "birch": "Birch"},
    "params_convention": "total",
    "flops_convention": "six_nd",
    "targets": [1e19],
    "bootstrap": {"draws": 100},
    "parametric": {"variant_draws": None},
    "audit": {"ladder_draws": 20},
    "envelope": {"smoothing_steps": 0},
    "figures": {"formats": []},
}
BELOW_SIMULATE = {"ingest": 2, "clean": 2, "gather": 1} | AFTER_CLEAN
ALL = {"simulate": 1} | BELOW_SIMULATE


def change(checkout: Checkout, alter: Callable[[dict[str, Any]], None]) -> None:
    path = checkout.folder / "config/studies/sim.yaml"
    study = yaml.safe_load(path.read_text())
    alter(study)
    path.write_text(yaml.safe_dump(study, sort_keys=False))


def planned(checkout: Checkout) -> dict[str, int]:
    return checkout.planned(study="sim")


def run_simulation(folder: Path) -> None:
    checkout = Checkout.fresh(folder)
    (checkout.folder / "config/studies/sim.yaml").write_text(yaml.safe_dump(STUDY))
    done = checkout.snakemake(study="sim")
    assert done.returncode == 0, done.stderr
    (checkout.folder / "said.txt").write_text(done.stderr)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout whose simulated study has run to its end; copy it before changing anything."""
    return Checkout(once_a_session(tmp_path_factory, "simulated", run_simulation))


@pytest.fixture
def checkout(simulated: Checkout, tmp_path: Path) -> Checkout:
    return simulated.copy(tmp_path / "repo")


def texts(svg: Path) -> Counter[str]:
    """The texts of a figure and how often each is drawn; letters are paths, named in comments."""
    return Counter(re.findall(r"<!-- (.*?) -->", svg.read_text()))


def logs(checkout: Checkout) -> dict[str, bytes]:
    folder = checkout.folder / "results/sim/simulated/logs"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_raw_files_are_what_a_lab_would_have(simulated: Checkout) -> None:
    raw = simulated.folder / "results/sim/simulated"
    table = pd.read_csv(raw / "runs.csv")
    assert sorted(table["log"]) == sorted(f"logs/{name}" for name in logs(simulated))
    assert table["family"].value_counts().to_dict() == {"ash": 28, "birch": 28}
    rows = [json.loads(line) for line in (raw / table["log"][0]).read_text().splitlines()]
    assert len(rows) == 25
    assert rows[-1]["tokens"] == table["horizon_tokens"][0]
    assert set(rows[0]) == {"step", "tokens", "loss"}
    runs = pd.read_parquet(simulated.folder / "results/sim/clean/runs.parquet")
    assert (runs["status"] == "kept").all()
    np.testing.assert_allclose(runs["flops"], 6 * runs["params"] * runs["tokens"], rtol=1e-15)
    np.testing.assert_allclose(runs["flops"], runs["budget_flops"], rtol=1e-6)
    assert runs["source"].str.startswith("results/sim/simulated/").all()


def test_every_output_says_synthetic(simulated: Checkout) -> None:
    results = simulated.folder / "results/sim"
    figures = sorted(results.glob("figures/**/*.svg"))
    # Two laws, what they say, miss and waste, and three audits of each family; three of both.
    assert len(figures) == 2 * (2 + 4 + 3) + 3
    silent = [str(f) for f in figures if texts(f)["synthetic data"] != 1]
    assert silent == []
    pages = [(results / name).read_text() for name in ("report.html", "appendix.html")]
    assert [page.count('<p class="banner"') for page in pages] == [1, 1]
    page = "".join(pages)
    assert page.count("Synthetic data. ") >= len(figures)
    assert "Every run is synthetic" in page
    assert "No input file: the study is made by the configuration alone." in page
    assert pd.read_csv(results / "decision.csv")["synthetic"].all()
    decision = json.loads((results / "decision.json").read_text())
    assert decision["synthetic"] is True
    assert misfits(decision) == []
    for table in results.glob("latex/*.tex"):
        assert "Synthetic data" in table.read_text(), table
    assert "synthetic" in (results / "methods/methods.txt").read_text()
    with zipfile.ZipFile(results / "sim-review.zip") as archive:
        assert b"SYNTHETIC DATA" in archive.read("sim-review/README.txt")
        assert pd.read_csv(archive.open("sim-review/data/runs.csv"))["synthetic"].all()
    printed = (simulated.folder / "said.txt").read_text()
    # Three of the answer, one each of the law, its reach and other laws; why the families are not
    # ranked, and the other one.
    assert printed.count("[synthetic data] ") == 8
    assert "all synthetic" in printed


def test_read_studies_do_not_say_synthetic(finished: Checkout) -> None:
    results = finished.folder / "results/toy"
    for figure in results.glob("figures/**/*.svg"):
        assert "synthetic" not in figure.read_text()
    for name in ("report.html", "appendix.html"):
        assert '<p class="banner"' not in (results / name).read_text()
    assert not pd.read_csv(results / "decision.csv")["synthetic"].any()
    for table in results.glob("latex/*.tex"):
        assert "Synthetic data" not in table.read_text(), table
    with zipfile.ZipFile(results / "toy-review.zip") as archive:
        assert b"SYNTHETIC DATA" not in archive.read("toy-review/README.txt")


def test_second_run_does_nothing(checkout: Checkout) -> None:
    assert planned(checkout) == {}


def set_noise(study: dict[str, Any]) -> None:
    study["source"]["noise"]["row"] = 0.0006


def set_law(study: dict[str, Any]) -> None:
    study["source"]["families"]["ash"]["law"]["A"] = 121.0


def set_seed(study: dict[str, Any]) -> None:
    study["source"]["seed"] = 6


def set_shards(study: dict[str, Any]) -> None:
    study["source"]["shards"] = 1


def set_title(study: dict[str, Any]) -> None:
    study["title"] = "Another title"


def set_target(study: dict[str, Any]) -> None:
    study["targets"] = [2e19]


@pytest.mark.parametrize(
    ("alter", "expected"),
    [
        (set_noise, ALL),
        (set_law, ALL),
        (set_seed, ALL),
        (set_shards, BELOW_SIMULATE | {"ingest": 1, "clean": 1}),
        (set_title, {"latex": 1} | PAGE),
        (set_target, ALL_FITS),
    ],
)
def test_changed_key_reruns_what_uses_it(
    checkout: Checkout, alter: Callable[[dict[str, Any]], None], expected: dict[str, int]
) -> None:
    change(checkout, alter)
    assert planned(checkout) == expected


def test_edited_code_of_the_simulation_reruns_it(checkout: Checkout) -> None:
    module = checkout.folder / "workflow/flopline/simulation.py"
    module.write_text(module.read_text() + "\n# A comment changes nothing.\n")
    assert planned(checkout) == {}
    module.write_text(module.read_text() + "\nUNUSED_NAME_OF_THIS_TEST = 1\n")
    assert planned(checkout) == ALL


def test_killed_after_the_simulation_is_noticed(checkout: Checkout) -> None:
    """New raw logs under old results must not be taken for what these were made of."""
    change(checkout, set_noise)
    only = checkout.snakemake("--until", "simulate", study="sim")
    assert only.returncode == 0, only.stderr
    assert planned(checkout) == BELOW_SIMULATE


def test_added_and_removed_runs_change_no_other(checkout: Checkout) -> None:
    before = logs(checkout)

    def add(study: dict[str, Any]) -> None:
        study["source"]["families"]["ash"]["design"]["budgets"].append(1e14)

    def remove(study: dict[str, Any]) -> None:
        study["source"]["families"]["ash"]["design"]["budgets"] = [1e16, 1e17, 1e18]

    for alter, count in ((add, 63), (remove, 49)):
        change(checkout, alter)
        assert planned(checkout) == ALL
        done = checkout.snakemake("--until", "simulate", study="sim")
        assert done.returncode == 0, done.stderr
        after = logs(checkout)
        assert len(after) == count
        assert all(after[name] == before[name] for name in set(after) & set(before))


def test_logs_are_byte_identical_between_runs(simulated: Checkout, tmp_path: Path) -> None:
    again = simulated.copy(tmp_path / "repo")
    shutil.rmtree(again.folder / "results")
    done = again.snakemake("--until", "simulate", study="sim")
    assert done.returncode == 0, done.stderr
    assert logs(again) == logs(simulated)


def test_mistake_in_a_design_is_one_sentence(checkout: Checkout) -> None:
    def alter(study: dict[str, Any]) -> None:
        del study["source"]["families"]["birch"]["design"]["factor"]

    change(checkout, alter)
    done = checkout.snakemake(study="sim")
    assert done.returncode == 1
    printed = [line for line in done.stderr.splitlines() if line.startswith("flopline: ")]
    assert len(printed) == 1
    assert "config/studies/sim.yaml: source.families.birch.design has the keys" in printed[0]


@pytest.mark.slow
@pytest.mark.slow
def test_nmm_draws_the_published_pair_and_recovers_both_laws(tmp_path: Path) -> None:
    """Golden: after Shukor et al. 2025 (arXiv 2504.07951), Fig. 2, on its stand-in surfaces."""
    checkout = Checkout.fresh(tmp_path / "repo")
    done = checkout.snakemake(study="nmm")
    assert done.returncode == 0, done.stderr
    results = checkout.folder / "results/nmm"
    simulated = read_yaml(checkout.folder / "config/studies/nmm.yaml")["source"]["families"]
    for family, given in simulated.items():
        fit = json.loads((results / f"fits/{family}/parametric.json").read_text())
        assert (fit["status"], fit["n_runs"]) == ("converged", 64)
        for name in PARAMETERS:
            interval = fit["parameters"][name]
            assert interval["lo95"] <= given["law"][name] <= interval["hi95"], (family, name)
        # Two exponents that differ between the panels must not be lost in their own intervals.
        for name in ("alpha", "beta"):
            interval = fit["parameters"][name]
            assert interval["hi95"] - interval["lo95"] < 0.08
    drawn = texts(results / "figures/surface.svg")
    for text in ("Early fusion", "Late fusion", "synthetic data"):
        assert drawn[text] == 1
    for tick in ("300M", "1B", "3B", "200B", "500B", "2.6", "2.8", "3.0", "1e20", "1e22"):
        assert drawn[tick] == 2, tick
    figure = (results / "figures/surface.svg").read_text()
    for colours in ("warm", "cool"):
        assert to_hex(color_map(colours)(1.0)) in figure
    assert '<p class="banner"' in (results / "report.html").read_text()
    assert pd.read_csv(results / "decision.csv")["synthetic"].all()
    assert checkout.planned(study="nmm") == {}
