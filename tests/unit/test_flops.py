"""FLOPs conventions: published ratios, and what each needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from flopline.errors import FloplineError
from flopline.flops import (
    ARCHITECTURE,
    CONVENTIONS,
    NEEDS,
    FactArrays,
    convention_named,
    exact_flops_per_token,
    flops_per_token,
    gemstones_flops_per_token,
    hoffmann_params,
    nonembedding_params,
    total_params,
)
from tests.conftest import ROOT

TABLE_A4 = {
    "depth": [10, 20, 24, 26, 28, 40],
    "width": [640, 1024, 1280, 1792, 2048, 3584],
    "ffn": [2560, 4096, 5120, 7168, 8192, 14336],
    "heads": [10, 16, 10, 14, 16, 28],
    "kv_size": [64, 64, 128, 128, 128, 128],
    "vocab": [32_000] * 6,
    "seq_len": [2048] * 6,
}
"""The six models of Hoffmann et al. 2022 (arXiv 2203.15556), Table A4."""

RATIOS = [1.03, 1.10, 1.08, 1.04, 1.03, 0.99]
"""Their FLOP ratios as printed there."""


def facts(**given: object) -> FactArrays:
    size = max((np.size(v) for v in given.values()), default=1)
    out = {name: np.full(size, np.nan) for name in NEEDS}
    return {**out, **{name: np.asarray(v, dtype=float) for name, v in given.items()}}


def test_ratios_of_hoffmann_table_a4() -> None:
    models = facts(**TABLE_A4)
    ratio = flops_per_token("hoffmann_table_a4", models) / (6 * hoffmann_params(models))
    assert np.round(ratio, 2).tolist() == RATIOS


def test_sizes_of_hoffmann_table_a4() -> None:
    millions = hoffmann_params(facts(**TABLE_A4)) / 1e6
    # Printed: 73M, 305M, 552M, 1.1B, 1.6B, 6.8B.
    assert millions.astype(int).tolist() == [73, 305, 552, 1142, 1592, 6794]


def test_appendix_f_as_written_is_larger_than_as_tabulated() -> None:
    models = facts(**TABLE_A4)
    ratio = flops_per_token("hoffmann_app_f", models) / (6 * hoffmann_params(models))
    # The formula as printed misses the printed ratios, most for small models.
    assert np.round(ratio, 2).tolist() == [1.58, 1.32, 1.23, 1.15, 1.12, 1.03]
    extra = flops_per_token("hoffmann_app_f", models) - flops_per_token("hoffmann_table_a4", models)
    assert extra.tolist() == pytest.approx((12 * models["vocab"] * models["width"]).tolist())


def test_kaplan_counts_twelve_layers_width_squared() -> None:
    model = facts(depth=[12], width=[768], heads=[12], kv_size=[64], ffn=[3072], vocab=[50257],
                  seq_len=[1024])  # fmt: skip
    assert nonembedding_params(model).tolist() == [12 * 12 * 768**2]
    assert total_params(model).tolist() == [12 * 12 * 768**2 + 50257 * 768]
    assert flops_per_token("kaplan_nonemb", model).tolist() == [72 * 12 * 768**2]
    given = {**model, "params_nonembedding": np.array([85e6]), "params_total": np.array([124e6])}
    assert flops_per_token("kaplan_nonemb", given).tolist() == [6 * 85e6]
    assert flops_per_token("six_nd_total", given).tolist() == [6 * 124e6]


def test_deepseek_m_is_non_embedding_six_n_and_attention() -> None:
    model = facts(params=[72.0 / 6 * 30 * 4096**2], depth=[30], width=[4096], heads=[32],
                  kv_size=[128], seq_len=[4096])  # fmt: skip
    wanted = flops_per_token("six_nd_attention", model)
    assert flops_per_token("deepseek_m", model).tolist() == wanted.tolist()


def test_six_nd_supplied_and_per_token() -> None:
    model = facts(params=[10.0], flops_per_token=[61.0])
    assert flops_per_token("six_nd", model).tolist() == [60.0]
    assert flops_per_token("per_token", model).tolist() == [61.0]
    assert flops_per_token("supplied", model) is None


def test_gemstones_goes_by_width_and_depth() -> None:
    model = facts(width=[512.0], depth=[10.0])
    wanted = gemstones_flops_per_token(512.0, 10.0)
    assert flops_per_token("gemstones", model).tolist() == [float(wanted)]


def test_exact_count_prefers_what_the_run_table_says() -> None:
    models = facts(**TABLE_A4, flops_per_token=[1.0, *[np.nan] * 5])
    exact = exact_flops_per_token(models)
    assert exact[0] == 1.0
    assert exact[1:].tolist() == flops_per_token("hoffmann_app_f", models)[1:].tolist()
    assert np.isnan(exact_flops_per_token(facts(params=[1.0]))).all()


@pytest.mark.parametrize("name", sorted(set(CONVENTIONS) - {"supplied"}))
def test_a_convention_says_what_it_needs(name: str) -> None:
    """With each of its sets of facts it gives a number, and without any one of them it lacks it."""
    convention = convention_named(name)
    complete = {n: v[:1] for n, v in facts(**TABLE_A4, params=[1e8] * 6, params_total=[1e8] * 6,
             params_nonembedding=[9e7] * 6, flops_per_token=[6e8] * 6).items()}  # fmt: skip
    for needs in convention.needs:
        given = {n: v if n in needs else v * np.nan for n, v in complete.items()}
        assert np.isfinite(flops_per_token(name, given)).all()
        assert convention.lacks(set(needs)) == ()
        for fact in needs:
            assert np.isnan(flops_per_token(name, {**given, fact: given[fact] * np.nan})).all()
            assert convention.lacks({n for n in needs if n != fact})
    assert convention.source
    assert convention.formula


def test_unknown_convention_is_refused_with_the_known_ones() -> None:
    with pytest.raises(FloplineError, match=r"'six' is not known; known are: six_nd"):
        flops_per_token("six", facts(params=[1.0]))


def test_schema_and_docs_list_every_convention_and_fact() -> None:
    path: Path = ROOT / "workflow/schemas/study.schema.yaml"
    schema = yaml.safe_load(path.read_text())["properties"]
    assert schema["flops_convention"]["enum"] == list(CONVENTIONS)
    docs = (ROOT / "docs/flops.md").read_text()
    assert [n for n in [*CONVENTIONS, *ARCHITECTURE] if f"`{n}`" not in docs] == []
    source = schema["source"]["properties"]
    for columns in (source["columns"], source["runs"]["properties"]["columns"]):
        assert set(ARCHITECTURE) <= set(columns["properties"])
