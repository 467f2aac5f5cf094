"""Digests: content counts, clocks and comments do not."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from flopline.errors import FloplineError
from flopline.hashing import hash_file
from running import digest


@pytest.fixture
def code(tmp_path: Path) -> tuple[Path, Path]:
    """A script and a little library: script -> lib.a -> lib.sub.b; lib.other stands apart."""
    library = tmp_path / "lib"
    (library / "sub").mkdir(parents=True)
    for package in (library, library / "sub"):
        (package / "__init__.py").write_text("")
    (library / "a.py").write_text("def f():\n    from lib.sub import b\n    return b\n")
    (library / "sub" / "b.py").write_text("import json\nX = 1\n")
    (library / "sub" / "c.py").write_text("Y = 1\n")
    (library / "other.py").write_text("import numpy\n")
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "helper.py").write_text("H = 1\n")
    (scripts / "script.py").write_text("import helper\nfrom lib.a import f\nf()\n")
    return scripts / "script.py", library


def value(code: tuple[Path, Path], *modules: str) -> str:
    for cached in (digest._modules, digest._imported, digest._version):
        cached.cache_clear()
    return digest.code_digest(*code, digest.Memory(Path("/nowhere/store")), modules)


@pytest.mark.parametrize("file", ["lib/a.py", "lib/sub/b.py", "lib/sub/__init__.py",
                                  "scripts/helper.py", "scripts/script.py"])  # fmt: skip
def test_everything_imported_counts(code: tuple[Path, Path], file: str) -> None:
    before = value(code)
    path = code[1].parent / file
    path.write_text(path.read_text() + "NEW = 2\n")
    assert value(code) != before


@pytest.mark.parametrize("file", ["lib/other.py", "lib/sub/c.py"])
def test_what_is_not_imported_does_not(code: tuple[Path, Path], file: str) -> None:
    before = value(code)
    (code[1].parent / file).write_text("Z = 3\n")
    assert value(code) == before


@pytest.mark.parametrize("file", ["lib/sub/c.py", "lib/law/fit.py", "lib/law/__init__.py"])
def test_modules_that_are_named_count_with_all_they_import(
    code: tuple[Path, Path], file: str
) -> None:
    """As of a script that loads what it is to fit by its name."""
    law = code[1] / "law"
    law.mkdir()
    (law / "__init__.py").write_text("")
    (law / "fit.py").write_text("from lib.sub.c import Y\n")
    before, named = value(code), value(code, "lib.law.fit")
    path = code[1].parent / file
    path.write_text(path.read_text() + "NEW = 2\n")
    assert value(code, "lib.law.fit") != named
    assert value(code) == before


def test_a_package_that_is_named_counts_with_what_its_init_imports(code: tuple[Path, Path]) -> None:
    (code[1] / "sub" / "__init__.py").write_text("from lib.sub import c\n")
    named = value(code, "lib.sub")
    (code[1] / "sub" / "c.py").write_text("Y = 2\n")
    assert value(code, "lib.sub") != named


def test_name_without_a_module_is_refused(code: tuple[Path, Path]) -> None:
    with pytest.raises(FloplineError, match=r"script\.py is to count lib\.law, which is no module"):
        value(code, "lib.law")


def test_data_beside_an_imported_module_count(code: tuple[Path, Path]) -> None:
    library = code[1]
    before = value(code)
    (library / "other.toml").write_text("x = 1\n")
    (library / "sub" / "c.toml").write_text("x = 1\n")
    assert value(code) == before
    (library / "sub" / "b.toml").write_text("x = 1\n")
    with_data = value(code)
    assert with_data != before
    (library / "sub" / "b.toml").write_text("x = 2\n")
    assert value(code) not in (before, with_data)


def test_comments_layout_and_clocks_do_not_count(code: tuple[Path, Path]) -> None:
    before = value(code)
    module = code[1] / "sub" / "b.py"
    module.write_text("# why\nimport json\n\n\nX    =  1\n")
    os.utime(module, (0, 0))
    assert value(code) == before


def test_version_of_python_counts_without_its_patch(
    code: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, before = sys.version_info, value(code)
    for minor, same in ((here.minor, True), (here.minor + 1, False)):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "version_info", SimpleNamespace(major=here.major, minor=minor))
            assert (value(code) == before) is same


def test_reexports_of_a_package_above_do_not_count(code: tuple[Path, Path]) -> None:
    (code[1] / "sub" / "__init__.py").write_text("from lib.sub import c\n")
    before = value(code)
    (code[1] / "sub" / "c.py").write_text("Y = 2\n")
    # `from lib.sub import b` names the package itself, so what it re-exports counts ...
    assert value(code) != before
    (code[1] / "a.py").write_text("from lib.sub.b import X\n")
    before = value(code)
    (code[1] / "sub" / "c.py").write_text("Y = 3\n")
    # ... and `from lib.sub.b import X` does not.
    assert value(code) == before


def test_versions_of_imported_packages_count(
    code: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (code[1] / "a.py").write_text("import numpy\n")
    before = value(code)
    monkeypatch.setattr(digest.metadata, "version", lambda name: "0.0.1")
    assert value(code) != before


def test_memory_sees_new_content_under_an_old_clock(tmp_path: Path) -> None:
    log, store = tmp_path / "log", tmp_path / "deep" / "store.json"
    log.write_text("aaaa")
    memory = digest.Memory(store)
    first = memory.of(log, hash_file)
    memory.save()
    stat = log.stat()
    log.write_text("bbbb")
    os.utime(log, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert digest.Memory(store).of(log, hash_file) != first


def test_memory_reads_an_unchanged_file_once(tmp_path: Path) -> None:
    log, store = tmp_path / "log", tmp_path / "store.json"
    log.write_text("aaaa")
    memory = digest.Memory(store)
    first = memory.of(log, hash_file)
    memory.save()
    again = digest.Memory(store).of(log, lambda path: pytest.fail("read again"))
    assert again == first == hash_file(log)


def test_memory_knows_the_same_content_in_another_checkout(tmp_path: Path) -> None:
    script, store = tmp_path / "a.py", tmp_path / "store.json"
    script.write_text("a = 1\n")
    memory = digest.Memory(store)
    first = memory.alike(script, lambda path: {"text": path.read_text()})
    memory.save()
    other = tmp_path / "b.py"
    other.write_text("a = 1\n")
    again = digest.Memory(store).alike(other, lambda path: pytest.fail("read again"))
    assert again == first
    other.write_text("a = 2\n")
    changed = digest.Memory(store).alike(other, lambda path: {"text": path.read_text()})
    assert changed["text"] == "a = 2\n"


@pytest.mark.parametrize("content", ["{ broken", "[]", '{"LOG": [1, 2, 3]}', '{"LOG": null}'])
def test_damaged_memory_is_made_anew(tmp_path: Path, content: str) -> None:
    log, store = tmp_path / "log", tmp_path / "store.json"
    log.write_text("a")
    store.write_text(content.replace("LOG", str(log)))
    assert digest.Memory(store).of(log, hash_file) == hash_file(log)
    assert digest.Memory(store).alike(log, lambda path: {"a": 1})["a"] == 1


def test_store_that_finds_no_room_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "file"
    file.write_text("x")
    memory = digest.Memory(tmp_path / "store.json")
    memory.of(file, hash_file)
    monkeypatch.setattr(Path, "replace", full)
    memory.save()
    assert list(tmp_path.iterdir()) == [file]
