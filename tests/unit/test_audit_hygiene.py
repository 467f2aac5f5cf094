"""How runs were trained: every check on simulated logs whose faults are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import ArrayLike

from flopline.audit import hygiene
from flopline.audit.finding import Finding
from flopline.audit.hygiene_facts import dependence, repeats, run_facts, seed_noise, trend
from tests.builders.curves import curves_of, finished, with_rates
from tests.builders.designs import BUDGETS, isoflop_runs
from tests.builders.surfaces import BESIROGLU


def logged(
    points: pd.DataFrame,
    lr_peak: ArrayLike = 0.01,
    warmup: ArrayLike = 0.05,
    final: ArrayLike = 0.1,
    batch: ArrayLike = 1e5,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs and curves of 100 rows; `batch` tokens a step; for the rest see `with_rates`."""
    curves = with_rates(curves_of(points, BESIROGLU, 100), lr_peak, warmup, final)
    per_step = np.repeat(np.broadcast_to(np.asarray(batch, float), len(points)), 100)
    return finished(points), curves.assign(step=curves["tokens"] / per_step)


def points(noise: float = 0.002, **options: Any) -> pd.DataFrame:
    return isoflop_runs(noise=noise, sizes=9, **options)


def well_tuned(table: pd.DataFrame) -> np.ndarray:
    """A peak rate that falls with size, and scatters by 20 % so that it can be told from size."""
    scatter = np.exp(0.2 * np.random.default_rng(9).standard_normal(len(table)))
    return 3.0 * table["params"].to_numpy() ** -0.3 * scatter


def audited(table: pd.DataFrame, **logs: Any) -> Finding:
    logs.setdefault("lr_peak", well_tuned(table))
    return hygiene.audit(*logged(table, **logs), BESIROGLU)


def verdicts(finding: Finding) -> dict[str, str]:
    return finding.tables["checks"].set_index("check")["verdict"].to_dict()


def warned_of(finding: Finding) -> list[str]:
    return [check for check, verdict in verdicts(finding).items() if verdict == "warned"]


def test_facts_are_read_off_the_curves() -> None:
    table = points()
    rng = np.random.default_rng(0)
    peak, warm, final, batch = (
        rng.uniform(low, high, len(table))
        for low, high in ((0.001, 0.1), (0.03, 0.4), (0.0, 0.9), (1e4, 1e6))
    )
    facts = run_facts(*logged(table, peak, warm, final, batch)).set_index("run")
    facts = facts.loc[table["run"]]
    # Rows come every 1 % of a run, and the peak lies between two of them.
    np.testing.assert_allclose(facts["lr_peak"], peak, rtol=0.02)
    np.testing.assert_allclose(facts["warmup_share"], warm, atol=0.0101)
    np.testing.assert_allclose(facts["lr_final_share"], final, rtol=0.02)
    np.testing.assert_allclose(facts["batch_tokens"], batch)
    np.testing.assert_allclose(facts["horizon_share"], 1.0)


def test_good_runs_have_no_warning() -> None:
    table = points()
    twice = pd.concat([table, table.assign(run="again-" + table["run"])], ignore_index=True)
    noise = np.exp(0.002 * np.random.default_rng(4).standard_normal(len(twice)))
    twice["loss"] = BESIROGLU.loss(twice["params"], twice["tokens"]) * noise
    runs, curves = logged(twice, np.tile(well_tuned(table), 2))
    runs["seed"] = np.repeat(["1", "2"], len(table))
    finding = hygiene.audit(runs, curves, BESIROGLU)
    assert warned_of(finding) == []
    assert finding.verdict == "good"
    assert finding.numbers["not_checked"] == 0
    assert finding.numbers["good"] == finding.numbers["checks"] == 10


@pytest.mark.parametrize(
    ("logs", "check", "words"),
    [
        (
            {"warmup": np.r_[0.5, np.full(44, 0.05)]},
            "warm-up",
            "1 run warms up over more than",
        ),
        (
            {"final": np.r_[np.full(44, 0.05), 0.6]},
            "decay",
            "1 run of 45 ends with",
        ),
        ({"lr_peak": 0.01}, "learning rate against size", "not tuned to each"),
    ],
)
def test_one_fault_is_the_one_warning(logs: dict[str, Any], check: str, words: str) -> None:
    finding = audited(points(), **logs)
    assert warned_of(finding) == [check]
    assert words in finding.sentence
    assert finding.verdict == "warned"


