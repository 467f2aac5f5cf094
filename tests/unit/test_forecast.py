"""Forecasts of the ladder's lines: what is learned from steps, and how lines are put together."""

from __future__ import annotations

import json
import math
import re
import tomllib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from flopline.audit import ladder
from flopline.audit.audit_options import AuditOptions
from flopline.audit.judges import SURFACE
from flopline.audit.waste import wasted_share
from flopline.choice import BESIDE
from flopline.decision import decide
from flopline.errors import FloplineError
from flopline.forecast import line_forecasts
from flopline.forecast import priors as priors_module
from flopline.forecast.best_size import best_size
from flopline.forecast.discrepancy import NEAREST, Prior, distance, drift_of, learned
from flopline.forecast.ladder_errors import QUANTITIES
from flopline.forecast.line_forecasts import COMBINED, OTHER, forecasts, of_lines, weights
from flopline.forecast.prior_fit import chosen, likelihoods, stacked, with_weights
from flopline.forecast.priors import FILE, stored, written
from flopline.forecast.record import record
from flopline.forecast.stated import COLUMNS, columns, holding, to_json
from flopline.forecast.student import StudentT
from flopline.forecast.target import at_targets
from flopline.laws.common.fit_result import ENDS
from flopline.options import StudyOptions
from tests.builders import decisions
from tests.builders.designs import isoflop_runs
from tests.builders.surfaces import BESIROGLU
from tests.conftest import ROOT

PRIOR = Prior(drift=0.01, steps=4.0, centre_steps=1.0)


def predictions(errors: dict[str, float], noise: float = 0.0, steps: int = 5, seed: int = 0):
    """Lines whose log errors are `errors` per unit of ln C, at budgets of e^0, e^1, ..."""
    rng = np.random.default_rng(seed)
    rows = []
    for line, drift in errors.items():
        for step in range(1, steps):
            mine = drift + noise * rng.standard_normal()
            for budget in range(step + 1, steps + 1):
                rows.append((line, math.exp(step), math.exp(budget), mine * (budget - step)))
    table = pd.DataFrame(rows, columns=["line", "step", "flops", "told_ln"])
    return table.assign(seen_ln=0.0, draws_ln=0.0, noise_ln=0.0, what="")


def test_student_agrees_with_scipy_and_with_its_definition():
    t = StudentT.of([0.0, 1.0], [1.0, 0.2], [3.0, 12.0])
    theirs = stats.t([3.0, 12.0], [0.0, 1.0], [1.0, 0.2])
    seen = np.array([0.7, 1.5])
    assert t.log_density(seen) == pytest.approx(theirs.logpdf(seen))
    assert np.array(t.interval(80)) == pytest.approx(np.array(theirs.interval(0.8)))
    # CRPS is the integral of the squared distance between the forecast and what was seen.
    x = np.linspace(-60, 60, 2_000_001)[:, None]
    squares = (theirs.cdf(x) - (x >= seen)) ** 2
    assert t.crps(seen) == pytest.approx(np.trapezoid(squares, x, axis=0), abs=2e-4)
    low, high = t.interval(80)
    inside, above = (t.interval_score(y, 80)[0] for y in (0.0, high + 1.0))
    assert inside == pytest.approx(high[0] - low[0])
    assert above == pytest.approx(high[0] - low[0] + 10.0)


def test_a_drift_is_the_slope_of_errors_on_distance():
    x = distance([2.0, 20.0, 0.5], 1.0)
    assert x == pytest.approx([math.log(2), math.log(20), NEAREST])
    assert drift_of(0.03 * x, x) == pytest.approx(0.03)


def test_without_steps_the_prior_speaks_and_with_many_the_steps_do():
    before = learned(PRIOR, [])
    assert before.mean == 0.0
    assert before.spread == pytest.approx(PRIOR.drift)
    after = learned(PRIOR, [0.05] * 400)
    assert after.mean == pytest.approx(0.05, rel=0.01)
    assert after.spread < 0.3 * PRIOR.drift
    scattered = learned(PRIOR, list(np.random.default_rng(1).normal(0.0, 0.1, 4000)))
    assert scattered.scale == pytest.approx(0.1, rel=0.05)
    assert scattered.mean == pytest.approx(0.0, abs=0.01)


