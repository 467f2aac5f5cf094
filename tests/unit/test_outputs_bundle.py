"""The reviewer's zip: the same bytes every time, and nothing in it of the machine."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flopline.outputs import bundle
from flopline.report.page import render_appendix
from tests.builders.page_inputs import TEMPLATES, make_inputs
from tests.builders.studies import loaded, write_study
from tests.conftest import ROOT

FILES = {"report.html": b"<p>page", "decision.csv": b"a,b\n1,2\n", "figures/x.pdf": b"%PDF /srv/x"}
HERE, HOME = Path("/srv/checkout"), Path("/home/someone")


def packed(files: dict[str, bytes], readme: str = "Read me") -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(bundle.review_zip("mine-review", files, readme)))


def about(tmp_path: Path, **source: Any) -> dict[str, Any]:
    write_study(tmp_path)
    study = loaded(tmp_path)
    return {**study, "source": {**study["source"], **source}, "synthetic": False}


def test_equal_files_give_equal_bytes_in_any_order() -> None:
    backwards = dict(reversed(FILES.items()))
    assert bundle.review_zip("z", FILES, "r") == bundle.review_zip("z", backwards, "r")
    assert bundle.review_zip("z", FILES, "r") != bundle.review_zip("z", FILES, "other")


def test_times_permissions_and_names_are_those_of_no_machine() -> None:
    entries = packed(FILES).infolist()
    assert [e.filename for e in entries] == sorted(e.filename for e in entries)
    assert {e.date_time for e in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {e.external_attr >> 16 for e in entries} == {0o100644}
    assert {e.filename.split("/")[0] for e in entries} == {"mine-review"}


def test_every_file_but_the_sums_has_its_digest() -> None:
    archive = packed(FILES)
    listed = dict(
        reversed(line.split("  ", 1))
        for line in archive.read("mine-review/SHA256SUMS").decode().splitlines()
    )
    assert sorted(listed) == sorted([*FILES, "README.txt"])
    for path, digest in listed.items():
        assert hashlib.sha256(archive.read(f"mine-review/{path}")).hexdigest() == digest


def test_the_study_file_gives_the_same_study_again(tmp_path: Path) -> None:
    write_study(tmp_path, targets=[1e18, 3.3e19], isoflop={"min_sizes": 5})
    study = loaded(tmp_path)
    (tmp_path / "config/studies/toy.yaml").write_text(bundle.study_file(study))
    assert loaded(tmp_path) == study


def test_a_simulated_study_too(tmp_path: Path) -> None:
    studies = tmp_path / "config/studies"
    studies.mkdir(parents=True)
    (studies / "nmm.yaml").write_text((ROOT / "config/studies/nmm.yaml").read_text())
    study = loaded(tmp_path, "nmm")
    (studies / "nmm.yaml").write_text(bundle.study_file(study))
    assert loaded(tmp_path, "nmm") == study


def test_folders_of_the_machine_are_taken_out_of_texts(tmp_path: Path) -> None:
    study = about(
        tmp_path,
        paths=["/data/R&D/logs/*.jsonl", "more/*.jsonl"],
        runs={"table": "/data/tables/runs.csv", "columns": {"run": "/not/a/path"}},
    )
    folders = bundle.folders_of(study, HERE, HOME)
    assert folders == ["/data/R&D/logs", "/home/someone", "/srv/checkout", "/data/tables"]
    files = {
        "data/runs.csv": b"/data/R&D/logs/a.jsonl\n",
        "report.html": b"<td>/data/R&amp;D/logs/a.jsonl</td><td>/data/tables2/x</td>",
        "fits/a.json": b'{"x": "/srv/checkout/results", "y": "more/home/someone/z"}',
        "study.yaml": bundle.study_file(study).encode(),
        "figures/x.pdf": b"/srv/checkout",
        "decision.csv": b"nothing here",
    }
    clean, changed = bundle.without_folders(files, folders)
    assert clean["data/runs.csv"] == b"/path/to/a.jsonl\n"
    assert clean["report.html"] == b"<td>/path/to/a.jsonl</td><td>/data/tables2/x</td>"
    assert clean["fits/a.json"] == b'{"x": "/path/to/results", "y": "more/home/someone/z"}'
    assert b"table: /path/to/runs.csv" in clean["study.yaml"]
    assert changed == ["data/runs.csv", "report.html", "fits/a.json", "study.yaml"]
    assert clean["figures/x.pdf"] == files["figures/x.pdf"]


def test_a_page_of_absolute_sources_names_no_folder_of_them(tmp_path: Path) -> None:
    """As the page writes paths: in tables, their files to save, and the study in YAML."""
    place = "/srv/R&D 'secret'/logs"
    study = about(tmp_path, paths=f"{place}/*.jsonl")
    inputs = make_inputs({"ash": "Ash"})
    runs = inputs.runs.assign(source=f"{place}/a.jsonl")
    files = [{"path": f"{place}/a.jsonl", "sha256": "0" * 64, "bytes": 1}]
    config = bundle.study_file({k: v for k, v in study.items() if k != "synthetic"})
    made = {**inputs.provenance, "files": files, "config": config}
    page = render_appendix(dataclasses.replace(inputs, runs=runs, provenance=made), TEMPLATES)
    clean, changed = bundle.without_folders(
        {"appendix.html": page.encode()}, bundle.folders_of(study, HERE, HOME)
    )
    assert changed == ["appendix.html"]
    text = clean["appendix.html"].decode()
    saved = [base64.b64decode(x).decode() for x in re.findall(r'base64,([\w+/=]+)"', text)]
    assert "secret" in page
    assert [part[:80] for part in (text, *saved) if "secret" in part] == []


@pytest.mark.parametrize("pattern", ["/*.jsonl", "logs/*.jsonl"])
def test_a_source_without_a_folder_of_its_own_takes_nothing_out(
    tmp_path: Path, pattern: str
) -> None:
    study = about(tmp_path, paths=pattern)
    assert bundle.folders_of(study, HERE, HOME) == ["/home/someone", "/srv/checkout"]


def test_the_readme_says_what_is_in_the_zip_and_what_is_not(tmp_path: Path) -> None:
    study = about(tmp_path)
    made = {"files": [{}] * 3, "versions": {"numpy": "9.9"}, "seeds": {"bootstrap": 7}}
    text = bundle.readme(study, FILES, made, ["At 1e18 FLOPs"], ["study.yaml"])
    assert "  decision.csv  every law" in text
    assert "latex/" not in text
    assert "What is what (5 files, " in text
    assert "numpy 9.9" in text
    assert "bootstrap: 7" in text
    assert "all 3 input files" in text
    assert "SYNTHETIC" not in text
    assert "/path/to" in text
    simulated = bundle.readme({**study, "synthetic": True}, FILES, {**made, "files": []}, [], [])
    assert "SYNTHETIC DATA" in simulated
    assert "raw logs" not in simulated
    assert "/path/to" not in simulated


def test_no_table_in_the_zip_is_run_by_a_spreadsheet(tmp_path: Path) -> None:
    study, inputs = about(tmp_path), make_inputs()
    runs = inputs.runs.assign(run=[f"=cmd({i})" for i in range(len(inputs.runs))])
    dropped = inputs.dropped.assign(reason="@odd").astype({"reason": "string"})
    zipped, _ = bundle.pack(study, FILES, runs, dropped, inputs.provenance, [], [])
    archive = zipfile.ZipFile(io.BytesIO(zipped))
    names = pd.read_csv(archive.open("toy-review/data/runs.csv"))
    assert list(names["run"]) == [f"'{run}" for run in runs["run"]]
    numbers = runs.select_dtypes("number").columns
    pd.testing.assert_frame_equal(
        names[numbers], runs[numbers].reset_index(drop=True), check_dtype=False
    )
    assert (pd.read_csv(archive.open("toy-review/data/dropped.csv"))["reason"] == "'@odd").all()
