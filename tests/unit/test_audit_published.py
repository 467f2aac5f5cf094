"""Published laws beside a study: sizes, what following them costs, and what is not comparable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from flopline.audit import published_comparison as audit_published
from flopline.audit.published_comparison import OTHER, OURS, SAME, UNSTATED, advice
from flopline.audit.waste import wasted_share
from flopline.errors import FloplineError
from flopline.surfaces import published
from flopline.surfaces.chinchilla import LossSurface
from tests.builders.designs import GOPHER, scattered_runs
from tests.builders.options import auditing
from tests.builders.surfaces import BESIROGLU

TARGETS = [GOPHER, 1e21]


def runs(surface: LossSurface = BESIROGLU) -> pd.DataFrame:
    return scattered_runs(50, surface, noise=0.0)


def made(names=(), points=None, params="total", flops="six_nd", surface=BESIROGLU):
    return audit_published.audit(
        runs() if points is None else points,
        surface,
        TARGETS,
        auditing(compare=names),
        params_convention=params,
        flops_convention=flops,
    )


def test_every_law_that_names_a_size_is_there_unless_some_are_chosen():
    laws = made().tables["laws"]
    assert laws["budget_flops"].tolist() == sorted(laws["budget_flops"], reverse=True)
    every = laws.loc[laws["budget_flops"] == 1e21, "law"].tolist()
    assert every[0] == OURS
    assert set(published.names()) - set(every) == {"nmm_2025_early", "nmm_2025_late"}
    few = made(["besiroglu_2024", "nmm_2025_early"]).tables["laws"]
    assert few["law"].tolist() == [OURS, "besiroglu_2024", "nmm_2025_early"] * 2
    only_exponents = few[few["law"] == "nmm_2025_early"].iloc[0]
    assert (only_exponents["a"], only_exponents["b"]) == (0.5262, 0.473)
    assert np.isnan(
        only_exponents[["params", "tokens", "loss", "wasted_percent"]].astype(float)
    ).all()


def test_waste_is_that_of_the_size_on_the_study_s_own_surface():
    """A smaller budget, spent at the optimum, reaches the loss of the size that the law advises."""
    laws = made().tables["laws"]
    rows = laws[(laws["law"] != OURS) & (laws["budget_flops"] == 1e21)]
    ratio = rows["params"] / BESIROGLU.params_opt(1e21)
    assert_allclose(rows["params_over_ours"], ratio, rtol=1e-12)
    share = 100 * wasted_share(BESIROGLU.alpha, BESIROGLU.beta, np.log(ratio))
    assert_allclose(rows["wasted_percent"], share, rtol=1e-12)
    reached = BESIROGLU.loss(rows["params"], 1e21 / 6 / rows["params"])
    enough = 1e21 - rows["wasted_flops"]
    assert_allclose(BESIROGLU.loss_opt(enough.to_numpy()), reached, rtol=1e-10)


def test_a_study_on_a_published_law_loses_nothing_by_it():
    finding = made(["besiroglu_2024"])
    row = finding.tables["laws"].iloc[1]
    assert row["law"] == "besiroglu_2024"
    assert row["wasted_percent"] == pytest.approx(0.0, abs=1e-9)
    assert row["params_over_ours"] == pytest.approx(1.0, rel=1e-12)
    losses = finding.tables["losses"].set_index("law")
    assert_allclose(losses[["mean_log_residual", "sd_log_residual"]], 0.0, atol=1e-12)
    assert_allclose(losses.loc["besiroglu_2024"].iloc[1:].astype(float), 0.0, atol=1e-12)
    assert finding.verdict == "not checked"


def test_exponents_are_those_of_the_closed_forms():
    laws = made().tables["laws"].drop_duplicates("law").set_index("law")
    kaplan = published.load("kaplan_2020_joint").law
    a = kaplan.alpha_D / (kaplan.alpha_N + kaplan.alpha_D)
    assert laws.loc["kaplan_2020_joint", "a"] == pytest.approx(a, rel=1e-9)
    assert laws.loc["muennighoff_2023_repeated", "a"] == pytest.approx(0.5, rel=1e-9)
    assert laws.loc["hoffmann_2022_parametric", "a"] == pytest.approx(0.4565, abs=5e-5)
    assert laws.loc["hoffmann_2022_isoflop", ["a", "b"]].tolist() == [0.48994, 1 - 0.48994]
    surfaces = laws[laws["loss"].notna()]
    assert_allclose(surfaces["a"] + surfaces["b"], 1.0, rtol=1e-12)


def test_what_a_source_leaves_out_follows_from_six_n_d():
    budget = np.array([1e21])
    for name in ("llama3_2024", "porian_2024_tuned", "kaplan_2020_compute", "deepseek_2024"):
        params, tokens = advice(published.load(name), budget)
        assert_allclose(6 * params * tokens, budget, rtol=1e-12)
    # Both are published here, by separate fits: their product is not the budget.
    params, tokens = advice(published.load("gemstones_2025_envelope"), budget)
    assert 6 * params * tokens / budget == pytest.approx(0.9, abs=0.05)
    # DeepSeek's N is FLOPs per token, so that its size is taken from the tokens.
    deepseek = published.load("deepseek_2024")
    assert advice(deepseek, budget)[1] == deepseek.law.tokens_opt(budget)
    assert advice(deepseek, budget)[0] < deepseek.law.params_opt(budget) / 5


def test_conventions_are_held_against_the_study_s():
    laws = made().tables["laws"].drop_duplicates("law").set_index("law")
    for name, params, flops in (
        ("hoffmann_2022_parametric", SAME, SAME),
        ("kaplan_2020_joint", OTHER, SAME),
        ("gemstones_2025_parametric", SAME, OTHER),
        ("llama3_2024", UNSTATED, SAME),
        ("soda_2026", UNSTATED, UNSTATED),
    ):
        assert laws.loc[name, ["params_counted", "flops_counted"]].tolist() == [params, flops]
    elsewhere = made(params="non_embedding", flops="gemstones").tables["laws"].set_index("law")
    assert (elsewhere.loc["kaplan_2020_joint", "params_counted"] == SAME).all()
    assert (elsewhere.loc["gemstones_2025_parametric", "flops_counted"] == SAME).all()
    assert made().numbers["same_conventions"] == 3
    assert "3 of them count N and compute as this study does" in made().sentence


def test_extrapolation_beyond_what_a_source_fitted_is_told():
    laws = made(["hoffmann_2022_isoflop", "besiroglu_2024"]).tables["laws"].set_index("law")
    assert_allclose(laws.loc["hoffmann_2022_isoflop", "over_its_largest_budget"], [192, 1 / 3])
    assert laws.loc["besiroglu_2024", "over_its_largest_budget"].isna().all()


def test_levels_of_loss_are_taken_out_before_shapes_are_compared():
    """The study has the published law but for its floor: one constant explains all."""
    shifted = replace(BESIROGLU, E=BESIROGLU.E + 0.7)
    finding = made(["besiroglu_2024"], runs(shifted), surface=shifted)
    row = finding.tables["losses"].iloc[1]
    assert row["mean_log_residual"] > 0.2
    assert row["sd_log_residual"] > 0.01
    assert row["constant"] == pytest.approx(0.7, rel=1e-9)
    assert row["sd_after_constant"] == pytest.approx(0.0, abs=1e-12)
    # And but for its tokenizer: a factor leaves no spread of log residuals.
    points = runs().assign(loss=lambda t: 1.3 * t["loss"])
    row = made(["besiroglu_2024"], points).tables["losses"].iloc[1]
    assert row["mean_log_residual"] == pytest.approx(np.log(1.3), rel=1e-9)
    assert row["sd_log_residual"] == pytest.approx(0.0, abs=1e-12)


def test_the_sentence_names_the_nearest_and_the_farthest():
    finding = made(["kaplan_2020_compute", "besiroglu_2024", "hoffmann_2022_isoflop"])
    assert finding.numbers["nearest"] == "besiroglu_2024"
    assert finding.numbers["farthest"] == "kaplan_2020_compute"
    assert "At 5.76e23 FLOPs 3 published laws put N between 63.4B and 804B" in finding.sentence
    assert (
        "following Kaplan et al. 2020, optimal size at a compute budget wastes 85 %"
        in finding.sentence
    )
    assert "not comparable between tokenizers and data" in finding.sentence


def test_sources_stand_beside_the_numbers():
    sources = made(["deepseek_2024"]).tables["sources"].iloc[0]
    assert "arXiv 2401.02954" in sources["source"]
    assert sources["read_in"] == "secondary source"
    assert "not a parameter count" in sources["params_are"]


def test_unusable_lists_are_refused_in_a_sentence():
    with pytest.raises(FloplineError, match="no published law 'chinchilla'"):
        made(["chinchilla"])
    with pytest.raises(FloplineError, match="names a size at a budget"):
        made(["nmm_2025_early"])
