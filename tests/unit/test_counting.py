"""Budgets spent as a study counts its FLOPs, where that is not 6ND."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

from flopline.audit import inference, regret
from flopline.audit.finding import draws_of, surface_of
from flopline.audit.next_run import Design
from flopline.audit.waste import wasted_at
from flopline.errors import FloplineError
from flopline.laws.common.counting import counted
from flopline.laws.isoflop import isoflop_fit
from flopline.laws.parametric import parametric_fit
from flopline.options import StudyOptions
from flopline.planner import at_budget, deviation, read_line
from flopline.report.planning import _numbers_of
from flopline.results import LawResults
from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.count import Count
from flopline.surfaces.loss_of_compute import LossOfCompute
from flopline.surfaces.surface import parameters

SURFACE = LossSurface(1.7, 400.0, 2000.0, 0.35, 0.37)
DYING = Count(1.0, 0.6 * 1e7**0.4, -0.4, 0.0)
POWERS = Count(0.0, 0.02, 0.1, 0.08)
COUNTS = (Count(0.0, 0.4, 0.0, 0.0), DYING, POWERS, Count(1.0, -8.0, -0.2, 0.0))
TARGET = 1e21


def grid(count: Count, noise: float = 0.0) -> pd.DataFrame:
    """Five budgets of nine sizes about the optimum, that cost what `count` says."""
    rng = np.random.default_rng(3)
    law = replace(SURFACE, count=count)
    budgets = np.repeat(np.geomspace(1e17, 1e19, 5), 9)
    params = law.params_opt(budgets) * np.tile(np.geomspace(0.3, 3.0, 9), 5)
    tokens = law.tokens_for(budgets, params)
    loss = law.loss(params, tokens) * np.exp(noise * rng.standard_normal(budgets.size))
    runs = [f"r{i:02}" for i in range(budgets.size)]
    table = {"run": runs, "params": params, "tokens": tokens, "flops": budgets, "loss": loss}
    return pd.DataFrame(table)


@pytest.mark.parametrize("count", COUNTS)
def test_the_optimum_is_that_of_a_search_along_the_budget(count: Count) -> None:
    law = replace(SURFACE, count=count)
    best = minimize_scalar(
        lambda ln_n: float(law.loss(np.exp(ln_n), law.tokens_for(TARGET, np.exp(ln_n)))),
        bounds=(np.log(1e7), np.log(1e12)),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert float(law.params_opt(TARGET)) == pytest.approx(np.exp(best.x), rel=1e-5)
    assert float(law.loss_opt(TARGET)) == pytest.approx(best.fun, rel=1e-12)
    spent = law.flops(law.params_opt(TARGET), law.tokens_opt(TARGET))
    assert float(spent) == pytest.approx(TARGET, rel=1e-12)


def test_a_count_that_is_six_nd_changes_nothing() -> None:
    same = replace(SURFACE, count=Count(1.0, 0.0, 0.0, 0.0))
    budgets = np.array([1e18, 1e22])
    np.testing.assert_allclose(same.params_opt(budgets), SURFACE.params_opt(budgets), rtol=1e-12)
    np.testing.assert_allclose(same.tokens_opt(budgets), SURFACE.tokens_opt(budgets), rtol=1e-12)


def test_a_count_is_no_parameter_of_a_law() -> None:
    assert parameters(LossSurface) == ("E", "A", "B", "alpha", "beta")


def test_the_waste_of_a_wrong_size_is_what_a_smaller_budget_would_do() -> None:
    law = replace(SURFACE, count=POWERS)
    for factor in (0.4, 1.7):
        params = factor * law.params_opt(TARGET)
        loss = float(law.loss(params, law.tokens_for(TARGET, params)))
        needed = float(LossOfCompute.frontier(law).flops_for(loss))
        wasted = float(wasted_at(law, TARGET, np.log(factor)))
        assert wasted == pytest.approx(1 - needed / TARGET, rel=1e-6)


def test_loss_of_compute_follows_the_count() -> None:
    law = replace(SURFACE, count=DYING)
    line = LossOfCompute.frontier(law)
    budgets = np.array([1e18, 1e21, 1e24])
    np.testing.assert_allclose(line.loss(budgets), law.loss_opt(budgets), rtol=1e-12)
    np.testing.assert_allclose(line.flops_for(law.loss_opt(budgets)), budgets, rtol=1e-9)


@pytest.mark.parametrize("count", COUNTS)
def test_the_law_of_the_ratio_is_found_in_the_runs(count: Count) -> None:
    counts = counted(grid(count), 20, 0, "parametric", "all")
    assert counts is not None
    law, truth = replace(SURFACE, count=counts.point), replace(SURFACE, count=count)
    for budget in (1e18, TARGET, 1e23):
        at = truth.params_opt(budget), truth.tokens_opt(budget)
        assert float(law.flops(*at)) == pytest.approx(budget, rel=2e-3)
    assert np.shape(counts.drawn.coef) == (20,)


def test_a_run_with_a_slip_does_not_turn_the_law_of_the_ratio() -> None:
    runs = grid(DYING)
    runs.loc[4, "flops"] *= 30
    counts = counted(runs, 0, 0, "parametric", "all")
    assert counts is not None
    assert float(counts.point.ratio(1e9, 1e10)) == pytest.approx(
        float(DYING.ratio(1e9, 1e10)), 0.01
    )


def test_runs_within_a_few_percent_of_six_nd_are_spent_as_six_nd() -> None:
    runs = grid(Count(0.0, 1.02, 0.0, 0.0))
    assert counted(runs, 10, 0, "parametric", "all") is None
    fit = parametric_fit.fit(runs, [TARGET], draws=0)
    assert "R_coef" not in fit.parameters
    assert fit.targets[0].values["flops_ratio"].point == pytest.approx(1.0)


@pytest.mark.parametrize("factor", [1e3, 1e-6])
def test_an_absurd_ratio_stops_every_law_in_one_sentence(factor: float) -> None:
    runs = grid(DYING).assign(flops=lambda t: t["flops"] * factor)
    for fit in (parametric_fit.fit, isoflop_fit.fit):
        with pytest.raises(FloplineError, match=r"times 6ND.*correct the unit") as refusal:
            fit(runs, [TARGET], draws=10)
        assert "run 'r" in str(refusal.value)


def test_laws_spend_the_budget_by_the_count() -> None:
    runs, truth = grid(DYING, 0.001), replace(SURFACE, count=DYING)
    for fit in (parametric_fit.fit, isoflop_fit.fit):
        result = fit(runs, [TARGET, 1e20], draws=200)
        for target in result.targets:
            n, d = (target.values[q] for q in ("params", "tokens"))
            cost = float(truth.flops(n.point, d.point))
            assert cost == pytest.approx(target.budget_flops, rel=1e-3)
            best = float(truth.params_opt(target.budget_flops))
            assert n.lo95 < best < n.hi95
        assert "budgets are spent as the study counts" in result.message.lower()
        assert result.parameters["R_N"].point == pytest.approx(-0.4, abs=1e-6)
    estimators = parametric_fit.fit(runs, [TARGET], draws=0, variant_draws=0).tables["estimators"]
    known = estimators[estimators["params"].notna()]
    spent = truth.flops(known["params"], known["tokens"])
    assert len(known) > 5
    np.testing.assert_allclose(spent, TARGET, rtol=1e-3)


def test_without_runs_far_off_the_budget_is_spent_by_the_count_too() -> None:
    runs = grid(COUNTS[0], 0.001)
    sound = parametric_fit.fit(runs, [TARGET], draws=0)
    bad = runs.index[[0, 9, 18]]
    far = runs.assign(loss=runs["loss"].where(~runs.index.isin(bad), runs["loss"] * 1.2))
    far_off = parametric_fit.fit(far, [TARGET], draws=0).certificate["far_off"]
    assert far_off["runs"]
    assert set(far_off["runs"]) <= set(runs.loc[bad, "run"])
    best = sound.targets[0].values["params"].point
    assert far_off["params_without"] == pytest.approx(best, rel=0.03)
    six_nd = float(replace(surface_of(sound.to_json()), count=None).params_opt(TARGET))
    assert abs(six_nd / best - 1) > 0.05


def test_half_of_the_budget_is_no_longer_left() -> None:
    """6ND/C of 2.3 to 3.1: C = 6ND spent about half of what the study counts."""
    runs = grid(Count(0.0, 1.2, -0.06, 0.0))
    ratio = 6 * runs["params"] * runs["tokens"] / runs["flops"]
    assert 2.2 < ratio.min() < ratio.max() < 3.2
    target = parametric_fit.fit(runs, [TARGET], draws=0).targets[0]
    truth = Count(0.0, 1.2, -0.06, 0.0)
    cost = truth.flops(target.values["params"].point, target.values["tokens"].point)
    assert float(cost) == pytest.approx(TARGET, rel=1e-6)


def test_audits_price_and_offer_runs_by_the_count() -> None:
    fit = LawResults.of(parametric_fit.fit(grid(DYING, 0.001), [TARGET], draws=60))
    surface, draws = surface_of(fit.content), draws_of(fit.draws)
    assert surface.count is not None
    assert draws.count is not None
    sizes = regret.audit(surface, draws, [TARGET]).tables["sizes"]
    spent = surface.flops(sizes["params"], sizes["tokens"])
    np.testing.assert_allclose(spent, sizes["budget_flops"], rtol=1e-9)
    loss = float(surface.loss_opt(TARGET)) + 0.01
    n, d = inference.best_for_lifetime(surface, loss, 1e12)

    def lifetime(ln_n: float) -> float:
        left = loss - float(surface.E) - float(surface.A) * np.exp(-float(surface.alpha) * ln_n)
        tokens = (float(surface.B) / left) ** (1 / float(surface.beta))
        return float(surface.flops(np.exp(ln_n), tokens)) + 2 * np.exp(ln_n) * 1e12

    around = [lifetime(np.log(n) + step) for step in (-0.01, 0.0, 0.01)]
    assert around[1] == min(around)
    assert float(surface.loss(n, d)) == pytest.approx(loss)


def test_the_gradient_of_the_next_run_is_that_of_the_counted_optimum() -> None:
    runs = grid(POWERS)
    law = replace(SURFACE, count=POWERS)
    params, tokens = runs["params"].to_numpy(), runs["tokens"].to_numpy()
    gradient = Design.of(law, params, tokens, 0.01).gradient(TARGET)
    step, differences = 1e-6, []
    centre = np.log(params).mean(), np.log(tokens).mean()
    for name in ("A", "B", "alpha", "beta"):
        ends = []
        for way in (1, -1):
            if name in ("A", "B"):
                moved = replace(law, **{name: getattr(law, name) * np.exp(way * step)})
            else:  # amplitudes are held at the centre of the runs
                amplitude, at = ("A", centre[0]) if name == "alpha" else ("B", centre[1])
                moved = replace(
                    law,
                    **{
                        name: getattr(law, name) + way * step,
                        amplitude: getattr(law, amplitude) * np.exp(way * step * at),
                    },
                )
            ends.append(np.log(float(moved.params_opt(TARGET))))
        differences.append((ends[0] - ends[1]) / (2 * step))
    np.testing.assert_allclose(gradient[1:], differences, rtol=1e-4)


@pytest.mark.parametrize("law", ["parametric", "isoflop"])
def test_planner_and_page_say_what_the_fit_says(law: str, tmp_path: Path) -> None:
    runs = grid(DYING, 0.001)
    fit_of = {"parametric": parametric_fit.fit, "isoflop": isoflop_fit.fit}
    fits = {name: fit(runs, [TARGET], draws=40) for name, fit in fit_of.items()}
    lines = {name: read_line(f.to_json(), f.draws) for name, f in fits.items()}
    line, surface = lines[law], lines["parametric"]
    stated, again = fits[law].targets[0].values, at_budget(line, TARGET).values
    for quantity in ("params", "tokens", "flops_ratio"):
        assert again[quantity].point == pytest.approx(stated[quantity].point, rel=1e-9)
        assert again[quantity].hi95 == pytest.approx(stated[quantity].hi95, rel=1e-9)
    off = deviation(line, surface, TARGET, 3e9)
    assert float(DYING.flops(3e9, off.tokens)) == pytest.approx(TARGET, rel=1e-3)
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: planner_laws.js was not run")
    says = {"parametric": "surface", "isoflop": "compute"}
    packed = {n: {"says": says[n], **_numbers_of(v)} for n, v in lines.items()}
    script = (Path(__file__).parents[2] / "workflow/report/planner_laws.js").read_text("utf-8")
    script += f"""
    const packed = {json.dumps(packed)};
    const lines = Object.fromEntries(
      Object.entries(packed).map(([k, v]) => [k, Laws.unpack(v)]));
    const line = lines.{law};
    console.log(JSON.stringify([
      Laws.atBudget(line, {TARGET}), Laws.deviation(line, lines.parametric, {TARGET}, 3e9)]));
    """
    (tmp_path / "laws.js").write_text(script, "utf-8")
    done = subprocess.run(
        [node, str(tmp_path / "laws.js")], capture_output=True, text=True, check=True
    )
    at, there = json.loads(done.stdout)
    for quantity in ("params", "tokens", "loss"):
        for end in ("point", "lo95", "hi80"):
            ours = getattr(again[quantity], end)
            assert at[quantity][end] == pytest.approx(ours, rel=1e-9)
    assert there["tokens"] == pytest.approx(off.tokens, rel=1e-9)
    assert there["wasted_percent"]["point"] == pytest.approx(off.wasted_percent.point, rel=1e-6)
    assert there["extra_loss"]["hi95"] == pytest.approx(off.extra_loss.hi95, rel=1e-6)


def test_refits_show_what_six_nd_would_say() -> None:
    from flopline.audit import sensitivity

    rows = sensitivity.audit(grid(DYING, 0.001), TARGET, StudyOptions()).tables["changes"]
    (flops,) = rows[rows["kind"] == "flops"].to_dict("records")
    assert flops["change"].startswith("FLOPs as 6ND")
    assert flops["params"] == pytest.approx(float(SURFACE.params_opt(TARGET)), rel=0.1)
