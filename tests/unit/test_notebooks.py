"""The example notebooks run from their first cell to their last."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from tests.conftest import ROOT

NOTEBOOKS = {path.stem: path for path in sorted((ROOT / "docs/notebooks").glob("*.ipynb"))}
OF_A_MINUTE = "logs-to-report"


def shown(notebook: Path) -> dict[str, Any]:
    """Run a notebook; the values that its cells end in, in their order, and its variables."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {"__name__": "__main__"}
    values = []
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        assert cell["outputs"] == []  # they are made when the notebook is run
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, notebook.name, "exec"), names)  # noqa: S102 (our own notebook)
        if isinstance(last, ast.Expr):
            code = compile(ast.Expression(last.value), notebook.name, "eval")
            values.append(eval(code, names))  # noqa: S307
    return {"values": values, **names}


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "workflow"))
    monkeypatch.setattr(mpl, "get_backend", lambda: "agg")


def test_five_minutes() -> None:
    out = shown(NOTEBOOKS["five-minutes"])
    assert set(out["runs"]["family"]) == {"mingru", "transformer"}
    assert (out["law"].plan(1e14)["loss"] < out["runs"]["loss"].min()).all()


def test_next_sweep_narrows_the_interval_about_the_truth() -> None:
    out = shown(NOTEBOOKS["next-sweep"])
    before, *_, after = (value for value in out["values"] if "params_lo95" in value)
    truth = after["truth"].item()
    assert after["params_lo95"].item() < truth < after["params_hi95"].item()
    widths = [
        value["params_hi95"].item() / value["params_lo95"].item() for value in (before, after)
    ]
    assert widths[1] < widths[0]


@pytest.mark.slow
@pytest.mark.workflow
def test_logs_to_report() -> None:
    out = shown(NOTEBOOKS[OF_A_MINUTE])
    assert out["decision"]["headline"]["family"] in {"mingru", "transformer"}


def test_all_are_tested_and_on_no_path_of_this_machine() -> None:
    assert set(NOTEBOOKS) == {"five-minutes", "next-sweep", OF_A_MINUTE}
    for path in NOTEBOOKS.values():
        assert str(ROOT) not in path.read_text(encoding="utf-8")
