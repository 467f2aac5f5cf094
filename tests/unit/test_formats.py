"""The table of log formats: what each entry says is true of its module, its fixture, its docs."""

from __future__ import annotations

import glob
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from flopline.drafting.columns import row_columns
from flopline.drafting.survey import survey
from flopline.errors import FloplineError
from flopline.logs.formats import FORMATS, Columns
from flopline.logs.formats_docs import written
from flopline.logs.readers import read_log, sniffed
from flopline.logs.reading import LogFacts, Reading, Wish
from flopline.sources import patterns_of, readers_of, run_name, run_table_readers
from flopline.study import load_study, read_yaml
from flopline.tables import read_table
from running.log_search import logs_among
from tests.conftest import ROOT

FIXTURES = ROOT / "tests/fixtures/logs"


def fixtures(name: str) -> list[Path]:
    """The logs of a format; `source.yaml` beside them describes those that need it."""
    hits = glob.glob(f"{name}/**", root_dir=FIXTURES, recursive=True)  # noqa: PTH207
    surveyed = logs_among([hit.rstrip("/") for hit in hits], {"kind": "logs"}, FIXTURES)
    return [FIXTURES / log for log in surveyed if not log.endswith(("source.yaml", "meta.yaml"))]


def named(name: str, path: Path) -> dict[str, Any]:
    """A column map for a log whose format does not know its columns."""
    wish = Wish(columns={"loss": ""})
    names = next(iter(FORMATS[name].load().read(path, wish, LogFacts()))).names
    return row_columns(list(names))


def reading_of(name: str, path: Path, columns: dict[str, Any] | None = None) -> Reading:
    beside = FIXTURES / name / "source.yaml"
    source = yaml.safe_load(beside.read_text()) if beside.is_file() else {}
    if columns is None and not FORMATS[name].columns.of_format:
        columns = named(name, path)
    return read_log(path, columns, name, patterns_of(source))


every = pytest.mark.parametrize("name", FORMATS)


def test_the_table_is_read_without_any_reader_or_package_of_numbers() -> None:
    code = "import flopline.logs.formats, flopline.study, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "workflow", capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert {"pandas", "numpy", "pyarrow"}.isdisjoint(loaded)
    assert not {entry.reader for entry in FORMATS.values()} & set(loaded)


