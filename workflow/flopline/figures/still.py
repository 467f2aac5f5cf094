"""What stands still while a figure is written in one format after another, worked out once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from matplotlib.axis import Axis
from matplotlib.figure import Figure

_OF_VIEW: Final = "_update_ticks"
_OF_DRAWING: Final = ("_get_ticklabel_bboxes", "_update_label_position")
"""Steps of Matplotlib's layout that it takes up to six times per axis and drawing. The first
depends on the axis's limits alone, the others on the renderer as well."""


@contextmanager
def still(figure: Figure) -> Iterator[None]:
    """Within it, ticks of `figure` are placed once, their labels measured once for each renderer.

    The figure must not be changed inside. A Matplotlib that lays out by other steps does so.
    """
    with ExitStack() as after:
        for axes in _every(figure.axes):
            for axis in (axes.xaxis, axes.yaxis):
                for name in (_OF_VIEW, *_OF_DRAWING):
                    if hasattr(axis, name):
                        setattr(axis, name, _once(axis, name))
                        after.callback(delattr, axis, name)
        yield


def _every(axes: Sequence[Any]) -> list[Any]:
    """The axes and those inside them, as a second scale is."""
    inside = [child for outer in axes for child in outer.child_axes]
    return [*axes, *_every(inside)] if inside else [*axes]


def _once(axis: Axis, name: str) -> Callable[..., Any]:
    """The axis's method, run anew only for another renderer, resolution or view."""
    method = getattr(axis, name)
    known: dict[str, Any] = {"state": None}

    def remembered(*args: Any, **kwargs: Any) -> Any:
        state: list[Any] = [*axis.get_view_interval()]
        if name in _OF_DRAWING:
            state += [kwargs.get("renderer", args[-1] if args else None), axis.axes.figure.dpi]
        if known["state"] != state:
            known.update(state=state, answer=method(*args, **kwargs))
        return known["answer"]

    return remembered
