"""Finding an installed Chromium, the one thing that prints a page."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from flopline.errors import FloplineError

CHROMIUM_VARIABLE: Final = "FLOPLINE_CHROMIUM"
"""Environment variable that names the browser to use."""
NAMES: Final = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/usr/bin/chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
"""What Chromium and Chrome are called, or where they are, where no variable says it."""


def find_chromium() -> Path:
    """The installed Chromium or Chrome: that of FLOPLINE_CHROMIUM, else the first by name.

    Raises FloplineError, which says how to get one, where there is none.
    """
    named = os.environ.get(CHROMIUM_VARIABLE)
    if named:
        found = shutil.which(named)
        if found is None:
            raise FloplineError(
                f"{CHROMIUM_VARIABLE} names {named}, which is no program that can be run: "
                "correct the path, or unset it."
            )
        return Path(found)
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    raise FloplineError(
        "No Chromium or Chrome is installed: install one (Debian: apt install chromium), or name "
        f"it, as in {CHROMIUM_VARIABLE}=/path/to/chrome."
    )
