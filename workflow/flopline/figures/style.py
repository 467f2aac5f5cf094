"""How every figure looks and how it is written to disk, byte for byte the same each time."""

from __future__ import annotations

import functools
import io
import re
import string
import struct
import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import numpy as np
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from flopline.atomic import replacing
from flopline.errors import FloplineError
from flopline.figures.canvases import draw_shapes, pixels_of
from flopline.figures.copied_ticks import copied_ticks
from flopline.figures.found_fonts import FAMILY, fonts_found, found_fonts
from flopline.figures.pdf_fonts import lean_fonts
from flopline.figures.still import still

PAGE_WIDTH_IN: Final = 7.2
"""Width of a two-column journal page [inch]; print sizes below are meant at this width."""

MAKO: Final = (
    "#a9e1bd",
    "#60ceac",
    "#3eb4ad",
    "#3497a9",
    "#357aa2",
    "#395d9c",
    "#413f80",
    "#382a54",
    "#251729",
)
"""The nine budget colours of Hoffmann et al. 2022, Fig. 3 (seaborn's mako_r with 9 levels)."""

# One meaning a colour: MAKO is a quantity (budget, loss, params), each law has its own
# (laws.spec.Style), so has each family; green is the target, purple the forecast there.
FAMILY_COLORS: Final = {
    "warm": "#b0123c",
    "cool": "#009ad6",
    "purple": "#c4539a",
    "green": "#4e7000",
    "grey": "#454d5b",
    "brown": "#4f2a10",
}
"""Colours of families in the order of the study, by the name of the ramp that leads to each; apart
from each other in grey too. A seventh family begins again with another marker."""
# A contrast of 5:1 on white for thin lines and text.
GUIDE_GREEN: Final = "#007a5a"
INK: Final = "#222222"
GREY: Final = "#999999"
GRID: Final = "#e4e4e4"
BEYOND_GREY: Final = "#f4f4f4"
"""The ground beyond the runs."""

SMALL_PT: Final = 6.5

BAR_CELLS: Final = 64
"""Cells of a colour bar, drawn as shapes so that they follow a dark page as the marks do."""

RASTER_FROM: Final = 300
"""Points of one layer from which it is an image inside SVG and PDF: each would take 20 to 100
bytes, and the eye no longer tells them apart."""
RASTER_DPI: Final = 250
"""Resolution of these images."""
PNG_DPI: Final = 300
_FORMATS: Final = ("svg", "png", "pdf")
_PNG_LEVEL: Final = 3
"""How hard zlib tries: at 6, its default, it takes half as long again and saves a seventh."""

_RC: Final[dict[str, object]] = {
    "font.family": "sans-serif",
    "font.sans-serif": [FAMILY],
    "font.size": 7.0,
    "text.color": INK,
    "axes.labelsize": 7.5,
    "axes.labelcolor": INK,
    "axes.labelpad": 2.5,
    "axes.titlesize": 7.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 4.0,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": SMALL_PT,
    "ytick.labelsize": SMALL_PT,
    "xtick.major.size": 2.6,
    "ytick.major.size": 2.6,
    "xtick.minor.size": 1.4,
    "ytick.minor.size": 1.4,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "lines.linewidth": 0.9,
    "lines.markersize": 3.0,
    "legend.fontsize": SMALL_PT,
    "legend.title_fontsize": SMALL_PT,
    "legend.frameon": False,
    "savefig.dpi": PNG_DPI,
    "figure.dpi": 150,
    "image.composite_image": True,
    # Outlines instead of <text>: the figure is the same on a machine without the font. In a PDF
    # text stays text (Type 42, the subset of the font travels along), to be searched and edited.
    "svg.fonttype": "path",
    "svg.hashsalt": "flopline",
    "pdf.fonttype": 42,
    "pdf.compression": 6,
}

_LARGE: Final[dict[str, object]] = {
    "font.size": 8.5,
    "axes.labelsize": 9.0,
    "axes.titlesize": 9.5,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.title_fontsize": 8.0,
    "axes.linewidth": 0.7,
}
"""What a figure of one panel has larger, since a page shows it smaller than print does."""

