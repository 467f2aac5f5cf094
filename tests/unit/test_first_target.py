"""Figures of one target see nothing of the others, and are drawn once for what they see."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from flopline.figures.first_target import STATED, FirstTarget
from flopline.figures.registry import FIGURES
from flopline.figures.spec import figure_spec
from flopline.storage import read_json, write_json, write_parquet
from tests.builders import fits
from tests.builders.audited_family import points
from tests.builders.curves import curves_of
from tests.builders.surfaces import BESIROGLU
from tests.conftest import ROOT

FIRST, OTHER = 1e22, 1e23
VIEW = FirstTarget(FIRST)


def files_of(folder: Path, law: str, targets: list[float]) -> list[Path]:
    """What the fit of a law leaves, as its stage writes it."""
    table = points()
    if law == "envelope":
        table = fits.taken(law, table, curves_of(table, BESIROGLU))
    fit = fits.fit(law, table, targets, draws=40, **{"bins": 60} if law == "envelope" else {})
    base = folder / "fits/ash"
    base.mkdir(parents=True)
    write_json(
        {"family": "ash", **fit.to_json(), "provenance": {"n": len(targets)}}, base / f"{law}.json"
    )
    write_parquet(fit.draws, base / f"{law}.draws.parquet")
    for name, table in fit.tables.items():
        write_parquet(table, base / f"{law}.{name}.parquet")
    return sorted(base.iterdir())


@pytest.mark.parametrize("law", ["parametric", "isoflop", "envelope"])
def test_what_is_seen_of_a_fit_stays_when_a_target_comes(tmp_path: Path, law: str) -> None:
    one = files_of(tmp_path / "one", law, [FIRST])
    two = files_of(tmp_path / "two", law, [FIRST, OTHER])
    assert [path.name for path in one] == [path.name for path in two]
    assert any(a.read_bytes() != b.read_bytes() for a, b in zip(one, two, strict=True))
    for before, after in zip(one, two, strict=True):
        assert VIEW.digest(before) == VIEW.digest(after), before.name
    # And not when the first one is another.
    assert FirstTarget(OTHER).digest(two[-1].with_name(f"{law}.json")) != VIEW.digest(
        two[-1].with_name(f"{law}.json")
    )


def test_a_change_of_what_is_seen_is_seen(tmp_path: Path) -> None:
    files = files_of(tmp_path, "isoflop", [FIRST, OTHER])
    before = {path: VIEW.digest(path) for path in files}
    fit = read_json(tmp_path / "fits/ash/isoflop.json")
    fit["targets"][0]["params"]["point"] *= 1 + 1e-15
    write_json(fit, tmp_path / "fits/ash/isoflop.json")
    draws = pd.read_parquet(tmp_path / "fits/ash/isoflop.draws.parquet")
    draws.loc[3, f"params@{FIRST:.6g}"] *= 1 + 1e-15
    write_parquet(draws, tmp_path / "fits/ash/isoflop.draws.parquet")
    changed = {path.name for path in files if VIEW.digest(path) != before[path]}
    assert changed == {"isoflop.json", "isoflop.draws.parquet"}


def test_of_the_decision_and_the_findings_the_first_target_is_seen(tmp_path: Path) -> None:
    rows = [{"budget_flops": c, "family": "ash", "a": 1} for c in (FIRST, OTHER)]
    seen = VIEW(Path("results/x/decision.json"), {"choices": rows, "rule": "r", "notes": ["n"]})
    assert seen == {"choices": rows[:1], "rule": "r", "notes": ["n"]}
    for name in STATED:
        table = VIEW(Path(f"results/x/audit/ash/tables/{name}.parquet"), pd.DataFrame(rows))
        assert table["budget_flops"].tolist() == [FIRST]
    other = Path("results/x/audit/ash/tables/ladder.optima.parquet")
    assert len(VIEW(other, pd.DataFrame(rows))) == 2
    # Of a finding what it says, and not the digests of its tables.
    finding = {"audit": "ladder", "tables": {"ahead": "f0", "optima": "0f"}}
    seen_findings = VIEW(Path("results/x/audit/ash/findings.json"), [finding])
    assert seen_findings == [{"audit": "ladder", "tables": ["ahead", "optima"]}]
    for name in ("clean/notes.json", "fits/ash/isoflop.vertices.parquet"):
        assert not VIEW.concerns(Path("results/x", name))


def test_all_but_two_figures_show_one_target() -> None:
    others = {name for name in FIGURES if not figure_spec(name).first_target}
    assert others == {"families", "losscompute", "cleaning"}


@pytest.fixture
def draw_or_find(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.syspath_prepend(str(ROOT / "workflow/scripts"))
    from drawn import draw_or_find  # type: ignore[import-not-found]

    yield draw_or_find  # type: ignore[misc]
    for name in ("drawn", "solved"):
        sys.modules.pop(name, None)


class Named(SimpleNamespace):
    """As Snakemake hands on what has names."""

    def items(self) -> Any:
        return vars(self).items()


def test_a_figure_is_drawn_once_for_what_it_shows(
    tmp_path: Path, draw_or_find: Callable[..., None]
) -> None:
    results, drawn = tmp_path / "results/x", []
    source = results / "fits/ash/isoflop.json"
    source.parent.mkdir(parents=True)

    def run(view: Any = VIEW, study: Any = None, width: str = "page", **fit: Any) -> bytes:
        said = {"targets": [{"budget_flops": c} for c in (FIRST, OTHER)], **fit}
        source.write_text(json.dumps(said))
        output = Named(svg=results / "figures/a.svg", json=results / "figures/a.json")
        job = SimpleNamespace(
            input=[source], output=output, log=[results / "logs/figure_a.ash.log"],
            params=Named(study={"targets": [FIRST, OTHER]}, code="c", width=width),
            wildcards=Named(family="ash"),
        )  # fmt: skip

        def draw(seen: Any) -> None:
            drawn.append(width)
            seen(source, json.loads(source.read_text()))
            output.svg.parent.mkdir(parents=True, exist_ok=True)
            output.svg.write_bytes(bytes([len(drawn)]))
            output.json.write_text("{}")

        draw_or_find(job, study or {"targets": [FIRST]}, view, draw)
        content = output.svg.read_bytes()
        assert output.json.read_text() == "{}"
        output.svg.unlink()
        output.json.unlink()
        return content

    assert run() == run() == b"\1"
    more = [{"budget_flops": c} for c in (FIRST, OTHER, 1e24)]
    assert run(targets=more) == b"\1"
    assert run(width="column") == b"\2"
    assert run(study={"targets": [FIRST], "title": "t"}) == b"\3"
    assert run(a=1) == b"\4"
    assert run(targets=more, view=None) == b"\5"
    # Whoever takes a change back finds it, too.
    assert run() == b"\1"
    assert len(drawn) == 5