def test_intervals_widen_with_distance_and_hold_draws_and_noise():
    table = predictions({"a": 0.02})
    wide = of_lines(table.assign(draws_ln=0.3, noise_ln=0.4), {OTHER: PRIOR})
    near = of_lines(table, {OTHER: PRIOR})
    first = near[near["step"] == near["step"].min()]
    assert np.all(np.diff(first["scale"]) > 0)
    assert wide["scale"].to_numpy() == pytest.approx(np.hypot(near["scale"], 0.5))


def test_a_forecast_knows_only_what_had_been_seen_at_its_step():
    table = predictions({"a": 0.02, "b": -0.01}, noise=0.01)
    all_steps = forecasts(table, {OTHER: PRIOR})
    for step in table["step"].unique():
        past = table.assign(
            seen_ln=table["seen_ln"].where(table["flops"] <= step * line_forecasts.REACHED, 9.0)
        )
        mine = forecasts(past, {OTHER: PRIOR})
        at = all_steps["step"] == step
        columns = ["centre", "scale", "df"]
        pd.testing.assert_frame_equal(mine.loc[at, columns], all_steps.loc[at, columns])


def test_a_target_is_one_more_step_of_which_nothing_is_seen():
    table = predictions({"a": 0.0, "b": 0.05})
    ahead = pd.DataFrame(
        {"line": ["a", "b"], "step": math.exp(5), "flops": math.exp(7), "told_ln": [0.0, 0.1]}
    ).assign(seen_ln=math.nan, draws_ln=0.0, noise_ln=0.0, what="")
    made = forecasts(pd.concat([table, ahead]), {OTHER: PRIOR})
    mine = made[made["seen_ln"].isna()].set_index("line")
    # b has missed by .05 per unit at every step, so its next miss is predicted, too.
    assert mine.loc["b", "centre"] == pytest.approx(0.0, abs=0.025)
    assert mine.loc["a", "centre"] == pytest.approx(0.0, abs=1e-12)
    assert abs(mine.loc[COMBINED, "centre"]) < abs(mine.loc["b", "centre"])


def test_weights_follow_the_scores_and_a_silent_line_gains_nothing():
    table = predictions({"good": 0.0, "bad": 0.2}, noise=0.002)
    silent = table[(table["line"] == "good") & (table["step"] > math.exp(2.5))]
    made = of_lines(pd.concat([table, silent.assign(line="late")]), {OTHER: PRIOR})
    last = made.assign(weight=weights(made))
    sums = last.groupby(["step", "flops"])["weight"].sum()
    assert sums.to_numpy() == pytest.approx(1.0)
    last = last[last["step"] == last["step"].max()].set_index("line")["weight"]
    assert last["good"] > 0.9
    assert last["late"] < last["good"]


