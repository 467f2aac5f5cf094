"""What `import flopline` offers a notebook: tables read with care, laws, comparisons, reports."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import flopline
from flopline import given_tables, law
from flopline.errors import FloplineError
from tests.builders.designs import isoflop_runs, with_budgets
from tests.builders.surfaces import BESIROGLU

FINISHED = with_budgets(isoflop_runs(BESIROGLU, noise=0.002, seed=5))
FLOPS = 1e22


@pytest.fixture(scope="module")
def parametric() -> flopline.Law:
    return flopline.fit(FINISHED, target=FLOPS, draws=40, seed=1)


def table(**changes: object) -> pd.DataFrame:
    made = pd.DataFrame(
        {
            "N (M)": FINISHED["params"] / 1e6,
            "D": FINISHED["tokens"],
            "val": FINISHED["loss"],
            "kind": "ash",
        }
    )
    return made.assign(**changes)


def test_a_table_is_read_in_its_own_order_and_units() -> None:
    runs = flopline.read_runs(table(), params=("N (M)", 1e6), tokens="D", loss="val", family="kind")
    np.testing.assert_allclose(runs["params"], FINISHED["params"])
    np.testing.assert_allclose(runs["flops"], 6 * FINISHED["params"] * FINISHED["tokens"])
    assert set(runs["family"]) == {"ash"}
    assert list(runs["run"]) == sorted(runs["run"])


def test_a_file_gives_what_the_table_gives(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    table().to_csv(path, index=False)
    options = {"params": ("N (M)", 1e6), "tokens": "D", "loss": "val"}
    pd.testing.assert_frame_equal(
        flopline.read_runs(path, **options), flopline.read_runs(table(), **options)
    )


@pytest.mark.parametrize(
    ("made", "options", "words"),
    [
        (table(), {"params": "N (M)"}, r"write params=\('N \(M\)', 1e6\)"),
        (table(), {"params": "N"}, r"no column 'N' \(the argument params\); it has: N \(M\), D"),
        (table(n=FINISHED["params"] / 1e6), {"params": "n"}, r"write params=\('n', 1e6\)"),
        (table(val="low"), {"params": ("N (M)", 1e6)}, "'low'"),
        (table(), {"params": ("N (M)", 1e6), "family": "k"}, "no column 'k'; it has"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_of_the_arguments(
    made: pd.DataFrame, options: dict[str, object], words: str
) -> None:
    with pytest.raises(FloplineError, match=words) as told:
        flopline.read_runs(made, **{"tokens": "D", "loss": "val", **options})  # type: ignore[arg-type]
    assert "study file" not in str(told.value)
    assert "source" not in str(told.value)


def test_runs_that_diverged_are_set_aside_with_a_warning() -> None:
    losses = FINISHED["loss"].to_numpy().copy()
    losses[3] = np.nan
    with pytest.warns(UserWarning, match="is set aside"):
        runs = flopline.read_runs(table(val=losses), params=("N (M)", 1e6), tokens="D", loss="val")
    assert len(runs) == len(FINISHED) - 1


def test_a_law_recovers_its_truth_and_says_so(parametric: flopline.Law) -> None:
    plan = parametric.plan([1e21, FLOPS])
    for flops in (1e21, FLOPS):
        row = plan.loc[flops]
        assert row["params"] == pytest.approx(BESIROGLU.params_opt(np.array([flops]))[0], rel=0.2)
        assert row["params_lo95"] < row["params"] < row["params_hi95"]
    stated = parametric.result.targets[0].values
    assert plan.loc[FLOPS, "loss"] == pytest.approx(stated["loss"].point)
    assert plan.loc[FLOPS, "loss_hi95"] == pytest.approx(stated["loss"].hi95)
    assert parametric.status in repr(parametric)
    assert "<table" in parametric._repr_html_()
    low, high = parametric.conf_int().loc["alpha"]
    assert low < parametric.to_frame().loc["alpha", "point"] < high
    with pytest.raises(FloplineError, match="intervals are known at 80 and 95 %"):
        parametric.conf_int(90)


def test_predictions_and_residuals_agree(parametric: flopline.Law) -> None:
    predicted = parametric.predict(FINISHED["params"], FINISHED["tokens"])
    seen = parametric.residuals.set_index("run").loc[FINISHED["run"], "log_residual"]
    np.testing.assert_allclose(
        np.log(FINISHED["loss"].to_numpy() / predicted["loss"].to_numpy()), seen, atol=1e-9
    )
    assert (predicted["lo95"] <= predicted["lo80"]).all()
    assert (predicted["hi80"] <= predicted["hi95"]).all()


def test_a_law_of_compute_says_what_it_cannot() -> None:
    isoflop = flopline.fit(FINISHED, "isoflop", target=FLOPS, draws=40)
    assert isoflop.plan(FLOPS)["params"].item() == pytest.approx(
        BESIROGLU.params_opt(np.array([FLOPS]))[0], rel=0.3
    )
    for asked in (lambda: isoflop.predict(1e9, 1e10), lambda: isoflop.residuals):
        with pytest.raises(FloplineError, match="the isoflop law"):
            asked()
    few = FINISHED.head(3)
    with pytest.raises(FloplineError, match="isoFLOP") as told:
        flopline.fit(few, "isoflop")
    assert "study file" not in str(told.value)


def test_laws_side_by_side_and_audited() -> None:
    compared = flopline.compare(FINISHED, at=FLOPS, draws=40)
    assert {"isoflop", "parametric"} <= set(compared.index.get_level_values("law"))
    assert (compared["params"] > 0).all()
    found = flopline.audit_runs(FINISHED, at=FLOPS, names=["identifiability"], draws=40)
    assert list(found.index) == ["identifiability"]
    assert "directions" in found.attrs["tables"]["identifiability"]
    with pytest.raises(FloplineError, match="no audit is called 'ladders': choose of ladder"):
        flopline.audit_runs(FINISHED, names=["ladders"])


def test_public_functions_say_parameters_returns_and_give_an_example() -> None:
    for name in set(flopline.__all__) - {"__version__"}:
        text = inspect.getdoc(getattr(flopline, name)) or ""
        wanted = ["Examples:"] if name == "Law" else ["Returns:", "Raises:", "Examples:"]
        assert [word for word in wanted if word not in text] == [], name
    for module in (given_tables, law):
        failed, _ = doctest.testmod(module)
        assert failed == 0


def test_a_report_takes_a_new_folder(tmp_path: Path) -> None:
    (tmp_path / "config/studies").mkdir(parents=True)
    (tmp_path / "config/studies/table.yaml").touch()
    with pytest.raises(FloplineError, match="holds a project already: name another folder"):
        flopline.write_report(FINISHED, tmp_path, at=FLOPS)


@pytest.mark.parametrize("budget", ["big", [], -1.0, [1e21, np.nan], None])
def test_a_budget_that_is_no_number_is_one_sentence(
    parametric: flopline.Law, budget: object
) -> None:
    with pytest.raises(FloplineError, match="give one number above 0, or several"):
        parametric.plan(budget)  # type: ignore[arg-type]


def test_other_mistakes_are_one_sentence_too(parametric: flopline.Law) -> None:
    with pytest.raises(FloplineError, match="params are 2 numbers and tokens 3"):
        parametric.predict([1e9, 2e9], [1e10, 2e10, 3e10])
    with pytest.raises(FloplineError, match="choose one of envelope, isoflop, parametric"):
        flopline.fit(FINISHED, "isoflops")
    with pytest.raises(FloplineError, match="is no DataFrame: read it by"):
        flopline.fit("sweep.csv")  # type: ignore[arg-type]
    with pytest.raises(FloplineError, match="is no table: give a path or a DataFrame"):
        flopline.read_runs([1, 2])  # type: ignore[arg-type]
    assert {"fit", "read_runs"} <= set(dir(flopline))


def test_a_budget_out_of_reach_is_warned_of(parametric: flopline.Law) -> None:
    with pytest.warns(UserWarning, match="out of reach of the runs"):
        parametric.plan(1e30)


def test_rows_that_are_left_out_are_told() -> None:
    twice = pd.concat([table(), table().head(1)], ignore_index=True)
    names = [f"r{n}" for n in range(len(FINISHED))]
    with pytest.warns(UserWarning, match="1 row left out"):
        runs = flopline.read_runs(
            twice.assign(job=[*names, "r0"]), params=("N (M)", 1e6), tokens="D", loss="val",
            run="job",
        )  # fmt: skip
    assert len(runs) == len(FINISHED)


def test_fewer_draws_than_an_interval_needs_are_refused() -> None:
    with pytest.raises(FloplineError, match="draws is 3: give 40 or more, since of fewer none lie"):
        flopline.fit(FINISHED, target=FLOPS, draws=3)


def test_runs_that_lie_on_a_law_give_no_certainty() -> None:
    exact = isoflop_runs(BESIROGLU, np.geomspace(1e18, 1e20, 4), 6)
    law = flopline.fit(exact, target=FLOPS, draws=40)
    assert law.result.status == "warning"
    assert law.result.message.startswith("The 95 % interval of N has no width, since the runs lie")
