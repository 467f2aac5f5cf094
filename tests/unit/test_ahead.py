"""A library that is loaded ahead of jobs: each has it as if it had loaded it, or loads its own."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from running import ahead
from running.ahead import LoadedAhead


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where a library lies that stands for ours."""
    (tmp_path / "madeup").mkdir()
    (tmp_path / "madeup/__init__.py").write_text("")
    (tmp_path / "madeup/part.py").write_text("import madeup.other\nVALUE = 1\n")
    (tmp_path / "madeup/other.py").write_text("")
    monkeypatch.setattr(ahead, "OURS", ("madeup",))
    monkeypatch.setattr(ahead, "_load", lambda: importlib.import_module("madeup.part"))
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.syspath_prepend(tmp_path)
    yield os.path.realpath(tmp_path)
    for name in ours():
        del sys.modules[name]


def ours() -> set[str]:
    return {name for name in sys.modules if name.partition(".")[0] == "madeup"}


def loaded(folder: str) -> LoadedAhead:
    library = LoadedAhead([folder])
    library.load()
    assert ours() == set()
    return library


def test_a_job_that_asks_for_a_part_has_all(folder: str) -> None:
    library = loaded(folder)
    library.offer([folder])
    assert ours() == set()
    part = importlib.import_module("madeup.part")
    assert part is library.modules["madeup.part"]
    assert ours() == {"madeup", "madeup.part", "madeup.other"} == set(library.modules)
    assert part.__spec__.origin == part.__file__ == str(Path(folder, "madeup/part.py"))
    assert sys.modules["madeup"].part is part
    assert library not in sys.meta_path


def test_a_file_that_was_touched_is_loaded_anew(folder: str) -> None:
    library = loaded(folder)
    Path(folder, "madeup/other.py").write_text("VALUE = 2\n")
    library.offer([folder])
    assert importlib.import_module("madeup.part") is not library.modules["madeup.part"]
    assert sys.modules["madeup.other"].VALUE == 2


def test_a_job_that_looks_elsewhere_has_none(folder: str) -> None:
    library = loaded(folder)
    for folders in ([], ["elsewhere", folder]):
        library.offer(folders)
        assert library not in sys.meta_path


def test_a_broken_library_breaks_the_jobs_alone(folder: str) -> None:
    Path(folder, "madeup/other.py").write_text("a b")
    library = loaded(folder)
    library.offer([folder])
    with pytest.raises(SyntaxError):
        importlib.import_module("madeup.part")


def test_all_that_is_loaded_ahead_is_there() -> None:
    for name in ahead._USED:
        importlib.import_module(name)
