"""The planner: the laws at any budget, what another size costs, GPU-hours."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq

from flopline import planner
from flopline.errors import FloplineError
from flopline.laws.common.fit_result import ENDS, FitResult
from flopline.laws.envelope import envelope_fit
from flopline.laws.parametric import parametric_fit
from flopline.laws.registry import LAWS
from flopline.laws.spec import Points, spec_of
from flopline.schema import QUANTITIES
from flopline.surfaces.chinchilla import LossSurface
from tests.builders.curves import curves_of
from tests.builders.designs import GOPHER, isoflop_runs, lopsided
from tests.builders.fits import fit, taken
from tests.builders.surfaces import BESIROGLU

BUDGETS = tuple(np.geomspace(1e19, 1e21, 5))
TARGETS = (1e22, GOPHER)


def simulated_runs() -> pd.DataFrame:
    return isoflop_runs(BESIROGLU, BUDGETS, factors=lopsided(), noise=0.002)


def simulated_curves() -> pd.DataFrame:
    """Curves whose lowest losses bend, so that no law of compute meets them."""
    curves = curves_of(simulated_runs(), BESIROGLU, 60, steps=100, late=0.2)
    return curves.assign(loss=curves["loss"] + 0.02 * np.sin(np.log(curves["flops"])))


@pytest.fixture(scope="module")
def fits() -> dict[str, FitResult]:
    runs, curves = simulated_runs(), simulated_curves()
    return {
        law: fit(law, taken(law, runs, curves), TARGETS, draws=200, seed=1, **spec_of(law).judged)
        for law in LAWS
    }


def line_of(fit: FitResult) -> planner.Line:
    return planner.read_line(fit.to_json(), fit.draws)


@pytest.mark.parametrize("law", LAWS)
def test_targets_of_the_study_are_met_to_the_last_digits(
    fits: dict[str, FitResult], law: str
) -> None:
    line = line_of(fits[law])
    for target in fits[law].targets:
        planned = planner.at_budget(line, target.budget_flops)
        for quantity in QUANTITIES:
            for end in ("point", *ENDS):
                wanted = getattr(target.values[quantity], end)
                assert getattr(planned.values[quantity], end) == pytest.approx(
                    wanted, rel=1e-12, nan_ok=True
                )


def test_the_misfit_of_the_envelope_is_carried_to_any_budget(fits: dict[str, FitResult]) -> None:
    """The same curves fitted with another target state there what the planner says."""
    assert fits["envelope"].certificate["lack_of_fit"]["misfit"] > 0
    elsewhere = envelope_fit.fit(simulated_curves(), [3e24], draws=200, seed=1, with_variants=False)
    loss = planner.at_budget(line_of(fits["envelope"]), 3e24).values["loss"]
    wanted = elsewhere.targets[0].values["loss"]
    assert [getattr(loss, end) for end in ENDS] == pytest.approx(
        [getattr(wanted, end) for end in ENDS], rel=1e-9
    )


@pytest.mark.parametrize("law", [law for law in LAWS if spec_of(law).points is not Points.CURVES])
def test_any_budget_says_what_a_fit_with_that_target_would(
    fits: dict[str, FitResult], law: str
) -> None:
    again = fit(law, simulated_runs(), [7.7e24], draws=200, seed=1)
    planned = planner.at_budget(line_of(fits[law]), 7.7e24)
    for quantity in QUANTITIES:
        wanted = again.targets[0].values[quantity]
        assert [getattr(planned.values[quantity], e) for e in ("point", *ENDS)] == pytest.approx(
            [getattr(wanted, e) for e in ("point", *ENDS)], rel=1e-12
        )


@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0, 3.0])
def test_waste_is_the_budget_that_the_best_size_would_save(
    fits: dict[str, FitResult], ratio: float
) -> None:
    line = line_of(fits["parametric"])
    surface = line.point
    assert isinstance(surface, LossSurface)
    flops = 2e22
    params = ratio * float(surface.params_opt(flops))
    deviation = planner.deviation(line, line, flops, params)
    loss = float(surface.loss(params, flops / (6 * params)))
    enough = brentq(lambda c: float(surface.loss_opt(c)) - loss, flops / 1e6, flops * 1.01)
    assert deviation.loss == pytest.approx(loss, rel=1e-12)
    assert deviation.extra_loss.point == pytest.approx(
        loss - float(surface.loss_opt(flops)), abs=1e-12
    )
    assert deviation.wasted_percent.point == pytest.approx(100 * (1 - enough / flops), abs=1e-6)
    assert deviation.tokens == flops / (6 * params)


def test_every_draw_of_the_parametric_law_weighs_a_deviation_by_itself(
    fits: dict[str, FitResult],
) -> None:
    line = line_of(fits["parametric"])
    params, flops = 3e10, 1e23
    deviation = planner.deviation(line, line, flops, params)
    draws = line.draws
    assert isinstance(draws, LossSurface)
    extra = draws.loss([params], [flops / (6 * params)]) - draws.loss_opt([flops])
    wanted = np.percentile(extra, [10, 90, 2.5, 97.5])
    assert [getattr(deviation.extra_loss, e) for e in ENDS] == pytest.approx(wanted, rel=1e-6)


def test_other_laws_say_where_the_best_size_is_and_the_surface_what_it_costs_to_miss(
    fits: dict[str, FitResult],
) -> None:
    line, surface = line_of(fits["isoflop"]), line_of(fits["parametric"])
    best = planner.at_budget(line, 1e23)
    there = planner.deviation(line, surface, 1e23, best.values["params"].point)
    assert there.wasted_percent.point == pytest.approx(0, abs=1e-9)
    assert there.loss == pytest.approx(best.values["loss"].point)
    assert there.wasted_percent.hi95 > 0
    beside = planner.deviation(line, surface, 1e23, 2 * best.values["params"].point)
    own_best = planner.at_budget(surface, 1e23).values["params"].point
    same = planner.deviation(surface, surface, 1e23, 2 * own_best)
    assert beside.wasted_percent.point == pytest.approx(same.wasted_percent.point, rel=1e-9)


def test_gpu_hours_and_flops_are_each_others_inverse() -> None:
    # 1000 H100 for a day at 40 %: 1000 x 86,400 s x 989e12 x 0.4.
    h100 = next(a for a in planner.accelerators() if a.name == "H100 SXM")
    flops = planner.flops_of(24_000, h100.peak_flops, 0.4)
    assert flops == pytest.approx(3.4179840e22, rel=1e-12)
    assert planner.device_hours_of(flops, h100.peak_flops, 0.4) == pytest.approx(24_000)


def test_every_accelerator_names_its_source() -> None:
    listed = planner.accelerators()
    assert len({a.name for a in listed}) == len(listed) >= 10
    assert all("https://" in a.source and 1e14 < a.peak_flops < 1e16 for a in listed)


@pytest.mark.parametrize("flops", [0.0, -1e21, np.inf, np.nan])
def test_a_budget_that_is_none_is_told(fits: dict[str, FitResult], flops: float) -> None:
    line = line_of(fits["parametric"])
    with pytest.raises(FloplineError, match="a budget in FLOPs is positive and finite"):
        planner.at_budget(line, flops)
    with pytest.raises(FloplineError, match="a budget in FLOPs is positive and finite"):
        planner.deviation(line, line, flops, 1e9)


def test_other_mistakes_are_told_in_one_sentence(fits: dict[str, FitResult]) -> None:
    line = line_of(fits["parametric"])
    with pytest.raises(FloplineError, match="a number of parameters is positive"):
        planner.deviation(line, line, 1e21, 0.0)
    with pytest.raises(FloplineError, match="weighed by the line of a surface"):
        planner.deviation(line, line_of(fits["isoflop"]), 1e21, 1e9)
    with pytest.raises(FloplineError, match="utilisation lies above 0 and up to 1"):
        planner.flops_of(1.0, 989e12, 40)
    failed = {**fits["isoflop"].to_json(), "status": "failed", "message": "too few budgets"}
    with pytest.raises(FloplineError, match=r"isoflop law failed .* too few budgets"):
        planner.read_line(failed, fits["isoflop"].draws)


def test_a_law_without_draws_has_points_and_no_intervals() -> None:
    fit = parametric_fit.fit(simulated_runs(), TARGETS, draws=0, seed=1)
    params = planner.at_budget(line_of(fit), 1e23).values["params"]
    assert params.point > 0
    assert np.isnan(params.lo95)


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (7.02e-5, "0.253 GPU-seconds"),
        (1e-9, "< 0.001 GPU-seconds"),
        (0.0, "0 GPU-seconds"),
        (0.5, "30 GPU-minutes"),
        (1755.2, "1.76K GPU-hours"),
    ],
)
def test_small_costs_are_told_in_seconds(hours: float, words: str) -> None:
    assert planner.device_time(hours) == words
