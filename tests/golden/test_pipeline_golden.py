"""Published numbers out of the pipeline's own result files, from study files a user would write."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import ROOT
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.workflow


OLMO_PARAMS = {
    "190M": 190354176,
    "370M": 371262464,
    "760M": 758220288,
    "1B": 1279395840,
    "3B": 3169537280,
    "peteish7": 6887575552,
    "peteish13": 13202396160,
}
"""Non-embedding counts of the OLMo models, which the names of their files round."""
FEW_DRAWS = """
bootstrap: {draws: 200}
parametric: {variant_draws: 20}
audit: {ladder_draws: 20}
"""


def results(
    folder: Path,
    real_data: Path,
    name: str,
    lines: int = 30,
    also: str = "",
    tables: dict[str, str] | None = None,
    only: tuple[str, ...] = (),
) -> Path:
    """Run tests/studies/<name>.yaml through the whole road; the folder of its results.

    With `only` the road goes no further than to these results.
    """
    text = (ROOT / f"tests/studies/{name}.yaml").read_text()
    assert len(text.splitlines()) < lines
    text += also
    checkout = Checkout.fresh(folder / "repo")
    study = checkout.folder / f"config/studies/{name}.yaml"
    study.write_text(text.replace("../shared/data", str(real_data)))
    for table, content in (tables or {}).items():
        (checkout.folder / table).write_text(content)
    done = checkout.snakemake(*(f"results/{name}/{result}" for result in only), study=name)
    assert done.returncode == 0, done.stderr
    return checkout.folder / "results" / name


def fit(folder: Path, family: str, law: str) -> dict[str, Any]:
    return json.loads((folder / "fits" / family / f"{law}.json").read_text())


def point(fit: dict[str, Any], name: str) -> float:
    return fit["parameters"][name]["point"]


def test_chinchilla(tmp_path: Path, real_data: Path) -> None:
    folder = results(tmp_path, real_data, "chinchilla", also=FEW_DRAWS, only=("decision.csv",))
    runs = pd.read_parquet(folder / "clean/runs.parquet")
    assert runs["status"].value_counts().to_dict() == {"kept": 240, "quarantined": 5}
    assert (
        runs.loc[runs["status"] == "quarantined", "loss"].min()
        >= runs["loss"].sort_values().iloc[-5]
    )
    parametric = fit(folder, "chinchilla", "parametric")
    assert parametric["certificate"]["objective"] == pytest.approx(0.00101827402, rel=5e-9)
    assert point(parametric, "E") == pytest.approx(1.81721, abs=1e-5)
    assert point(parametric, "A") == pytest.approx(477.83, abs=5e-3)
    assert point(parametric, "B") == pytest.approx(2143.4, abs=0.05)
    assert point(parametric, "alpha") == pytest.approx(0.347311, abs=1e-6)
    assert point(parametric, "beta") == pytest.approx(0.367172, abs=1e-6)
    assert point(parametric, "a") == pytest.approx(0.513900, abs=1e-6)
    lines = pd.read_csv(folder / "decision.csv").set_index(["law", "estimator"])
    assert lines.query("law == 'parametric' and main").index.tolist() == [("parametric", "tied")]
    decision = lines.loc[("parametric", "chinchilla")]  # the published form is always shown
    assert decision["params"] == pytest.approx(73.2e9, abs=0.05e9)
    assert decision["tokens_per_param"] == pytest.approx(17.9, abs=0.05)
    isoflop = fit(folder, "chinchilla", "isoflop")
    assert isoflop["certificate"]["budgets_used"] == 9
    bottoms = pd.read_parquet(folder / "fits/chinchilla/isoflop.vertices.parquet")["loss"]
    listed = [3.02, 2.92, 2.73, 2.62, 2.55, 2.40, 2.33, 2.29, 2.21]
    # The list reads the lowest points off the data, the vertex is where the parabola bottoms out.
    assert bottoms.tolist() == pytest.approx(listed, abs=0.025)


def test_olmo(tmp_path: Path, real_data: Path) -> None:
    logs = sorted((real_data / "olmo_ladder/ladder-runs").glob("*.csv"))
    names = {log.stem for log in logs} | {f"peteish{n}_eval" for n in ("7", "7_medlr", "13")}
    table = [f"{name},{OLMO_PARAMS[re.split('[-_]', name)[0]]}" for name in sorted(names)]
    pieces = [n for n in names if re.search(r"_[0-9]+k-", n)]
    table = [row for row in table if row.split(",")[0] not in pieces]
    folder = results(
        tmp_path,
        real_data,
        "olmo",
        40,
        FEW_DRAWS,
        {"olmo_runs.csv": "\n".join(["run,params", *table]) + "\n"},
    )
    runs = pd.read_parquet(folder / "clean/runs.parquet").set_index("run")
    assert runs["status"].value_counts().to_dict() == {
        "kept": 30,
        "quarantined": 6,
        "held_out": 2,
    }
    assert (runs["rows_in"] == runs["rows_kept"] + runs["rows_dropped"]).all()
    # The resumed pieces are one curve, the same as the file that holds all of it.
    curves = pd.read_parquet(folder / "clean/curves")
    columns = ["split", "step", "tokens", "loss"]
    stitched, full = (
        curves[curves["run"] == f"peteish7_medlr_eval{end}"].astype({"split": str})[columns]
        for end in ("", "_full")
    )
    assert len(full) == 2 * 98
    pd.testing.assert_frame_equal(
        stitched.reset_index(drop=True), full.reset_index(drop=True), check_exact=True
    )
    # The noise of seeds, as upstream's own reruns of each size have it.
    audit = folder / "audit/olmo"
    seeds = pd.read_parquet(audit / "tables/hygiene.seeds.parquet")
    assert seeds["params"].tolist() == sorted(OLMO_PARAMS.values())[:5]
    apart = [0.001054, 0.000589, 0.000914, 0.000467, 0.000624]
    assert seeds["range_loss"].tolist() == pytest.approx(apart, abs=5e-7)
    findings = {f["audit"]: f for f in json.loads((audit / "findings.json").read_text())}
    assert (
        "the losses of a group lie 0.00047 to 0.0011 nats apart" in findings["hygiene"]["sentence"]
    )
    # No fit sees the 7B and the 13B.
    fitted = fit(folder, "olmo", "parametric")
    assert fitted["n_runs"] == 30
    points = pd.read_parquet(folder / "fits/olmo/parametric.points.parquet")
    assert points["params"].max() == OLMO_PARAMS["3B"]
    told = pd.read_parquet(audit / "tables/held_out.predictions.parquet")
    main = told[told["estimator"] == "chinchilla"].set_index("run")
    assert main.index.tolist() == ["peteish7_eval_anneal", "peteish13_eval_full"]
    assert main["seen"].tolist() == pytest.approx([2.482918, 2.437582], abs=5e-7)
    law = {name: point(fitted, name) for name in ("E", "A", "B", "alpha", "beta")}
    by_hand = [
        law["E"] + law["A"] / n ** law["alpha"] + law["B"] / d ** law["beta"]
        for n, d in zip(main["params"], main["tokens"], strict=True)
    ]
    assert main["predicted"].tolist() == pytest.approx(by_hand, rel=1e-9)
    assert main["error_percent"].tolist() == pytest.approx([0.021, -0.412], abs=0.002)
    # The ladder prefers a power of what lies above the floor, which misses the 13B by more.
    of_study = told.drop_duplicates("run")
    assert of_study["estimator"].tolist() == ["skaling", "skaling"]
    assert of_study["error_percent"].tolist() == pytest.approx([0.24, -1.05], abs=0.02)
    assert of_study["inside95"].tolist() == ["yes", "no"]
    # A law without a floor goes wrong beyond the runs, though it fits them.
    without_floor = told[told["estimator"] == "kaplan"]["error_percent"].tolist()
    assert without_floor == pytest.approx([-2.44, -5.60], abs=0.02)
    page = "".join((folder / f"{name}.html").read_text() for name in ("report", "appendix"))
    assert "Do the laws predict the runs held out?" in page
    assert "30 runs kept, 6 quarantined, 2 held out" in page


def test_gemstones(tmp_path: Path, real_data: Path) -> None:
    wanted = ("fits/gemstones/parametric.json",)
    folder = results(tmp_path, real_data, "gemstones", also=FEW_DRAWS, only=wanted)
    parametric = fit(folder, "gemstones", "parametric")
    assert parametric["n_points"] == 220
    assert parametric["certificate"]["objective"] == pytest.approx(1.981613e-3, abs=5e-10)
    assert point(parametric, "alpha") == pytest.approx(0.2929, abs=5e-5)
    assert point(parametric, "beta") == pytest.approx(0.7130, abs=5e-5)
    assert math.log(point(parametric, "A")) == pytest.approx(5.3617, abs=5e-5)
    assert math.log(point(parametric, "B")) == pytest.approx(15.4185, abs=5e-5)
    assert math.log(point(parametric, "E")) == pytest.approx(0.7623, abs=5e-5)


def test_gemstones_envelope(tmp_path: Path, real_data: Path) -> None:
    wanted = ("fits/gemstones/envelope.json",)
    folder = results(tmp_path, real_data, "gemstones_envelope", also=FEW_DRAWS, only=wanted)
    envelope = fit(folder, "gemstones", "envelope")
    assert point(envelope, "a") == pytest.approx(0.499380, abs=5e-7)
    assert math.log(point(envelope, "N_coef")) == pytest.approx(-2.8451, abs=5e-5)
    assert point(envelope, "b") == pytest.approx(0.480989, abs=5e-7)
    assert math.log(point(envelope, "D_coef")) == pytest.approx(1.8963, abs=5e-5)
