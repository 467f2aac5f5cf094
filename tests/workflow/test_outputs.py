"""What a finished study leaves for others: LaTeX tables, methods and the reviewer's zip."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path

import pytest
import yaml

from flopline.study import load_study
from tests.conftest import ROOT
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.workflow

# Nothing else may leave the machine.
INSIDE = re.compile(
    r"README\.txt|SHA256SUMS|(report|appendix)\.html|decision\.csv|study\.yaml|data/(runs|dropped)\.csv"
    r"|latex/\w+\.tex|methods/methods\.(txt|tex|bib)|audit/\w+\.json|(audit|fits)/\w+/\w+\.json"
    r"|figures/(\w+/)*\w+\.(pdf|png)"
)


@pytest.fixture(scope="module")
def packed(finished: Checkout) -> dict[str, bytes]:
    """The files of the toy study's zip."""
    with zipfile.ZipFile(finished.folder / "results/toy/toy-review.zip") as archive:
        assert archive.testzip() is None
        return {
            info.filename.removeprefix("toy-review/"): archive.read(info)
            for info in archive.infolist()
        }


def test_the_zip_has_all_that_a_reviewer_needs_and_nothing_else(
    packed: dict[str, bytes], finished: Checkout
) -> None:
    assert [path for path in packed if not INSIDE.fullmatch(path)] == []
    results = finished.folder / "results/toy"
    for pattern in ("figures/**/*.pdf", "figures/**/*.png", "fits/*/*.json", "latex/*.tex"):
        made = [path.relative_to(results).as_posix() for path in results.glob(pattern)]
        assert made
        assert set(made) <= set(packed)
    for path in (
        "report.html",
        "appendix.html",
        "decision.csv",
        "methods/methods.txt",
        "methods/methods.bib",
    ):
        assert packed[path] == (results / path).read_bytes()
    runs = packed["data/runs.csv"].decode().splitlines()
    assert len(runs) == 1 + len((finished.folder / "data/toy/runs.csv").read_text().split()) - 1


def test_every_file_has_the_digest_that_stands_beside_it(packed: dict[str, bytes]) -> None:
    lines = packed["SHA256SUMS"].decode().splitlines()
    listed = {path: digest for digest, path in (line.split("  ") for line in lines)}
    assert set(listed) == set(packed) - {"SHA256SUMS"}
    for path, digest in listed.items():
        assert hashlib.sha256(packed[path]).hexdigest() == digest


def test_nothing_in_the_zip_names_the_machine(packed: dict[str, bytes], finished: Checkout) -> None:
    for folder in (finished.folder, Path.home(), ROOT):
        named = re.compile(rb"(?<![\w.-])" + re.escape(str(folder).encode()) + rb"(?![\w.-])")
        assert [path for path, content in packed.items() if named.search(content)] == []


def test_the_study_file_in_the_zip_makes_the_same_study(
    packed: dict[str, bytes], finished: Checkout, tmp_path: Path
) -> None:
    study = tmp_path / "config/studies/toy.yaml"
    study.parent.mkdir(parents=True)
    study.write_bytes(packed["study.yaml"])
    schemas = ROOT / "workflow/schemas"
    config = yaml.safe_load((finished.folder / "config/config.yaml").read_text())
    again = load_study(config | {"study": "toy"}, tmp_path, schemas)
    assert again == load_study(config | {"study": "toy"}, finished.folder, schemas)


def test_the_methods_beside_the_page_are_those_of_the_page(packed: dict[str, bytes]) -> None:
    page = packed["appendix.html"].decode()
    methods = packed["methods/methods.txt"].decode()
    assert len(methods) > 1000
    first = methods.split(". ", 1)[1].split(".", 1)[0]
    assert first in page
    keys = re.findall(r"@\w+\{(\w+),", packed["methods/methods.bib"].decode())
    written = packed["methods/methods.tex"].decode()
    cited = re.findall(r"\\cite[pt](?:\[[^]]*\])?\{([^}]+)\}", written)
    assert {key for group in cited for key in group.split(",")} == set(keys)
