"""Content digests: what a stage is made of, told by bytes and never by clocks."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path


def code_digest(script: Path, library: Path) -> str:
    """Digest of a script, of every library module it imports, and of the packages these use.

    `library` is the package folder; imports are followed through it, also those inside functions.
    Comments and layout do not count, the version of every third-party package imported does.
    """
    modules, packages = _closure(script.resolve(), library.resolve())
    parts = [_ast_digest(path) for path in sorted(modules)]
    parts += [f"{name}=={version}" for name, version in sorted(_versions(frozenset(packages)))]
    return _short("\n".join(parts))


def files_digest(paths: Iterable[Path]) -> str:
    """Digest of the names and bytes of some files."""
    return _short("\n".join(f"{p.name} {hash_file(p)}" for p in sorted(paths)))


def hash_file(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Manifest:
    """sha256 of many files, remembered between calls in one JSON file.

    A remembered digest counts only while size, mtime, ctime and inode all stand: ctime cannot be
    set back by rsync, tar or touch, so changed content under an old mtime is still seen.
    """

    def __init__(self, store: Path) -> None:
        self.store = store
        try:
            self.known: dict[str, list[object]] = json.loads(store.read_text())
        except (OSError, ValueError):
            self.known = {}
        self.seen: dict[str, list[object]] = {}

    def sha256(self, path: Path) -> str:
        """The digest of one file; raises OSError if it cannot be read."""
        stat = path.stat()
        mark = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        entry = self.known.get(str(path))
        if not (isinstance(entry, list) and entry[:-1] == mark):
            entry = [*mark, hash_file(path)]
        self.seen[str(path)] = entry
        return str(entry[-1])

    def save(self) -> None:
        """Write the store, if anything in it changed; a store that cannot be written is no harm."""
        if self.seen == self.known:
            return
        try:
            self.store.parent.mkdir(parents=True, exist_ok=True)
            part = self.store.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(self.seen, indent=0, sort_keys=True))
            part.replace(self.store)
        except OSError:
            return


def _closure(script: Path, library: Path) -> tuple[set[Path], set[str]]:
    """The files that `script` imports from its own folder or `library`, and third-party names.

    The __init__ of a package above an imported module counts, but what that __init__ re-exports
    does not: it runs too, yet gives the module nothing.
    """
    todo, files, packages = [script], {script}, set()
    done: set[Path] = set()
    while todo:
        path = todo.pop()
        done.add(path)
        for name in _imports(path, library):
            module, parents = _module_files(name, script.parent, library)
            if not (module or parents):
                packages.add(name.split(".")[0])
            files |= {*module, *parents}
            todo += [p for p in module if p not in done]
    return files, packages - set(sys.stdlib_module_names)


@cache
def _imports(path: Path, library: Path) -> set[str]:
    """Full names of everything that a file imports; `from a import b` gives a and a.b."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = path.relative_to(library.parent).with_suffix("").parts[: -node.level]
                base = ".".join([*package, *([base] if base else [])])
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return names


def _module_files(name: str, scripts: Path, library: Path) -> tuple[list[Path], list[Path]]:
    """The file behind a dotted name, if it is a module of ours, and the __init__ files above it."""
    root = library.parent if name.split(".")[0] == library.name else scripts
    parts = name.split(".")
    module = [root.joinpath(*parts, "__init__.py"), root.joinpath(*parts).with_suffix(".py")]
    parents = [root.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts))]
    return [p for p in module if p.is_file()], [p for p in parents if p.is_file()]


@cache
def _ast_digest(path: Path) -> str:
    tree = ast.dump(ast.parse(path.read_bytes()))
    return f"{path.name} {hashlib.sha256(tree.encode()).hexdigest()}"


@cache
def _versions(packages: frozenset[str]) -> set[tuple[str, str]]:
    found = set()
    for name in packages:
        try:
            found.add((name, metadata.version(_DISTRIBUTIONS.get(name, name))))
        except metadata.PackageNotFoundError:
            continue
    return found


_DISTRIBUTIONS = {"yaml": "PyYAML"}


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
