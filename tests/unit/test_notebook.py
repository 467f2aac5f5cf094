"""Figures in a notebook: one table in, a figure out; and the examples of docs/figures.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from test_figures import by_gid
from test_figures_cleaning import tables
from test_figures_loss import BESIROGLU, runs_of

from flopline import figures
from flopline.digest import Memory, _closure
from flopline.errors import FloplineError
from flopline.figures import quick
from tests.conftest import ROOT

LIBRARY = ROOT / "workflow" / "flopline"
FAST = {"draws": 8}


def table_of(*families: str) -> pd.DataFrame:
    """Runs of each family; every next one needs more compute (synthetic)."""
    parts = [
        runs_of(BESIROGLU | {"A": 482.01 + 60 * i}, i).assign(family=name)
        for i, name in enumerate(families)
    ]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(
        run=[f"{f}-{r}" for f, r in zip(table["family"], table["run"], strict=True)]
    )


def curves_of(table: pd.DataFrame) -> pd.DataFrame:
    """Each run's loss on the same surface at 12 of its steps (synthetic)."""
    parts = []
    for run in table[table["params"].rank() % 3 == 0].itertuples():
        share = np.linspace(1 / 12, 1, 12)
        tokens = share * run.tokens
        loss = run.loss + BESIROGLU["B"] * (tokens**-0.3658 - run.tokens**-0.3658)
        parts.append(
            pd.DataFrame(
                {"run": run.run, "params": run.params, "step": np.arange(1, 13) * 100,
                 "tokens": tokens, "flops": 6 * run.params * tokens, "loss": loss}
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return table_of("dense")


def test_isoflop_of_a_table_is_drawn_with_the_libraries_own_fit(table: pd.DataFrame) -> None:
    figure = figures.isoflop(table, target=5.76e23, **FAST)
    assert isinstance(figure, Figure)
    named = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    budgets = [name.split()[0] for name in named if "e" in name.split()[0] and name[0].isdigit()]
    assert [float(b) for b in budgets] == sorted(set(table["flops"]))
    guides = by_gid(figure.axes[1], "guide")
    assert guides[0].get_xdata()[0] == 5.76e23


def test_the_target_is_ten_times_the_largest_run_unless_given(table: pd.DataFrame) -> None:
    figure = figures.contours(table, **FAST)
    (mark,) = by_gid(figure.axes[0], "target")
    assert mark.get_xdata()[0] == 3e22


def test_budgets_may_stand_in_the_table_or_be_given(table: pd.DataFrame) -> None:
    named = figures.isoflop(table.assign(budget=table["flops"].round(-18)), **FAST)
    given = figures.isoflop(table, budgets=sorted(set(table["flops"])), **FAST)
    texts = [[t.get_text() for t in f.axes[0].get_legend().get_texts()] for f in (named, given)]
    assert texts[0] == texts[1]


def test_a_missing_column_is_named_beside_those_that_are_there(table: pd.DataFrame) -> None:
    with pytest.raises(FloplineError, match=r"lacks tokens, loss; its columns are run, params, "):
        figures.isoflop(table.rename(columns={"loss": "val_loss"}).drop(columns="tokens"))
    with pytest.raises(FloplineError, match="has no rows"):
        figures.surface(table.iloc[:0])
    with pytest.raises(FloplineError, match="curves lacks step"):
        figures.envelope(table)
    with pytest.raises(FloplineError, match="dropped rows lacks step, reason"):
        figures.cleaning(pd.DataFrame({"run": []}), table)


def test_of_several_families_one_must_be_named() -> None:
    pair = table_of("dense", "sparse")
    with pytest.raises(FloplineError, match="families dense, sparse: name the one to draw"):
        figures.contours(pair)
    with pytest.raises(FloplineError, match="'moe' is none of them"):
        figures.contours(pair, family="moe")
    assert figures.contours(pair, family="sparse", **FAST).axes[0].get_title(loc="left") == "sparse"


def test_families_need_two(table: pd.DataFrame) -> None:
    with pytest.raises(FloplineError, match="column family holds only one"):
        figures.families(table)
    with pytest.raises(FloplineError, match="column family is missing"):
        figures.families(table.drop(columns="family"))


def test_a_law_that_cannot_be_fitted_is_named_and_the_others_are_drawn(table: pd.DataFrame) -> None:
    scattered = table.assign(flops=table["flops"] * np.geomspace(1, 3, len(table)))
    figure = figures.losscompute(scattered, budgets=[1e30], **FAST)
    assert by_gid(figure.axes[0], "parametric")
    assert not by_gid(figure.axes[0], "isoflop")


def test_one_table_and_seed_give_one_figure(table: pd.DataFrame, tmp_path: Path) -> None:
    files = [
        figures.save(figures.contours(table, **FAST), tmp_path / name, ["svg"])[0]
        for name in ("one", "two")
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


BEFORE = (
    "",
    "import flopline.figures.isoflop",
    "from flopline.figures.isoflop import isoflop",
    "from flopline.figures import isoflop; import flopline.figures.isoflop",
    "import importlib; importlib.import_module('flopline.figures.isoflop')",
)


def test_the_function_is_reached_whatever_was_imported_before() -> None:
    """In a process of its own, where the package is loaded afresh each time."""
    code = f"""
import sys
for before in {BEFORE!r}:
    for name in ("flopline.figures", "flopline.figures.isoflop"):
        sys.modules.pop(name, None)
    if "flopline" in sys.modules:
        vars(sys.modules["flopline"]).pop("figures", None)
    exec(before, {{}})
    from flopline import figures
    print(figures.isoflop.__module__, callable(figures.isoflop))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(LIBRARY.parent)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["flopline.figures.quick True"] * len(BEFORE)


def test_every_function_is_offered_and_every_module_can_still_be_imported() -> None:
    assert set(figures.NOTEBOOK) == set(quick.__all__) == set(figures.__all__)
    assert set(figures.NOTEBOOK) <= set(dir(figures))
    stub = (LIBRARY / "figures" / "__init__.pyi").read_text()
    assert set(re.findall(r"import (\w+) as \1$", stub, re.MULTILINE)) == set(figures.NOTEBOOK)
    for name in figures.NOTEBOOK:
        assert not isinstance(getattr(figures, name), ModuleType)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = figures.nothing


def test_no_script_of_the_workflow_depends_on_the_notebook(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "store")
    notebook = LIBRARY / "figures" / "quick.py"
    scripts = sorted((LIBRARY.parent / "scripts").glob("*.py"))
    assert len(scripts) > 10
    for script in scripts:
        files, _ = _closure(script, LIBRARY, memory)
        assert notebook not in files, script
    # What a figure rule depends on by name: its own module, and no law's fit.
    files, _ = _closure(LIBRARY.parent / "scripts" / "figure_isoflop.py", LIBRARY, memory)
    assert LIBRARY / "figures" / "isoflop.py" in files
    assert LIBRARY / "fits" / "parametric.py" not in files


def examples() -> list[str]:
    text = (ROOT / "docs" / "figures.md").read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_the_examples_of_the_docs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a reader would run them, one after the other, with few draws."""
    monkeypatch.chdir(tmp_path)
    runs = table_of("dense", "sparse")
    runs = runs[runs["flops"] >= 3e19]
    runs[runs["family"] == "dense"].drop(columns="family").to_csv("runs.csv", index=False)
    curves_of(runs[runs["family"] == "dense"]).to_csv("curves.csv", index=False)
    Path("clean").mkdir()
    kept, dropped = tables(3)
    kept.to_parquet("clean/runs.parquet")
    dropped.to_parquet("clean/dropped.parquet")
    for name in set(figures.NOTEBOOK) - {"save", "cleaning", "surface"}:
        real = getattr(quick, name)
        monkeypatch.setattr(quick, name, lambda *a, _real=real, **k: _real(*a, **{**k, **FAST}))
    save = quick.save
    monkeypatch.setattr(quick, "save", lambda figure, path: save(figure, path, ["svg"]))
    scope: dict[str, Any] = {}
    named = set()
    for example in examples():
        if "families(table)" in example:
            scope["table"] = runs
        exec(example, scope)  # noqa: S102  the examples of our own docs
        if "families(table)" in example:
            scope["table"] = runs[runs["family"] == "dense"]
        named |= set(re.findall(r"figures\.(\w+)\(", example))
        if "figure" in scope:
            assert isinstance(scope["figure"], Figure)
    assert named == set(figures.NOTEBOOK)
    for name in ("contours", "families", "stakes"):
        assert (tmp_path / "out" / f"{name}.svg").is_file()
