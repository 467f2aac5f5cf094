"""Figures in a notebook: one table in, a figure out; and the examples of docs/figures.md."""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from flopline import figures, fits, notebook
from flopline.errors import FloplineError
from flopline.laws.isoflop import isoflop_fit
from flopline.storage import write_json, write_parquet
from running.digest import Memory, _closure
from tests.builders.curves import curves_of
from tests.builders.drawn_figures import cleaned, family_runs
from tests.builders.figure_checks import by_gid
from tests.builders.surfaces import BESIROGLU
from tests.conftest import ROOT

LIBRARY = ROOT / "workflow" / "flopline"
FAST = {"draws": 40}


def table_of(*families: str) -> pd.DataFrame:
    """Runs of each family; every next one needs more compute (synthetic)."""
    parts = [
        family_runs(replace(BESIROGLU, A=BESIROGLU.A + 60 * i), i).assign(family=name)
        for i, name in enumerate(families)
    ]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(
        run=[f"{f}-{r}" for f, r in zip(table["family"], table["run"], strict=True)]
    )


def curves_from(table: pd.DataFrame) -> pd.DataFrame:
    """Twelve steps of every third size's runs, on the same surface (synthetic)."""
    return curves_of(table[table["params"].rank() % 3 == 0], BESIROGLU, 12, steps=1200)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return table_of("dense")


def test_isoflop_of_a_table_is_drawn_with_the_libraries_own_fit(table: pd.DataFrame) -> None:
    figure = notebook.isoflop(table, target=5.76e23, **FAST)
    assert isinstance(figure, Figure)
    named = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    budgets = [name.split()[0] for name in named if "e" in name.split()[0] and name[0].isdigit()]
    assert [float(b) for b in budgets] == sorted(set(table["flops"]))
    guides = by_gid(figure.axes[1], "guide")
    assert guides[0].get_xdata()[0] == 5.76e23


def test_the_target_is_ten_times_the_largest_run_unless_given(table: pd.DataFrame) -> None:
    figure = notebook.contours(table, **FAST)
    (mark,) = by_gid(figure.axes[0], "target")
    assert mark.get_xdata()[0] == 3e22


def test_budgets_may_stand_in_the_table_or_be_given(table: pd.DataFrame) -> None:
    named = notebook.isoflop(table.assign(budget=table["flops"].round(-18)), **FAST)
    given = notebook.isoflop(table, budgets=sorted(set(table["flops"])), **FAST)
    texts = [[t.get_text() for t in f.axes[0].get_legend().get_texts()] for f in (named, given)]
    assert texts[0] == texts[1]


def test_a_missing_column_is_named_beside_those_that_are_there(table: pd.DataFrame) -> None:
    with pytest.raises(FloplineError, match=r"lacks tokens, loss; its columns are run, params, "):
        notebook.isoflop(table.rename(columns={"loss": "val_loss"}).drop(columns="tokens"))
    with pytest.raises(FloplineError, match="has no rows"):
        notebook.surface(table.iloc[:0])
    with pytest.raises(FloplineError, match="curves lacks step"):
        notebook.envelope(table)
    with pytest.raises(FloplineError, match="dropped rows lacks step, reason"):
        notebook.cleaning(pd.DataFrame({"run": []}), table)


def test_of_several_families_one_must_be_named() -> None:
    pair = table_of("dense", "sparse")
    with pytest.raises(FloplineError, match="families dense, sparse: name the one to draw"):
        notebook.contours(pair)
    with pytest.raises(FloplineError, match="'moe' is none of them"):
        notebook.contours(pair, family="moe")
    assert (
        notebook.contours(pair, family="sparse", **FAST).axes[0].get_title(loc="left") == "sparse"
    )


def test_families_need_two(table: pd.DataFrame) -> None:
    with pytest.raises(FloplineError, match="column family holds only one"):
        notebook.families(table)
    with pytest.raises(FloplineError, match="column family is missing"):
        notebook.families(table.drop(columns="family"))


def test_a_law_that_cannot_be_fitted_is_named_and_the_others_are_drawn(table: pd.DataFrame) -> None:
    scattered = table.assign(flops=table["flops"] * np.geomspace(1, 3, len(table)))
    figure = notebook.losscompute(scattered, budgets=[1e30], **FAST)
    assert by_gid(figure.axes[0], "parametric")
    assert not by_gid(figure.axes[0], "isoflop")