def test_a_reader_is_loaded_alone_where_the_format_is_declared() -> None:
    path = fixtures("llmc")[0]
    code = (
        "from pathlib import Path; import sys; from flopline.logs.readers import read_log; "
        f"read_log(Path({str(path)!r}), None, 'llmc'); print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "workflow", capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert {entry.reader for entry in FORMATS.values()} & set(loaded) == {"flopline.logs.llmc"}


@every
def test_every_format_has_a_reader_and_a_fixture_that_is_read_whole(name: str) -> None:
    entry, logs = FORMATS[name], fixtures(name)
    assert callable(entry.load().sniff)
    assert logs, f"put a log into {FIXTURES / name}"
    for path in logs:
        reading = reading_of(name, path)
        assert len(reading.rows) >= 4
        assert set(reading.dropped["reason"]) <= {"no_loss"}
        assert (reading.rows["loss"] > 1).all()
        assert reading.rows["loss"].iloc[0] > reading.rows["loss"].iloc[-1]
        assert entry.endings == () or path.is_dir() or entry.ends(path.name)


@every
def test_every_format_is_recognised_and_no_other_is_taken_for_it(name: str) -> None:
    for path in fixtures(name):
        if FORMATS[name].described_by:
            assert not FORMATS[name].load().sniff(path, path.read_bytes())
        else:
            assert sniffed(path) == name
            if path.is_file():
                head = path.read_bytes()
                others = [n for n, e in FORMATS.items() if n != name and e.load().sniff(path, head)]
                order = list(FORMATS)
                assert all(order.index(other) > order.index(name) for other in others)


@every
def test_every_format_knows_its_columns_as_it_says(name: str) -> None:
    columns, path = FORMATS[name].columns, fixtures(name)[0]
    own = getattr(FORMATS[name].load(), "COLUMNS", None)
    assert (own is not None) == columns.of_format
    if not columns.of_format:
        with pytest.raises(FloplineError, match="does not say which column is the loss"):
            read_log(path, None, name)
        loss = named(name, path)["loss"]
        rows = reading_of(name, path, {"loss": loss}).rows
        assert ("step" in rows) == (columns is Columns.STUDY_LOSS)
        return
    rows = reading_of(name, path, {"loss": own["loss"]}).rows
    assert rows["split"].notna().all() == (columns is Columns.FORMAT)
    assert ("step" in rows) == (columns is Columns.FORMAT)


@every
def test_every_format_says_of_its_run_what_its_entry_says(name: str) -> None:
    says = set()
    for path in fixtures(name):
        reading = reading_of(name, path)
        known = {fact for facts in reading.facts.known.values() for fact in facts}
        if known & {"params", "params_total", "params_nonembedding"}:
            says.add("params")
        by_row = FORMATS[name].columns.of_format and "tokens" in reading.rows
        if "batch_tokens" in known or (by_row and reading.rows["tokens"].notna().any()):
            says.add("tokens")
    assert says == set(FORMATS[name].says)


@every
def test_every_format_is_a_folder_or_holds_runs_as_its_entry_says(name: str) -> None:
    entry, logs = FORMATS[name], fixtures(name)
    assert any(path.is_dir() for path in logs) == (entry.folder is not None)
    for path in logs:
        rows = reading_of(name, path).rows
        assert ("run" in rows) == entry.several_runs
        assert not entry.several_runs or rows["run"].nunique() > 1


@every
def test_every_format_of_tables_reads_one(name: str) -> None:
    # A document that holds a curve is no table, other logs have the form of one.
    own = FIXTURES.parent / "tables" / f"runs.{name}"
    entry, path = FORMATS[name], own if own.is_file() else fixtures(name)[0]
    assert hasattr(entry.load(), "read_runs") == entry.is_table
    if entry.is_table:
        table, unparsed = read_table(path, name)
        assert (len(table), unparsed) == (10, [])
        assert read_table(path)[0].equals(table)  # by its ending
        assert float(table["train/loss"].iloc[0]) == 10.0


@every
def test_every_format_is_drafted(name: str) -> None:
    if FORMATS[name].described_by:
        pytest.skip("only a person can describe its lines")
    surveyed = survey(FIXTURES / name, ROOT)
    assert [group.format for group in surveyed.groups] == [name]
    assert [ROOT / path for path in surveyed.groups[0].paths] == fixtures(name)
    assert surveyed.groups[0].rows


def test_names_of_runs_lose_the_endings_of_every_format() -> None:
    for entry in FORMATS.values():
        for ending in entry.endings:
            assert run_name(f"logs/run-1.b.{ending}.gz") == "run-1.b"


def test_a_study_may_name_every_format_and_no_other(tmp_path: Path) -> None:
    config = read_yaml(ROOT / "config/config.yaml")
    (tmp_path / "mine.yaml").write_text(
        "{title: t, source: {kind: logs, paths: a, format: csvv}, families: {a: A}, "
        "params_convention: total, flops_convention: six_nd, targets: [1e20]}"
    )
    with pytest.raises(FloplineError) as raised:
        load_study({**config, "study": "mine.yaml"}, tmp_path, ROOT / "workflow/schemas")
    known = ", ".join(sorted(FORMATS))
    assert f"must be one of: {known} (did you mean 'csv'?)." in str(raised.value)


def test_docs_hold_the_table_as_it_is() -> None:
    text = (ROOT / "docs/formats.md").read_text()
    assert written(text) == text, "run: make generate"


def test_modules_that_may_read_a_source_are_those_of_its_format() -> None:
    logs = {"kind": "logs", "paths": "*"}
    assert readers_of({**logs, "format": "csv"}) == ("flopline.logs.csv_table",)
    assert readers_of({**logs, "pattern": "x"}) == ("flopline.logs.pattern",)
    assert readers_of(logs) == tuple(entry.reader for entry in FORMATS.values())
    tables = tuple(entry.reader for entry in FORMATS.values() if entry.is_table)
    assert readers_of({"kind": "table"}) == tables
    assert run_table_readers({"runs": {"table": "a/runs.tsv.gz"}}) == ("flopline.logs.tsv_table",)
    assert run_table_readers(logs) == ()
