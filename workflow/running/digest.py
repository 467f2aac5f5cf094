"""Content digests: what a stage is made of, by its bytes and never by clocks."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache, cached_property
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from flopline.atomic import drop_abandoned, write_note
from flopline.decoders import json_of
from flopline.errors import FloplineError
from flopline.hashing import hash_file
from flopline.plugins import distribution_of, modules_brought

AROUND: Final = {"running"}
"""Packages of ours that guard a job and its files: no result depends on their code."""


class Memory:
    """What was worked out from the content of files, remembered between calls in one JSON file.

    An entry counts only while size, mtime, ctime and inode of its file all stand: ctime cannot be
    set back by rsync, tar or touch, so changed content under an old mtime is still seen.
    """

    def __init__(self, store: Path) -> None:
        self.store = store
        try:
            known = json_of(store.read_text())
        except (OSError, ValueError):
            known = {}
        self.known: dict[str, Any] = known if isinstance(known, dict) else {}
        self.seen: dict[str, Any] = {}

    def of(self, path: Path, work_out: Callable[[Path], Any]) -> Any:
        """`work_out(path)`, a JSON value, or what it was when the file was last as it is now."""
        key = str(path)
        if key not in self.seen:
            stat = path.stat()
            # Another Python may work out something else.
            mark = [_python(), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
            entry = self.known.get(key)
            if not (isinstance(entry, list) and len(entry) == 2 and entry[0] == mark):
                entry = [mark, work_out(path)]
            self.seen[key] = entry
        return self.seen[key][1]

    def alike(self, path: Path, work_out: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """As `of`, but a file of any name and time stamps counts as known if it has known content.

        The key `content` is added to what is worked out.
        """

        def by_content(path: Path) -> dict[str, Any]:
            content = f"{hash_file(path)} {_python()}"
            return self._alike.get(content) or {**work_out(path), "content": content}

        value: dict[str, Any] = self.of(path, by_content)
        return value

    @cached_property
    def _alike(self) -> dict[str, dict[str, Any]]:
        entries = (e for e in self.known.values() if isinstance(e, list) and len(e) == 2)
        values = (value for _, value in entries if isinstance(value, dict))
        return {value["content"]: value for value in values if "content" in value}

    def save(self) -> None:
        """Write the store if anything in it changed; a store that cannot be written is no harm."""
        if self.seen != self.known:
            write_note(self.store, json.dumps(self.seen, indent=0, sort_keys=True))
        else:
            drop_abandoned(self.store)


def files_digest(paths: Iterable[Path]) -> str:
    """Digest of the names and bytes of some files."""
    return _short(f"{p.name} {hash_file(p)}" for p in sorted(paths))


def code_digest(script: Path, library: Path, memory: Memory, modules: Sequence[str] = ()) -> str:
    """Digest of a script, of every library module it imports, and of the packages these use.

    `library` is the package folder; imports are followed through it, also those inside functions.
    What a script loads by a name that it is handed is no import: `modules` are the dotted names of
    such modules, which count as if the script imported them.
    Comments and layout do not count; the version of every third-party package imported does, and
    that of Python (3.13, not 3.13.5), whose sums and syntax trees differ between versions. A data
    file x.toml beside an imported x.py counts with its module, by its bytes. What lies AROUND
    a job's work does not count.

    Raises FloplineError for a name in `modules` behind which there is no file.
    """
    files, packages = _closure(script.resolve(), library.resolve(), memory, modules)
    modules_by_path = sorted(files, key=lambda path: path.parts)
    parts = [f"{path.name} {_code(path, memory)['digest']}" for path in modules_by_path]
    data = [f"{str(path).removesuffix('.py')}.toml" for path in modules_by_path]
    data_there = [Path(name) for name in data if os.path.isfile(name)]  # noqa: PTH113 - far quicker
    parts += [f"{path.name} {memory.of(path, hash_file)}" for path in data_there]
    if any(path.name == "plugins.py" and path.parent == library.resolve() for path in files):
        # What packages bring may be part of any job's work.
        packages |= {name.split(".")[0] for name in modules_brought()}
    parts.append(f"python=={_python()}")
    return _short([*parts, *(f"{name}=={_version(name)}" for name in sorted(packages))])


def loaded_by(
    script: Path, library: Path, memory: Memory, modules: Sequence[str] = ()
) -> tuple[set[str], set[str]]:
    """The modules of the library that a script imports, as for `code_digest`, and the packages."""
    files, packages = _closure(script.resolve(), library.resolve(), memory, modules)
    top = library.resolve().parent
    parts = (path.relative_to(top).with_suffix("").parts for path in files if top in path.parents)
    names = {".".join(part for part in parts if part != "__init__") for parts in parts}
    return {name for name in names if name.partition(".")[0] == library.name}, packages


def _closure(
    script: Path, library: Path, memory: Memory, modules: Sequence[str]
) -> tuple[set[Path], set[str]]:
    """The files that `script` imports from its own folder or `library`, and third-party names.

    `modules` are imported by it, too.

    The __init__ of a package above an imported module counts, but what that __init__ re-exports
    does not: it runs too, yet gives the module nothing.
    """
    todo, files = [str(script)], {str(script)}
    packages: set[str] = set()
    scripts = script.parent
    for name in modules:
        module, parents = _module_files(name, scripts, library)
        if not module and name in modules_brought():
            files.add(_brought_file(name))
            packages.add(name.split(".")[0])
            continue
        if not module:
            raise FloplineError(
                f"The digest of {script.name} is to count {name}, which is no module below "
                f"{library.parent}: correct the name in the rule."
            )
        files |= {*module, *parents}
        todo += module
    followed: set[str] = set()
    while todo:
        path = todo.pop()
        if path in followed:
            continue
        followed.add(path)
        imports = tuple(_code(_path(path), memory)["imports"])
        imported, counting, others = _imported(imports, scripts, library)
        todo += imported
        files |= counting
        packages |= others
    return {_path(file) for file in files}, packages - AROUND - set(sys.stdlib_module_names)


@cache
def _imported(
    names: tuple[str, ...], scripts: Path, library: Path
) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """What imports of these names lead to: modules to follow, files that count, and packages."""
    modules, files, packages = set(), set(), set()
    for name in names:
        module, parents = _module_files(name, scripts, library)
        if not (module or parents):
            packages.add(name.split(".")[0])
        modules |= {*module}
        files |= {*module, *parents}
    return frozenset(modules), frozenset(files), frozenset(packages)


@cache
def _path(file: str) -> Path:
    # Plain strings are far quicker to keep apart than paths, one path a file far quicker to sort.
    return Path(file)


def _code(path: Path, memory: Memory) -> dict[str, Any]:
    # Every checkout has files of its own, mostly the same ones.
    return memory.alike(path, _read_code)


def _read_code(path: Path) -> dict[str, Any]:
    """Digest of a file's syntax tree, and all that it imports: `from a import b` is a and a.b."""
    tree = ast.parse(path.read_bytes(), str(path))
    names: set[str] = set()
    statements: list[ast.AST] = [tree]
    for node in statements:  # it grows
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            statements += getattr(node, part, ())
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {"digest": _short([ast.dump(tree)]), "imports": sorted(names)}