PAPER_DARK: Final = "#15181c"
"""The ground of a figure on a dark page, that of the page (report/style.css)."""
# On a dark ground greys change places, from PAPER_DARK for white to nearly white for black; all
# other colours move towards white, dark ones most, and keep their order and their hue.
_GREY_LIFT: Final = (-0.911, 1.0)
_COLOR_LIFT: Final = (0.62, 0.36)
_PAINT: Final = re.compile(r"\b(fill|stroke): (#[0-9a-f]{6})\b")

_P = ParamSpec("_P")
_T = TypeVar("_T")


def styled(draw: Callable[_P, _T], more: Mapping[str, object] | None = None) -> Callable[_P, _T]:
    """`draw` under the project's style alone, whatever the caller's matplotlibrc says."""

    @functools.wraps(draw)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with (
            style.context(["default", {**_RC, **(more or {})}]),
            found_fonts(),
            copied_ticks(),
        ):
            return draw(*args, **kwargs)

    return wrapped


def styled_large(draw: Callable[_P, _T]) -> Callable[_P, _T]:
    """The same with the larger text of a figure of one panel."""
    return styled(draw, _LARGE)


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure of the given size [inch] with a renderer, outside pyplot's state."""
    figure = Figure(figsize=(width_in, height_in))
    FigureCanvasAgg(figure)
    return figure


def literal(words: str) -> str:
    """Words of a study, to be drawn as they stand: in Matplotlib two dollar signs are a formula."""
    return words.replace("$", r"\$")


def is_dense(points: int) -> bool:
    """Whether a layer of so many points should be drawn with `rasterized=True`."""
    return points > RASTER_FROM


