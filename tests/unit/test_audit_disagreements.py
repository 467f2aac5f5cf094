"""What it costs that laws disagree: every row is the waste of its own N."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flopline.audit import disagreements, regret
from flopline.audit.waste import wasted_share
from tests.builders.surfaces import BESIROGLU, per_draw

TARGETS = (1e22, 1e24)


def table(ratios: dict[str, float], main: str, failed: str = "") -> pd.DataFrame:
    """Estimators whose N is the reference's times the ratio, at both targets."""
    rows = [
        {
            "estimator": name,
            "label": name,
            "main": name == main,
            "status": "failed" if name == failed else "converged",
            "budget_flops": c,
            "params": ratio * float(BESIROGLU.params_opt(c)),
        }
        for name, ratio in ratios.items()
        for c in TARGETS
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    return {
        "envelope": table({"bins": 0.5}, "bins"),
        "isoflop": table({"parabola": 2.0, "cubic": 1.5, "broken": 9.0}, "parabola", "broken"),
        "parametric": table({"log_huber": 1.0}, "log_huber"),
    }


def waste(ratio: float) -> float:
    return 100 * float(wasted_share(BESIROGLU.alpha, BESIROGLU.beta, np.log(ratio)))


def test_each_disagreement_in_percent_flops_and_money(tables: dict[str, pd.DataFrame]) -> None:
    out = disagreements.disagreements(BESIROGLU, tables, price_per_flop=1e-18)
    assert len(out) == 2 * 4
    assert "broken" not in set(out["estimator"])
    at = out[out["budget_flops"] == 1e24].set_index("estimator")
    assert list(at.index) == ["bins", "parabola", "cubic", "log_huber"]
    np.testing.assert_allclose(at["params_over_reference"], [0.5, 2.0, 1.5, 1.0])
    np.testing.assert_allclose(
        at["wasted_percent"], [waste(0.5), waste(2.0), waste(1.5), 0.0], atol=1e-9
    )
    np.testing.assert_allclose(at["wasted_flops"], at["wasted_percent"] / 100 * 1e24)
    np.testing.assert_allclose(at["wasted_money"], at["wasted_flops"] * 1e-18)
    # The worst that can be, if the main estimator of any law is right: 4 times apart at most.
    np.testing.assert_allclose(
        at["worst_percent"], [waste(0.25), waste(4.0), waste(3.0), max(waste(2), waste(0.5))]
    )
    assert "wasted_money" not in disagreements.disagreements(BESIROGLU, tables)


def test_the_sentence_names_both_ends_and_the_safest_law(tables: dict[str, pd.DataFrame]) -> None:
    out = disagreements.disagreements(BESIROGLU, tables, price_per_flop=1e-18)
    sentence, worst = disagreements.said_of(out, 1e24, 1e-18)
    assert worst == pytest.approx(max(waste(0.25), waste(4.0)))
    assert "(envelope) and " in sentence
    assert "(isoFLOP): to follow the wrong one would waste up to" in sentence
    assert "in money" in sentence
    assert "to follow the parametric law at most" in sentence
    alone = {"parametric": tables["parametric"]}
    assert disagreements.said_of(disagreements.disagreements(BESIROGLU, alone), 1e24) == ("", 0.0)
    assert disagreements.said_of(disagreements.disagreements(BESIROGLU, {}), 1e24) == ("", 0.0)


def test_regret_minds_laws_that_lie_apart(tables: dict[str, pd.DataFrame]) -> None:
    draws = per_draw(BESIROGLU, 50)
    apart = regret.audit(BESIROGLU, draws, TARGETS, estimators=tables)
    assert apart.verdict == "warned"
    assert "The laws put N at 1e22 FLOPs between" in apart.sentence
    assert len(apart.tables["disagreements"]) == 8
    alone = regret.audit(BESIROGLU, draws, TARGETS)
    assert alone.verdict == "good"
    assert "disagreements" not in alone.tables
