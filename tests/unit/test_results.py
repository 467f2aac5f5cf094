"""What a study left, read by name: of the files handed over those that are asked for."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from flopline.audit.finding import Finding
from flopline.errors import FloplineError
from flopline.laws.common.fit_result import CONVERGED, FitResult
from flopline.results import FamilyResults, LawResults, place_in, read_results
from flopline.storage import read_arrow, read_parquet, reading_once, write_json, write_parquet
from flopline.verdict_scale import Verdict
from tests.conftest import ROOT

TABLE = pd.DataFrame({"x": [1.0, 2.0]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The results of a study with families whose names are none of a shell's delight."""
    for family in ("a.b", "fits"):
        for law in ("isoflop", "envelope"):
            base = tmp_path / "fits" / family
            base.mkdir(parents=True, exist_ok=True)
            write_json({"law": law, "family": family}, base / f"{law}.json")
            for table in ("draws", "vertices"):
                write_parquet(TABLE.assign(x=len(family)), base / f"{law}.{table}.parquet")
        audit = tmp_path / "audit" / family
        (audit / "tables").mkdir(parents=True)
        findings = {"audit": "ladder", "sentence": family, "tables": ["steps"]}
        write_json([findings], audit / "findings.json")
        write_parquet(TABLE, audit / "tables/ladder.steps.parquet")
    (tmp_path / "clean/curves").mkdir(parents=True)
    for name in ("runs", "dropped"):
        write_parquet(TABLE, tmp_path / f"clean/{name}.parquet")
    write_json({"rule": "any"}, tmp_path / "decision.json")
    write_parquet(TABLE.assign(x=3.0), tmp_path / "decision.parquet")
    write_json(["a run diverged"], tmp_path / "clean/notes.json")
    return tmp_path


def all_files(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and p.parent.name != "tables"]


def test_everything_is_found_under_its_name(folder: Path) -> None:
    files = all_files(folder)
    files += [folder / "audit/a.b/tables", folder / "clean/curves/0.parquet"]
    results = read_results(folder, files)
    assert list(results.families) == ["a.b", "fits"]
    for family, family_results in results.families.items():
        assert family_results.fits["isoflop"] == {"law": "isoflop", "family": family}
        assert list(family_results.draws) == ["envelope", "isoflop"]
        table = family_results.table("envelope", "vertices")
        assert table is not None
        assert table["x"].tolist() == [len(family)] * 2
        assert family_results.table("envelope", "draws") is None
        assert family_results.table("parametric", "points") is None
        assert list(family_results.of_each("vertices")) == ["envelope", "isoflop"]
        law = family_results.of_law("isoflop")
        assert law.content is family_results.fits["isoflop"]
        assert law.draws is family_results.draws["isoflop"]
        assert law.tables["vertices"]["x"].tolist() == [len(family)] * 2
        assert family_results.findings["ladder"]["sentence"] == family
        assert family_results.findings["ladder"]["tables"]["steps"]["x"].tolist() == [1.0, 2.0]
    assert results.runs.equals(results.dropped)
    assert results.decision == {"rule": "any"}
    assert results.lines["x"].tolist() == [3.0, 3.0]
    assert results.notes == ["a run diverged"]
    assert results.curves == (folder / "clean/curves/0.parquet",)


def test_no_file_is_read_that_was_not_handed_over(folder: Path) -> None:
    results = read_results(folder, [folder / "fits/a.b/isoflop.json"])
    assert list(results.families) == ["a.b"]
    assert dict(results.families["a.b"].draws) == {}
    assert not results.families["a.b"].findings
    with pytest.raises(KeyError):
        _ = results.runs


def test_a_damaged_file_matters_to_who_asks_for_it(folder: Path) -> None:
    for name in ("isoflop.json", "isoflop.draws.parquet"):
        (folder / "fits/a.b" / name).write_text("{")
    (folder / "audit/a.b/tables/ladder.steps.parquet").write_text("{")
    family_results = read_results(folder, all_files(folder)).families["a.b"]
    assert family_results.fits["envelope"]["law"] == "envelope"
    assert family_results.findings["ladder"]["sentence"] == "a.b"
    for ask in (
        lambda: family_results.fits["isoflop"],
        lambda: family_results.draws["isoflop"],
        lambda: family_results.findings["ladder"]["tables"]["steps"],
    ):
        with pytest.raises(FloplineError, match="is damaged"):
            ask()


def test_each_file_is_read_once(folder: Path) -> None:
    family_results = read_results(folder, all_files(folder)).families["fits"]
    assert family_results.draws["isoflop"] is family_results.draws["isoflop"]
    assert family_results.findings["ladder"] is family_results.findings["ladder"]


def test_results_in_memory_are_read_as_those_of_files_are() -> None:
    fit = FitResult("isoflop", "parabola", CONVERGED, "", 1, 1, {}, {}, [], {}, TABLE, {"t": TABLE})
    family_results = FamilyResults.of({"isoflop": fit})
    assert family_results.of_law("isoflop").content == LawResults.of(fit).content
    assert family_results.of_law("isoflop").draws is TABLE
    assert family_results.fits["isoflop"]["status"] == CONVERGED
    assert family_results.table("isoflop", "t") is TABLE


def test_a_file_of_another_kind_is_refused(folder: Path) -> None:
    with pytest.raises(FloplineError, match=r"report\.html is none of the results"):
        read_results(folder, [folder / "report.html"])


def test_results_that_come_through_a_storage_plugin_have_the_same_names(folder: Path) -> None:
    base = Path("results/mine")
    stored = Path(".snakemake/storage/s3/results/mine/flopline/results/mine/fits/a/isoflop.json")
    assert place_in(base, stored) == Path("fits/a/isoflop.json")
    assert place_in(folder, folder / "results/mine/x") == Path("results/mine/x")
    with pytest.raises(FloplineError, match="is no file of results/mine"):
        place_in(base, Path("results/other/decision.json"))


def test_findings_are_other_bytes_where_one_of_their_tables_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads the tables is made anew by the findings: a folder has no digest to go by."""
    monkeypatch.syspath_prepend(str(ROOT / "workflow/scripts"))
    from findings import write_findings  # type: ignore[import-not-found]

    def written(folder: str, x: float) -> bytes:
        path = tmp_path / folder / "findings.json"
        path.parent.mkdir()
        finding = Finding("ladder", Verdict.GOOD, "As before.", {}, {"steps": TABLE.assign(x=x)})
        write_findings([finding], path, path.parent / "tables")
        return path.read_bytes()

    assert written("a", 1.0) == written("b", 1.0) != written("c", 1.0 + 1e-15)


def test_a_table_that_was_digested_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_parquet(pd.DataFrame({"a": [1, 2], "b": ["x", None]}), path)
    with reading_once():
        first = read_arrow(path, again=True)
        assert read_arrow(path, again=True) is first
        assert read_arrow(path) is first
        assert read_arrow(path) is not first, "it is not kept longer"
    with reading_once():
        read_arrow(path, again=True)
    write_parquet(pd.DataFrame({"a": [3]}), path)
    assert read_parquet(path)["a"].tolist() == [3]
    assert read_arrow(path, again=True) is not read_arrow(path)


def test_text_is_a_string_however_it_was_stored(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    table = pd.DataFrame({"plain": ["x", None], "coded": ["y", None], "n": [1.0, 2.0]})
    table["coded"] = table["coded"].astype("category")
    write_parquet(table, path)
    read = read_parquet(path)
    assert [str(dtype) for dtype in read.dtypes] == ["string", "string", "float64"]
    assert read["coded"].isna().tolist() == [False, True]
    assert list(read) == list(table)