def test_one_table_and_seed_give_one_figure(table: pd.DataFrame, tmp_path: Path) -> None:
    files = [
        notebook.save(notebook.contours(table, **FAST), tmp_path / name, ["svg"])[0]
        for name in ("one", "two")
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_old_import_paths_still_work_with_a_warning() -> None:
    for name in set(notebook.__all__) - {"figure"}:
        with pytest.warns(DeprecationWarning, match=f"has moved to flopline.notebook.{name};"):
            assert getattr(figures, name) is getattr(notebook, name)
    for law in ("envelope", "isoflop", "parametric"):
        with pytest.warns(DeprecationWarning, match=f"moved to flopline.laws.{law}.{law}_fit"):
            assert callable(getattr(fits, law).fit)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = figures.nothing


def test_no_script_of_the_workflow_depends_on_the_notebook(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "store")
    of_notebook = LIBRARY / "notebook.py"
    scripts = sorted((LIBRARY.parent / "scripts").glob("*.py"))
    assert len(scripts) > 10
    for script in scripts:
        files, _ = _closure(script, LIBRARY, memory, ())
        assert of_notebook not in files, script
    # What a figure rule depends on by name: its own module, no other figure's, and no law's fit.
    drawing = LIBRARY.parent / "scripts" / "figure.py"
    files, _ = _closure(drawing, LIBRARY, memory, ["flopline.figures.isoflop_figure"])
    figures = {path for path in files if path.name.endswith("_figure.py")}
    assert figures == {LIBRARY / "figures" / "isoflop_figure.py"}
    assert LIBRARY / "figures" / "registry.py" not in files
    fits = [path for path in files if path.name.endswith("_fit.py")]
    assert not [path for path in fits if path.parent.name != "common"]


@pytest.mark.parametrize("name", ["ladder", "identifiability", "stakes", "losscompute", "isoflop"])
def test_a_figure_by_its_name_is_that_of_its_own_function(
    table: pd.DataFrame, name: str, tmp_path: Path
) -> None:
    files = [
        notebook.save(draw(table, target=1e23, width="column", **FAST), tmp_path / by, ["svg"])[0]
        for by, draw in (
            ("name", functools.partial(notebook.figure, name)),
            ("function", getattr(notebook, name)),
        )
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_figure_of_all_families_takes_all_of_them(tmp_path: Path) -> None:
    pair = table_of("dense", "sparse")
    files = [
        notebook.save(draw(pair, **more), tmp_path / name, ["svg"])[0]
        for name, draw, more in (
            ("families", notebook.families, FAST),
            ("families_by_name", functools.partial(notebook.figure, "families"), FAST),
            ("surface", functools.partial(notebook.surface, width="page"), {}),
            ("surface_by_name", functools.partial(notebook.figure, "surface"), FAST),
        )
    ]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[2].read_bytes() == files[3].read_bytes()


def test_a_figure_that_a_table_of_runs_does_not_give_says_why(table: pd.DataFrame) -> None:
    with pytest.raises(FloplineError, match="No figure is called 'pie': take one of surface, "):
        notebook.figure("pie", table)
    with pytest.raises(FloplineError, match="'cleaning' shows what cleaning left"):
        notebook.figure("cleaning", table)
    with pytest.raises(FloplineError, match="takes training curves: give `curves`"):
        notebook.figure("envelope", table, **FAST)
    with pytest.raises(FloplineError, match="shows the isoflop law, which was not fitted: "):
        notebook.figure("isoflop", table.iloc[:3], **FAST)


def examples() -> list[str]:
    text = (ROOT / "docs" / "figures.md").read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def write_isoflop(folder: Path, runs: pd.DataFrame) -> None:
    """What the workflow leaves of the isoFLOP fit of a family."""
    folder.mkdir(parents=True)
    fit = isoflop_fit.fit(runs, [1e23], draws=40)
    write_json(fit.to_json(), folder / "isoflop.json")
    for name, table in {"draws": fit.draws, **fit.tables}.items():
        write_parquet(table, folder / f"isoflop.{name}.parquet")


def test_the_examples_of_the_docs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a reader would run them, one after the other, with few draws."""
    monkeypatch.chdir(tmp_path)
    runs = table_of("dense", "sparse")
    runs = runs[runs["flops"] >= 3e19]
    runs[runs["family"] == "dense"].drop(columns="family").to_csv("runs.csv", index=False)
    curves_from(runs[runs["family"] == "dense"]).to_csv("curves.csv", index=False)
    Path("clean").mkdir()
    kept, dropped = cleaned(3)
    kept.to_parquet("clean/runs.parquet")
    dropped.to_parquet("clean/dropped.parquet")
    write_isoflop(Path("results/mine/fits/dense"), runs[runs["family"] == "dense"])
    for name in set(notebook.__all__) - {"save", "cleaning", "surface"}:
        real = getattr(notebook, name)
        monkeypatch.setattr(notebook, name, lambda *a, _real=real, **k: _real(*a, **{**k, **FAST}))
    save = notebook.save
    monkeypatch.setattr(notebook, "save", lambda figure, path: save(figure, path, ["svg"]))
    scope: dict[str, Any] = {}
    named = set()
    for example in examples():
        if "families(table)" in example:
            scope["table"] = runs
        exec(example, scope)  # noqa: S102  the examples of our own docs
        if "families(table)" in example:
            scope["table"] = runs[runs["family"] == "dense"]
        named |= set(re.findall(r"notebook\.(\w+)\(", example))
        if "figure" in scope:
            assert isinstance(scope["figure"], Figure)
    assert named == set(notebook.__all__)
    for name in ("contours", "families", "stakes"):
        assert (tmp_path / "out" / f"{name}.svg").is_file()
