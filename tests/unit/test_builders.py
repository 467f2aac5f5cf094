"""What holds for all tests: they take what they are made of from builders, and from there alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from flopline.surfaces.published_entries import entries
from tests.conftest import ROOT

TESTS = ROOT / "tests"
BUILDERS = TESTS / "builders"
FILES = sorted(path for path in TESTS.rglob("*.py") if "fixtures" not in path.parts)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_nothing_is_imported_from_a_test() -> None:
    taken = []
    for path in FILES:
        imported = set()
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported |= {f"{node.module}.{alias.name}" for alias in node.names}
        tests = {m for m in imported if any(part.startswith("test_") for part in m.split("."))}
        taken += [f"{name_of(path)} imports {name}" for name in sorted(tests)]
    assert not taken, "what tests share is a builder"


def published_numbers() -> dict[str, set[float]]:
    """The telling parameters of each published law, by its name: those of three digits or more."""
    return {
        name: {x for x in entry["parameters"].values() if telling(x)}
        for name, entry in entries().items()
    }


def telling(value: object) -> bool:
    """Whether a number has so many digits that it is hardly there by chance."""
    return isinstance(value, float) and len(f"{value:.12g}".strip("0.").replace(".", "")) >= 3


def groups_of_numbers(tree: ast.AST) -> Iterator[tuple[int, set[float]]]:
    """The numbers that stand side by side in one call, list, tuple or mapping, with their line.

    What is inside an assertion is left out: there a published number is checked, not used.
    """
    todo = [tree]
    while todo:
        node = todo.pop()
        called = node.func if isinstance(node, ast.Call) else None
        name = getattr(called, "attr", getattr(called, "id", ""))
        if isinstance(node, ast.Assert) or name.startswith("assert_"):
            continue
        children = list(ast.iter_child_nodes(node))
        todo += children
        if isinstance(node, ast.Call | ast.Dict | ast.List | ast.Tuple):
            values = [c.value for c in children if isinstance(c, ast.keyword)] + children
            numbers = {float(v.value) for v in values if _is_number(v)}
            if numbers:
                yield node.lineno, numbers  # type: ignore[attr-defined]


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def copies(tree: ast.AST) -> list[tuple[int, str]]:
    """Where two telling parameters of one published law stand side by side: line and law."""
    known = published_numbers()
    return [
        (line, name)
        for line, numbers in groups_of_numbers(tree)
        for name, parameters in known.items()
        if len(numbers & parameters) >= 2
    ]


def test_no_file_has_a_published_law_of_its_own() -> None:
    files = [path for path in FILES if path.parent.name not in ("builders", "golden")]
    own_laws = [(name_of(path), *copy) for path in files for copy in copies(tree_of(path))]
    assert not own_laws, "take the surface from tests/builders/surfaces.py"
    # Golden tests state published numbers that they check, but no surface to draw runs from.
    for path in sorted((TESTS / "golden").glob("*.py")):
        nodes = list(ast.walk(tree_of(path)))
        calls = [node for node in nodes if isinstance(node, ast.Call)]
        made = [call for call in calls if getattr(call.func, "id", "").endswith("Surface")]
        made += [node for node in nodes if isinstance(node, ast.Dict)]
        assert not [copy for node in made for copy in copies(node)], name_of(path)


@pytest.mark.parametrize(
    "code",
    [
        "LossSurface(1.8172, 482.01, 2085.43, 0.3478, 0.3658)",
        "{'E': 1.69, 'A': 406.4, 'B': 410.7, 'alpha': 0.34, 'beta': 0.28}",
        "law(alpha=0.3478, beta=0.3658)",
    ],
)
def test_a_copy_of_a_published_law_is_seen_unless_it_is_checked(code: str) -> None:
    assert copies(ast.parse(code))
    assert not copies(ast.parse(f"assert ({code})"))


def test_builders_say_what_they_build_and_are_typed() -> None:
    for path in sorted(BUILDERS.glob("*.py")):
        tree = tree_of(path)
        assert ast.get_docstring(tree), path.name
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            assert ast.get_docstring(node), f"{path.name}: {node.name} has no docstring"
            if isinstance(node, ast.FunctionDef):
                given = [*node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
                bare = [a.arg for a in given if a is not None and a.annotation is None]
                assert not bare, f"{path.name}: {node.name} does not type {bare}"
                assert node.returns is not None, f"{path.name}: {node.name} types no result"
