"""No arrow upward and no ring: every import against the rooms of CONTRIBUTING.md."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter

import pytest

from flopline.laws.registry import LAWS
from tests.conftest import ROOT

WORKFLOW = ROOT / "workflow"
FOLDERS = ("flopline", "running", "scripts")


def modules() -> dict[str, ast.Module]:
    """Every module of the workflow by its full name, parsed; that of a package's `__init__` too."""
    files = [path for folder in FOLDERS for path in (WORKFLOW / folder).rglob("*.py")]
    found = {}
    for path in sorted([*files, *WORKFLOW.glob("*.py")]):
        parts = path.relative_to(WORKFLOW).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imported(name: str, tree: ast.Module, known: set[str]) -> set[str]:
    """The modules of the workflow that a module imports, anywhere in it."""
    wanted: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            wanted |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            wanted |= {member if member in known else node.module for member in members}
    # Scripts find each other without their folder's name.
    here = {f"scripts.{w}" if name.startswith("scripts.") else w for w in wanted}
    return (wanted | here) & known - {name}


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    trees = modules()
    return {name: imported(name, tree, set(trees)) for name, tree in trees.items()}


def rooms() -> list[tuple[str, list[str]]]:
    """The rooms of CONTRIBUTING.md from the ground up, each with what is in it."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"```\n(ground .*?)```", text, re.DOTALL)
    return [(name, members) for name, *members in map(str.split, listed.splitlines())]


def place_of(module: str) -> int:
    """The number of a module's room: that of its own name, or of the package around it."""
    inside = module.removeprefix("flopline.")
    for number, (_, members) in enumerate(rooms()):
        if any(inside == m or inside.startswith(f"{m}.") for m in members if "*" not in m):
            return number
    of_law = inside.startswith("laws.")
    for number, (_, members) in enumerate(rooms()):
        if of_law and "laws.*" in members:
            return number
    pytest.fail(f"{module} stands in no room of the list in CONTRIBUTING.md: put it in one")


def test_no_module_imports_from_a_room_below_its_own(imports: dict[str, set[str]]) -> None:
    packages = {"flopline", "flopline.laws"}
    upward = [
        f"{name} ({rooms()[place_of(name)][0]}) imports {other} ({rooms()[place_of(other)][0]})"
        for name, others in imports.items()
        for other in sorted(others)
        if not {name, other} & packages and place_of(other) > place_of(name)
    ]
    assert not upward
    assert not imports["flopline"] | imports["flopline.laws"]


def test_modules_import_each_other_in_no_ring(imports: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as ring:
        pytest.fail(" -> ".join(ring.args[1]))


def test_a_law_knows_no_other_law(imports: dict[str, set[str]]) -> None:
    of = {m: m.split(".")[2] for m in imports if m.startswith("flopline.laws.")}
    mixed = [
        (name, other)
        for name, others in imports.items()
        for other in others
        if {of.get(name), of.get(other)} <= set(LAWS) and of[name] != of[other]
    ]
    assert not mixed
    assert set(LAWS) <= set(of.values())


def test_every_module_of_the_list_is_there_and_stands_once(imports: dict[str, set[str]]) -> None:
    listed = [member for _, members in rooms() for member in members]
    assert len(listed) == len(set(listed)), "a module is in one room"
    for _, members in rooms():
        for member in members:
            stem = member.removesuffix(".*")
            names = (stem, f"flopline.{stem}")
            there = any(f"{module}.".startswith(f"{n}.") for module in imports for n in names)
            assert there, f"{member} is gone: take it out of CONTRIBUTING.md"