def test_warmup_longer_for_small_models_is_warned_of() -> None:
    table = points()
    share = 0.1 * (table["params"] / table["params"].min()) ** -0.3
    finding = audited(table, warmup=share.to_numpy())
    assert "warm-up against size" in warned_of(finding)
    trends = finding.tables["trends"].set_index("setting")
    assert trends.loc["warmup_share", "params"] == pytest.approx(-0.3, abs=0.1)
    assert "longer for small models" in finding.sentence


def test_batch_that_grows_with_size_is_warned_of_and_one_that_grows_with_tokens_is_not() -> None:
    table = points()
    by_size = audited(table, batch=table["params"].to_numpy() ** 0.5)
    assert warned_of(by_size) == ["batch against size"]
    by_tokens = audited(table, batch=table["tokens"].to_numpy() ** 0.8)
    assert warned_of(by_tokens) == []
    checks = by_tokens.tables["checks"].set_index("check")
    assert "D^0.80" in checks.loc["batch against size", "sentence"]


def test_rates_that_rise_with_size_are_warned_of() -> None:
    table = points()
    finding = audited(table, lr_peak=1e-4 * table["params"].to_numpy() ** 0.25)
    assert "learning rate against size" in warned_of(finding)
    assert "larger models want lower rates" in finding.sentence


def test_schedules_that_end_beyond_the_run_are_warned_of_and_counted() -> None:
    table = points()
    runs, curves = logged(table, well_tuned(table))
    runs.loc[3, "horizon_tokens"] *= 2
    finding = hygiene.audit(runs, curves, BESIROGLU)
    assert warned_of(finding) == ["schedule"]
    assert (
        "1 run stops before 98 % of the schedule, the shortest (r003) at 50 %" in finding.sentence
    )
    runs.loc[3, ["status", "reason"]] = ["quarantined", "It is unfinished."]
    aside = hygiene.audit(runs, curves, BESIROGLU)
    assert warned_of(aside) == []
    sentence = aside.tables["checks"].set_index("check").loc["schedule", "sentence"]
    assert "44 runs reach 100 % or more" in sentence
    assert "1 run that stops before is set aside" in sentence


def test_what_is_not_logged_is_said_and_not_called_fine() -> None:
    runs, curves = logged(points())
    bare = hygiene.audit(
        runs.assign(horizon_tokens=np.nan), curves.assign(lr=np.nan, step=np.nan), None
    )
    assert set(verdicts(bare).values()) == {"not checked"}
    assert bare.numbers == {"checks": 10, "good": 0, "warned": 0, "refuted": 0, "not_checked": 10}
    assert "Not logged, so not checked: schedule, warm-up" in bare.sentence
    nothing = hygiene.audit(runs, curves.iloc[:0], None)
    assert verdicts(nothing)["schedule"] == "good"
    assert verdicts(nothing)["decay"] == "not checked"


def test_a_loss_that_depends_on_the_rate_is_found() -> None:
    table = points(noise=0.002)
    peak = well_tuned(table)
    harmed = table.assign(loss=table["loss"] * (peak / peak.mean()) ** 0.02)
    facts = run_facts(*logged(harmed, peak))
    moved = dependence(BESIROGLU, facts, "lr_peak")
    # The law takes up what size explains of the rate; its own scatter has the true slope.
    assert moved["slope"] == pytest.approx(0.02, abs=0.005)
    finding = audited(harmed, lr_peak=peak)
    assert warned_of(finding) == ["residuals against peak learning rate"]
    assert warned_of(audited(table, lr_peak=peak)) == []


def test_a_rate_that_size_and_tokens_fix_is_said_to_be_beyond_telling() -> None:
    table = points()
    rule = 3.0 * table["params"].to_numpy() ** -0.3
    harmed = table.assign(loss=table["loss"] * rule**0.02)
    finding = audited(harmed, lr_peak=rule)
    check = finding.tables["checks"].set_index("check").loc["residuals against peak learning rate"]
    assert check["verdict"] == "not checked"
    assert "cannot be told" in check["sentence"]
    assert "These runs cannot tell: residuals against peak learning rate." in finding.sentence


def test_t_values_of_pure_noise_are_students() -> None:
    table = isoflop_runs(sizes=9)
    peak = well_tuned(table)
    runs, curves = logged(table, peak)
    facts = run_facts(runs, curves)
    rng = np.random.default_rng(11)
    p = []
    for _ in range(400):
        noisy = facts.assign(loss=facts["loss"] * np.exp(0.003 * rng.standard_normal(len(facts))))
        p.append(dependence(BESIROGLU, noisy, "lr_peak")["p"])
    # Binomial: 0.05 +- 0.011 and 0.5 +- 0.025.
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.033)
    assert np.mean(p) == pytest.approx(0.5, abs=0.045)


