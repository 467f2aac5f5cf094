"""What stands still while a figure is written in one format after another, worked out once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.offsetbox import OffsetBox
from matplotlib.text import Text

_OF_VIEW: Final = "_update_ticks"
_OF_DRAWING: Final = ("_get_ticklabel_bboxes", "_update_label_position")
"""Steps of Matplotlib's layout that it takes up to six times per axis and drawing. The first
depends on the axis's limits alone, the others on the renderer as well."""
_OF_BOXES: Final = ("_get_bbox_and_child_offsets", "get_bbox")
"""Steps that each box of a legend takes for every box around it, and again when it is drawn."""
_OF_TEXTS: Final = "_get_layout"
"""The step that a text takes whenever its size is asked for, and again when it is drawn."""


@contextmanager
def still(figure: Figure) -> Iterator[None]:
    """Within it, ticks of `figure` are placed once, texts and legends laid out once per renderer.

    The figure must not be changed inside. A Matplotlib that lays out by other steps does so.
    """
    with ExitStack() as after:
        for axes in _every(figure.axes):
            for axis in (axes.xaxis, axes.yaxis):
                for name in (_OF_VIEW, *_OF_DRAWING):
                    if hasattr(axis, name):
                        setattr(axis, name, _once(axis, name))
                        after.callback(delattr, axis, name)
        for box in _boxes(figure):
            for name in _OF_BOXES:
                if hasattr(box, name):
                    setattr(box, name, _once_drawn(box, name, figure))
                    after.callback(delattr, box, name)
        if hasattr(Text, _OF_TEXTS):
            after.callback(setattr, Text, _OF_TEXTS, getattr(Text, _OF_TEXTS))
            setattr(Text, _OF_TEXTS, _laid_out_once(getattr(Text, _OF_TEXTS)))
        yield


def _every(axes: Sequence[Any]) -> list[Any]:
    """The axes and those inside them, as a second scale is."""
    inside = [child for outer in axes for child in outer.child_axes]
    return [*axes, *_every(inside)] if inside else [*axes]


def _boxes(figure: Figure) -> Iterator[OffsetBox]:
    """The boxes of its legends, outer ones first."""
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    waiting = [child for legend in legends if legend is not None for child in legend.get_children()]
    while waiting:
        box = waiting.pop()
        if isinstance(box, OffsetBox):
            yield box
            waiting += box.get_children()


def _once_drawn(box: OffsetBox, name: str, figure: Figure) -> Callable[[Any], Any]:
    """The box's method, run anew only for another renderer or resolution."""
    method = getattr(box, name)
    known: dict[str, Any] = {"state": None}

    def remembered(renderer: Any) -> Any:
        state = (renderer, figure.dpi)
        if known["state"] != state:
            known.update(state=state, answer=method(renderer))
        return known["answer"]

    return remembered


def _laid_out_once(method: Callable[[Text, Any], Any]) -> Callable[[Text, Any], Any]:
    """A text's method, run anew only for another renderer, or where Matplotlib turned the text."""
    known: dict[int, tuple[Any, Any]] = {}

    def remembered(text: Text, renderer: Any) -> Any:
        figure = text.get_figure(root=True)
        state = (
            *(renderer, figure.dpi if figure else None, text.get_text(), text.get_rotation()),
            *(text.get_horizontalalignment(), text.get_verticalalignment()),
            text.get_rotation_mode(),
        )
        before = known.get(id(text))
        if before is None or before[0] != state:
            before = known[id(text)] = (state, method(text, renderer))
        return before[1]

    return remembered


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
