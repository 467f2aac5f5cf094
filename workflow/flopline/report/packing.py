"""Data and scripts as text that a page can hold: compressed, the same bytes every time."""

from __future__ import annotations

import base64
import gzip
import json
from importlib import resources
from typing import Any, Final

import numpy as np

# Named here so that the code digest of the report holds its version.
import plotly
from numpy.typing import ArrayLike

STEP: Final = 2.0**-44
"""Bootstrap draws are rounded to multiples of this, 6e-14: logarithms keep 12 digits, and the
zeros that are left of them compress."""

LEVEL: Final = 6
"""How hard gzip tries: at its hardest it takes a third longer and saves a five-hundredth."""


def packed(text: str) -> str:
    """`text` as base64 of gzip, without time or file name in it."""
    return base64.b64encode(gzip.compress(text.encode(), LEVEL, mtime=0)).decode("ascii")


def packed_json(content: Any) -> str:
    """`content` as JSON, packed; raises ValueError for NaN, which JSON does not have."""
    dense = json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return packed(dense)


def packed_floats(values: ArrayLike) -> str:
    """Numbers as base64 of float64, rounded to STEP, byte by byte: all first bytes, all second, ...

    Little-endian; NaN and infinities are NaN. The page undoes it in panels.js.
    """
    x = np.asarray(values, dtype="<f8")
    rounded = np.where(np.isfinite(x), np.round(x / STEP) * STEP, np.nan).astype("<f8")
    by_byte = rounded.view(np.uint8).reshape(-1, 8).T
    return base64.b64encode(by_byte.tobytes()).decode("ascii")


def plotly_script() -> str:
    """The script of plotly.js, MIT licence, as the package plotly ships it, packed."""
    file = resources.files(plotly) / "package_data" / "plotly.min.js"
    return packed(file.read_text(encoding="utf-8"))