def _module_files(name: str, scripts: Path, library: Path) -> tuple[list[str], list[str]]:
    """The file behind a dotted name, if it is a module of ours, and the __init__ files above it."""
    parts = name.split(".")
    known = _modules(library, library.name) if parts[0] == library.name else _modules(scripts, "")
    parents = [".".join([*parts[:depth], "__init__"]) for depth in range(1, len(parts))]
    module = [f"{name}.__init__", name]
    return [known[m] for m in module if m in known], [known[m] for m in parents if m in known]


@cache
def _modules(folder: Path, package: str) -> dict[str, str]:
    """Every Python file below a folder, by the dotted name that it has as part of a package."""
    files = {}
    for top, _, names in os.walk(folder, followlinks=True):
        inside = [*package.split(), *Path(top).relative_to(folder).parts]
        for name in names:
            if name.endswith(".py"):
                files[".".join([*inside, name.removesuffix(".py")])] = os.path.join(top, name)  # noqa: PTH118
    return files


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


@cache
def _version(package: str) -> str:
    """The installed version of an imported package; empty where it has none of that name."""
    try:
        return metadata.version({"yaml": "PyYAML", "PIL": "pillow"}.get(package, package))
    except metadata.PackageNotFoundError:
        pass
    try:
        return metadata.version(distribution_of(package))
    except metadata.PackageNotFoundError:
        return ""


def _brought_file(module: str) -> str:
    """The file of a module that an installed package brings."""
    found = find_spec(module)
    if found is None or found.origin is None:
        raise FloplineError(
            f"{module}, which an installed package brings, is not there: install it again."
        )
    return found.origin


def _short(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