def test_stacking_weighs_lines_by_what_others_saw_and_leaves_a_study_out():
    rng = np.random.default_rng(3)
    rows = [
        {"study": study, "family": "f", "step": 1.0, "flops": float(k), "what": "", "line": line,
         "centre": 0.0, "scale": 0.1, "df": 30.0, "seen_ln": shift + rng.normal(0, 0.1)}
        for study in ("ash", "birch", "elm")
        for k in range(2, 12)
        for line, shift in (("good", 0.0), ("bad", 0.4 if study != "elm" else 0.0))
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    weight = stacked(table, "elm")
    assert weight.sum() == pytest.approx(2.0)
    assert weight["good"] > 1.5 > 0.5 > weight["bad"]
    prior = with_weights({"good": PRIOR, "new": PRIOR}, weight)
    assert prior["good"].weight == pytest.approx(weight["good"])
    assert prior["new"].weight == 1.0


def test_draws_count_by_the_share_of_the_prior():
    table = predictions({"any": 0.01}).assign(draws_ln=0.05, noise_ln=0.0)
    whole, half = (of_lines(table, {OTHER: replace(PRIOR, spread=spread)}) for spread in (1.0, 0.5))
    drift = (whole["drift"] * whole["distance"]) ** 2
    np.testing.assert_allclose(whole["scale"] ** 2 - drift, 0.05**2)
    np.testing.assert_allclose(half["scale"] ** 2 - drift, 0.025**2)


def test_order_of_rows_does_not_matter():
    table = predictions({"a": 0.01, "b": 0.03}, noise=0.02)
    one = forecasts(table, {OTHER: PRIOR})
    other = forecasts(table.sample(frac=1, random_state=3), {OTHER: PRIOR})
    key = ["line", "step", "flops"]
    one, other = (made.sort_values(key, ignore_index=True) for made in (one, other))
    pd.testing.assert_frame_equal(one, other[one.columns], rtol=1e-9)


def test_the_fitted_prior_is_near_the_drifts_of_the_studies():
    drifts = np.random.default_rng(2).normal(0.0, 0.03, 12)
    ladders = {
        (f"study {k}", ""): predictions({"a": drift}, noise=0.03, seed=k)
        for k, drift in enumerate(drifts)
    }
    priors = chosen(likelihoods(ladders))
    prior = priors["a"]
    assert 0.015 < prior.drift < 0.06
    # A study's own ladder does not count where it is left out.
    odd = {**ladders, ("odd", ""): predictions({"a": 0.5}, noise=0.5)}
    likelihood = likelihoods(odd)
    assert chosen(likelihood, "odd") == priors
    assert chosen(likelihood)["a"] != prior


def test_a_line_whose_ladders_cannot_tell_is_not_believed_to_have_no_drift():
    """Chinchilla's form got the least drift that was tried: its draws hid any on the ladder.

    N as the headline stated it then lay in its 95 % forecast in 7 of 15 studies that bent.
    """
    tried = np.array([0.001, 0.01, 0.05, 0.25])
    peak = -(np.log(tried / 0.05) ** 2)
    flat = np.where(tried < 0.1, -1e-3 * np.log(tried / tried[0]), peak)
    rows = [(line, f"study {k}") for line in "abc" for k in range(4)]
    likelihood = pd.DataFrame(
        [flat if line == "c" else peak for line, _ in rows],
        index=pd.MultiIndex.from_tuples(rows),
        columns=pd.MultiIndex.from_tuples([(1.0, 1.0, 5.0, drift) for drift in tried]),
    )
    assert tried[flat.argmax()] == 0.001
    assert {line: prior.drift for line, prior in chosen(likelihood).items()} == dict.fromkeys(
        ("a", "b", "c", OTHER), 0.05
    )


def sizes(centres: dict[str, float], weight: list[float], spread: float = 1e-6) -> pd.DataFrame:
    """One target: each line's ln N, hardly scattered unless told."""
    return pd.DataFrame(
        {
            "line": list(centres),
            "centre": list(centres.values()),
            "scale": spread,
            "df": 8.0,
            "noise_ln": 0.0,
            "weight": weight,
        }
    )


def test_the_best_size_of_one_sure_line_is_its_own_and_wastes_nothing():
    best = best_size(sizes({"a": 20.0}, [1.0], 1e-3), 0.35, 0.37)
    assert math.log(best.params) == pytest.approx(20.0, abs=1e-4)
    assert best.wasted_percent == pytest.approx(0.0, abs=1e-3)
    assert best.tokens(6e21) == pytest.approx(1e21 / best.params)


def test_the_best_size_wastes_least_over_lines_and_states_what_wastes_little():
    lines_at, weight = {"a": 20.0, "b": 20.6}, [0.75, 0.25]
    best = best_size(sizes(lines_at, weight), 0.34, 0.28)
    x = np.linspace(19.5, 21.0, 15001)
    waste = 100 * sum(
        w * wasted_share(0.34, 0.28, x - at)
        for w, at in zip(weight, lines_at.values(), strict=True)
    )
    assert math.log(best.params) == pytest.approx(x[waste.argmin()], abs=2e-3)
    assert best.wasted_percent == pytest.approx(waste.min(), rel=1e-3)
    low, high = best.ranges[5.0]
    inside = x[waste < 5.0]
    assert np.log([low, high]) == pytest.approx([inside[0], inside[-1]], abs=5e-3)
    assert np.isnan(best.ranges[1.0]).all()


def test_the_stored_prior_is_what_is_written_and_knows_every_line():
    priors = stored()
    assert set(priors) == set(QUANTITIES)
    content = tomllib.loads(FILE.read_text(encoding="utf-8"))
    assert written(priors, content["sources"]) == FILE.read_text(encoding="utf-8")
    for known in priors.values():
        assert {OTHER, COMBINED, SURFACE.name} <= set(known)
        assert all(prior.drift > 0 and prior.steps > 1 for prior in known.values())


def test_a_broken_prior_is_named(tmp_path, monkeypatch):
    for text in ("[loss", "[loss.other]\ndrift = 0.1\n", "loss = 3\n"):
        broken = tmp_path / "priors.toml"
        broken.write_text(text)
        monkeypatch.setattr(priors_module, "FILE", broken)
        stored.cache_clear()
        with pytest.raises(FloplineError, match=r"priors\.toml does not hold the prior"):
            stored()
    stored.cache_clear()


@pytest.fixture(scope="module")
def ladder_finding():
    points = isoflop_runs(sizes=7, noise=0.003)
    options = StudyOptions(AuditOptions(ladder_draws=30))
    return ladder.audit(points, 1e23, options, more_targets=[1e24])


def test_targets_are_forecast_from_a_study_s_own_ladder(ladder_finding):
    near, far = at_targets(ladder_finding.tables, ladder_finding.numbers)
    assert (near.budget_flops, far.budget_flops) == (1e23, 1e24)
    for made in (near, far):
        truth = BESIROGLU.params_opt(made.budget_flops), BESIROGLU.loss_opt(made.budget_flops)
        assert made.params.lo95 < truth[0] < made.params.hi95
        assert made.loss.lo95 < truth[1] < made.loss.hi95
        assert made.loss_new_run.lo95 < made.loss.lo95 < made.loss.lo80 < made.loss.point
        assert made.size.wasted_percent < 5.0
        assert made.tokens() == pytest.approx(made.budget_flops / 6 / made.size.params)
        rows = made.lines.set_index("line")
        for name in ("loss", "params"):
            assert rows[f"{name}_weight"].sum() == pytest.approx(1.0)
        assert {"parametric", "parametric/tied", "parametric/skaling", "isoflop"} <= set(rows.index)
    assert math.log(far.loss.hi95 / far.loss.lo95) > math.log(near.loss.hi95 / near.loss.lo95)


def test_a_target_within_the_runs_has_a_forecast_too(ladder_finding):
    """Lines without draws were sure of themselves there, and all numbers became NaN or 1."""
    tables = dict(ladder_finding.tables)
    runs = tables["ahead"]["largest_flops"].iloc[0]
    tables["ahead"] = tables["ahead"].assign(
        largest_flops=tables["ahead"]["budget_flops"].max() * 2
    )
    assert runs < tables["ahead"]["largest_flops"].iloc[0]
    for made in at_targets(tables, ladder_finding.numbers):
        truth = BESIROGLU.params_opt(made.budget_flops), BESIROGLU.loss_opt(made.budget_flops)
        assert made.params.lo95 < truth[0] < made.params.hi95
        assert made.loss.lo95 < truth[1] < made.loss.hi95
        assert math.isfinite(made.size.wasted_percent)


def test_the_decision_states_a_forecast_beside_each_line(ladder_finding):
    made = at_targets(ladder_finding.tables, ladder_finding.numbers)[0]
    rows = [
        ("parametric", "log_huber", True),
        ("parametric", "tied", False),
        ("isoflop", "x", False),
    ]
    table = pd.DataFrame(rows, columns=["law", "estimator", "main"], index=[7, 3, 5])
    # A line in the middle of its own forecast, without an interval.
    own = made.lines.set_index("line").loc["parametric", "params"]
    table = table.assign(params=own, **{f"params_{end}": math.nan for end in ENDS})
    best = columns(table, made)
    assert tuple(best) == COLUMNS
    assert best.index.tolist() == [7, 3, 5]
    lines_of = made.lines.set_index("line")
    assert best.loc[7, "forecast_params_lo95"] == lines_of.loc["parametric", "params_lo95"]
    assert best.loc[3, "forecast_loss_hi80"] == lines_of.loc["parametric/tied", "loss_hi80"]
    assert best.loc[5].isna().all()
    assert best.loc[7, "forecast_loss_new_run_hi95"] > best.loc[7, "forecast_loss_hi95"]
    as_json = json.loads(json.dumps(to_json(made), allow_nan=False))
    assert as_json["size"]["params"] == made.size.params
    assert as_json["loss"]["lo95"] == made.loss.lo95
    assert sum(line["loss_weight"] for line in as_json["lines"]) == pytest.approx(1.0)


def test_the_forecast_of_a_size_holds_the_size_that_is_stated_and_its_own_interval(ladder_finding):
    made = at_targets(ladder_finding.tables, ladder_finding.numbers)[0]
    low, high = made.lines.set_index("line").loc["parametric", ["params_lo80", "params_hi95"]]
    own = {"params": low / 2, "params_lo80": low / 3, "params_hi80": low, "params_lo95": low / 4}
    table = pd.DataFrame([{"law": "parametric", "estimator": "log_huber", "main": True, **own}])
    best = columns(table.assign(params_hi95=high * 5), made).loc[0]
    assert best["forecast_params_lo80"] == low / 3
    assert best["forecast_params_lo95"] == min(low / 4, best["forecast_params_lo95"])
    assert best["forecast_params_hi80"] > low
    assert best["forecast_params_hi95"] == high * 5
    # The point that is stated may lie outside both intervals.
    assert holding(
        {"point": 3.0, "lo80": 2.0, "hi80": 4.0, "lo95": 1.0, "hi95": 5.0},
        {"point": 6.0, "lo80": 2.5, "hi80": 5.5, "lo95": 0.5, "hi95": 7.0},
    ) == {"point": 6.0, "lo80": 2.0, "hi80": 6.0, "lo95": 0.5, "hi95": 7.0}


def test_lines_have_a_record_of_their_forecasts(ladder_finding):
    best = record(ladder_finding.tables).set_index(["quantity", "line"])
    assert set(best.index.get_level_values(0)) == set(QUANTITIES)
    # One form made the runs: it predicts their losses better than extrapolating the best runs.
    assert (
        best.loc[("loss", "parametric"), "crps_percent"]
        < (best.loc[("loss", "baseline/best_run"), "crps_percent"])
    )
    assert best["inside80"].between(0, 1).all()
    assert (best["inside95"] >= best["inside80"]).all()
    assert record({**ladder_finding.tables, "optima": ladder_finding.tables["optima"][:0]})[
        "quantity"
    ].unique().tolist() == ["run"]


def test_a_wrong_law_is_corrected_by_what_it_has_missed(ladder_finding):
    """Every loss is predicted 3 % per unit of ln C too high, and so will the next be."""
    tables = dict(ladder_finding.tables)
    for name in ("optima", "ahead"):
        table = tables[name].copy()
        x = distance(table["budget_flops"], table["largest_flops"])
        table["loss_predicted"] *= np.exp(0.03 * x)
        tables[name] = table
    straight = at_targets(ladder_finding.tables, ladder_finding.numbers)[0].loss
    bent = at_targets(tables, ladder_finding.numbers)[0].loss
    missed = 0.03 * distance(1e23, tables["ahead"]["largest_flops"].iloc[0])
    assert abs(math.log(bent.point / straight.point)) < 0.35 * missed
    assert bent.hi95 / bent.lo95 > straight.hi95 / straight.lo95


def test_the_decision_says_why_all_lines_together_are_not_recommended(ladder_finding):
    known = decisions.family(decisions.steps(), parametric=decisions.line(1e9))
    spans = {"ash": decisions.ANYTHING}
    for finding, sentence in ((None, ""), (ladder_finding, BESIDE)):
        if finding is not None:
            ladder_json = {**finding.to_json(), "tables": finding.tables}
            known = replace(known, findings={"ladder": ladder_json})
        _, verdict = decide({"ash": known}, decisions.TARGETS, {"ash": "Ash"}, spans)
        assert verdict["why_not_together"] == sentence


def test_the_page_holds_the_backtest_between_its_markers():
    page = (ROOT / "docs/uncertainty.md").read_text(encoding="utf-8")
    script = (ROOT / "benchmarks/backtest.py").read_text(encoding="utf-8")
    start, end = re.findall(r'"(<!-- .* -->)"', script)
    between = page[page.index(start) : page.index(end)]
    assert "| best loss | up to 3x |" in between
    assert all(f"| {line} |" in between for line in (COMBINED, SURFACE.name))


def test_what_is_said_of_the_combined_line_is_what_the_backtest_found():
    """`BESIDE`: on each study some single line wastes less, not the same on all."""
    page = (ROOT / "docs/uncertainty.md").read_text(encoding="utf-8")
    table = page[page.index("| compute wasted by the size | combined |") :].split("\n\n")[0]
    head, _, *rows = (re.split(r" *\| *", line.strip("| ")) for line in table.splitlines())
    best = set()
    for _, together, *single in rows:
        wastes = np.array([np.nan if cell == "–" else float(cell) for cell in single])
        assert np.nanmin(wastes) < float(together)
        best.add(head[2:][np.nanargmin(wastes)])
    assert len(rows) >= 5
    assert len(best) >= 3