def mako(count: int) -> list[str]:
    """`count` hex colours from light to dark; nine are exactly the published ones."""
    if count == 1:
        return [MAKO[len(MAKO) // 2]]
    return [to_hex(c) for c in MAKO_MAP(np.linspace(0.0, 1.0, count))]


MAKO_MAP: Final = LinearSegmentedColormap.from_list("flopline_mako", MAKO, N=257)
"""MAKO as a colour map; 257 = 32 * 8 + 1 levels put every published colour on a level."""


def mark_synthetic(figure: Figure) -> None:
    """Write "synthetic data" into the lower right corner."""
    figure.text(
        1 - 0.04 / figure.get_size_inches()[0],
        0.04 / figure.get_size_inches()[1],
        "synthetic data",
        ha="right",
        va="bottom",
        fontsize=SMALL_PT,
        fontstyle="italic",
        color=INK,
    )


@styled
def save(
    figure: Figure, path: str | Path, formats: Sequence[str] = ("svg", "png", "pdf")
) -> list[Path]:
    """Write `figure` to `path` plus one suffix per format; equal figures give equal bytes.

    `path` carries no suffix (a dot in its name is kept); its folder is made. Dense layers are
    images of RASTER_DPI in SVG and PDF. Returns the files written. Raises FloplineError for a
    format other than svg, png, pdf.
    """
    unknown = [f for f in formats if f not in _FORMATS]
    if unknown:
        raise FloplineError(
            f"Figures are written as {', '.join(_FORMATS)}, not {', '.join(unknown)}: "
            "change the list of figure formats."
        )
    stem = Path(path)
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = [stem.with_name(f"{stem.name}.{suffix}") for suffix in formats]
    # A letter that the font lacks is drawn as a box.
    with still(figure), lean_fonts(), warnings.catch_warnings(), ExitStack() as files:
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        part = {
            suffix: files.enter_context(replacing(file))
            for suffix, file in zip(formats, written, strict=True)
        }
        if "svg" in part or "pdf" in part:
            # In memory, since a disk that is full leaves Matplotlib's writer of PDF in confusion.
            text = io.StringIO() if "svg" in part else None
            pdf = io.BytesIO() if "pdf" in part else None
            styles = draw_shapes(figure, text, pdf, RASTER_DPI)
            if text is not None:
                svg = text.getvalue().replace("base64,\n", "base64,")
                part["svg"].write_text(_for_dark_pages(svg, styles), encoding="utf-8")
            if pdf is not None:
                part["pdf"].write_bytes(pdf.getvalue())
        if "png" in part:
            part["png"].write_bytes(_png(pixels_of(figure, PNG_DPI)))
    return written


@styled
def before_jobs() -> None:
    """Draw letters of every kind into memory: what Matplotlib looks up for a first figure.

    Jobs that are forked of the process which did so find it known.
    """
    letters = string.ascii_letters + string.digits + "()[],.%+"
    figure = new_figure(1.0, 1.0)
    axes = figure.add_axes((0.3, 0.3, 0.6, 0.6))
    axes.plot([1, 2], [1, 2], "o-", label=letters)
    axes.set(xscale="log", yscale="log", ylabel=r"$N \propto C^{0.5}$")
    axes.set_xlabel(letters, style="italic")
    axes.set_title(letters, weight="bold")
    axes.legend()
    axes.contour([[0, 1], [1, 0]])
    fonts_found()
    Image.preinit()
    with lean_fonts():
        draw_shapes(figure, io.StringIO(), io.BytesIO(), RASTER_DPI)
    pixels_of(figure, PNG_DPI)


def _png(rgba: NDArray[np.uint8]) -> bytes:
    """A PNG in RGB, since nothing shines through a figure, of rows as they are, which pack best."""
    height, width, _ = rgba.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)
    for channel in range(3):  # five times as fast as all three at a time
        rows[:, 1 + channel :: 3] = rgba[..., channel]
    per_metre = round(PNG_DPI / 0.0254)
    chunks = {
        b"IHDR": struct.pack(">2L5B", width, height, 8, 2, 0, 0, 0),
        b"pHYs": struct.pack(">2LB", per_metre, per_metre, 1),
        b"IDAT": zlib.compress(rows.data, _PNG_LEVEL),
        b"IEND": b"",
    }
    packed = [b"\x89PNG\r\n\x1a\n"]
    for name, body in chunks.items():
        check = zlib.crc32(body, zlib.crc32(name))
        packed += [struct.pack(">L", len(body)), name, body, struct.pack(">L", check)]
    return b"".join(packed)


def on_dark(color: str) -> str:
    """A colour "#rrggbb" as it is drawn where the page is dark."""
    if color == "#ffffff":
        return PAPER_DARK
    parts = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    slope, rise = _GREY_LIFT if np.ptp(parts) < 0.03 else _COLOR_LIFT
    red, green, blue = (float(part) for part in slope * parts + rise)
    return to_hex((red, green, blue))


def _for_dark_pages(svg: str, styles: Iterable[str]) -> str:
    """An SVG that is drawn in `on_dark` colours where its reader prefers dark pages.

    Its own style sheet says so, which holds inside an <img> too; on a light page and in print the
    picture is the same as without it. `styles` are those of its elements.
    """
    paints = sorted(set(_PAINT.findall("\n".join(styles))))
    rules = [f'[style*="{what}: {c}"]{{{what}:{on_dark(c)}!important}}' for what, c in paints]
    if "<image" in svg:
        rules.append("image{filter:url(#on-dark)}")
    slope, rise = _COLOR_LIFT
    channels = "".join(
        f'<feFunc{channel} type="linear" slope="{slope}" intercept="{rise}"/>' for channel in "RGB"
    )
    lift = (
        '<filter id="on-dark" color-interpolation-filters="sRGB" x="0" y="0" width="1" height="1">'
        f"<feComponentTransfer>{channels}</feComponentTransfer></filter>"
    )
    sheet = (
        '<style type="text/css">@media screen and (prefers-color-scheme: dark){'
        f"{''.join(rules)}}}</style>"
    )
    return svg.replace("</defs>", f"{sheet}{lift if '<image' in svg else ''}</defs>", 1)