def test_exponents_of_settings_are_recovered() -> None:
    table = points()
    batch = 7.0 * table["params"] ** 0.2 * table["tokens"] ** 0.6
    facts = run_facts(*logged(table, batch=batch.to_numpy()))
    law = trend(facts, "batch_tokens")
    assert (law["params"], law["tokens"], law["r2"]) == pytest.approx((0.2, 0.6, 1.0))
    assert trend(facts.assign(batch_tokens=np.nan), "batch_tokens")["n"] == 0


def seeded(sd: float, residual: float, seed: int = 5) -> Finding:
    """45 runs off the law by `residual`, each trained three times with seed noise `sd`."""
    rng = np.random.default_rng(seed)
    table = isoflop_runs(sizes=9, budgets=BUDGETS)
    off = np.exp(residual * rng.standard_normal(len(table)))
    parts = [
        table.assign(
            run=[f"{r}-s{k}" for r in table["run"]],
            loss=table["loss"] * off * np.exp(sd * rng.standard_normal(len(table))),
        )
        for k in range(3)
    ]
    every = pd.concat(parts, ignore_index=True)
    runs, curves = logged(every, np.tile(well_tuned(table), 3))
    runs["seed"] = np.repeat(["0", "1", "2"], len(table))
    return hygiene.audit(runs, curves, BESIROGLU)


def test_seed_noise_is_set_against_the_residuals() -> None:
    enough = seeded(sd=0.004, residual=0.0)
    assert "seeds" not in warned_of(enough)
    groups = enough.tables["seeds"]
    assert len(groups) == 45
    noise, freedom = seed_noise(groups)
    assert freedom == 90
    assert noise == pytest.approx(0.004, rel=0.15)
    row = enough.tables["checks"].set_index("check").loc["seeds"]
    assert row["value"] == pytest.approx(1.0, abs=0.15)
    misses = seeded(sd=0.002, residual=0.01)
    assert "seeds" in warned_of(misses)
    value = misses.tables["checks"].set_index("check").loc["seeds", "value"]
    assert value == pytest.approx(np.hypot(0.002, 0.01) / 0.002, rel=0.2)


def test_runs_of_one_seed_or_another_rate_are_no_repeats() -> None:
    table = points().iloc[:1]
    pair = pd.concat([table, table.assign(run="other")], ignore_index=True)
    runs, curves = logged(pair)
    assert repeats(run_facts(runs, curves)).empty  # one seed, stated twice
    runs["seed"] = ["1", "2"]
    assert len(repeats(run_facts(runs, curves))) == 1
    runs["seed"] = None  # not stated: repeats by all that is known
    assert len(repeats(run_facts(runs, curves))) == 1
    runs, curves = logged(pair, lr_peak=np.array([0.01, 0.02]))
    runs["seed"] = ["1", "2"]
    assert repeats(run_facts(runs, curves)).empty


def test_order_of_rows_does_not_matter() -> None:
    runs, curves = logged(points(), well_tuned(points()))
    one = hygiene.audit(runs, curves, BESIROGLU)
    other = hygiene.audit(
        runs.sample(frac=1, random_state=1), curves.sample(frac=1, random_state=2), BESIROGLU
    )
    assert one.to_json() == other.to_json()
    for name, table in one.tables.items():
        pd.testing.assert_frame_equal(table, other.tables[name], check_exact=True)


@pytest.mark.parametrize("rows", [1, 4])
def test_a_rate_that_is_stated_and_not_logged_shows_no_schedule(rows: int) -> None:
    """A table of one row a run was told of runs that warm up over more than 20 % of their tokens,
    and of a rate that never falls."""
    table = points()
    runs, curves = logged(table, lr_peak=well_tuned(table))
    few = curves.groupby("run").tail(rows)
    few = few.assign(lr=few["run"].map(curves.groupby("run")["lr"].max()))
    checks = hygiene.audit(runs, few, BESIROGLU).tables["checks"].set_index("check")
    expected = ["warm-up", "warm-up against size", *(["decay"] if rows == 1 else [])]
    assert (checks.loc[expected, "verdict"] == "not checked").all()
    assert "too few learning rates" in checks.loc["warm-up", "sentence"]
    assert checks.loc["residuals against peak learning rate", "verdict"] != "not checked"
