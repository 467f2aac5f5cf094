"""Specs of figures as they are written, without loading what draws them.

A start of the workflow asks what each figure needs. Loading Matplotlib for that would take a third
of the time of a start in which nothing is to be done, so FIGURE is evaluated by itself.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flopline.errors import FloplineError
from flopline.figures import spec
from flopline.figures.spec import FigureSpec, figure_module


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A name of a module that is loaded when it is called."""

    module: str
    name: str

    def __call__(self, *args: Any, **more: Any) -> Any:
        """What the function of that name returns."""
        function: Callable[..., Any] = getattr(import_module(self.module), self.name)
        return function(*args, **more)


class _SpecNames(dict[str, Any]):
    """What stands in `spec` as it is, all other names of a figure's module unloaded."""

    def __init__(self, module: str) -> None:
        super().__init__(vars(spec))
        self.module = module

    def __missing__(self, name: str) -> Elsewhere:
        return Elsewhere(self.module, name)


def outlines(names: Iterable[str], library: Path) -> list[FigureSpec]:
    """The specs of the figures called `names`, in their order; `library` is the package's folder.

    Their functions are loaded when they are called. Raises FloplineError for a figure without a
    module, and for one whose FIGURE says something that only its loaded module knows.
    """
    return [_outline(name, library) for name in names]


def _outline(name: str, library: Path) -> FigureSpec:
    module = figure_module(name)
    path = _file(module, library)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        raise FloplineError(
            f"The figure '{name}', which {library / 'figures/registry.py'} lists, has no {path}: "
            "write it, or take the line out."
        ) from None
    written = _written(text, path)
    try:
        # Code of this project, as importing it would run it.
        figure = eval(written, {"__builtins__": {}}, _SpecNames(module))  # noqa: S307
    except FloplineError:
        raise
    except Exception as error:
        raise FloplineError(f"FIGURE in {path} cannot be made ({error}): correct it.") from None
    if not isinstance(figure, FigureSpec) or figure.name != name:
        raise FloplineError(f"FIGURE in {path} is no FigureSpec of the name '{name}': correct it.")
    return figure


def _file(module: str, library: Path) -> Path:
    """The file of a figure's module: ours, or that of an installed package."""
    if module.partition(".")[0] != library.name:
        found = find_spec(module)
        if found is not None and found.origin is not None:
            return Path(found.origin)
    return library.parent.joinpath(*module.split(".")).with_suffix(".py")


def _written(text: str, path: Path) -> Any:
    """The expression that FIGURE is set to, compiled; no more of the file is parsed than that."""
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith(("FIGURE =", "FIGURE:"))]
    if len(starts) != 1:
        raise FloplineError(f"{path} must set FIGURE once, at the start of a line: do so.")
    for end in range(starts[0] + 1, len(lines) + 1):
        try:
            statement = ast.parse("\n".join(lines[starts[0] : end])).body[0]
        except SyntaxError:
            continue  # it goes on in the next line
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            return compile(ast.Expression(statement.value), str(path), "eval")
    raise FloplineError(f"FIGURE in {path} is no valid Python: correct it.")
