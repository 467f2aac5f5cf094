"""A page as a PDF, printed by an installed Chromium: python -m flopline.printing PAGE PDF."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flopline.errors import FloplineError
from flopline.numbers import size_in_words

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
LONGEST_S: Final = 180
"""A browser that takes longer hangs."""


def find_chromium() -> Path:
    """The installed Chromium or Chrome: that of FLOPLINE_CHROMIUM, else the first by name.

    Raises FloplineError, which says how to get one, where there is none.
    """
    named = os.environ.get(CHROMIUM_VARIABLE)
    if named:
        path = shutil.which(named)
        if path is None:
            raise FloplineError(
                f"{CHROMIUM_VARIABLE} names {named}, which is no program that can be run: "
                "correct the path, or unset it."
            )
        return Path(path)
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return Path(path)
    raise FloplineError(
        "No Chromium or Chrome is installed: install one (Debian: apt install chromium), or name "
        f"it, as in {CHROMIUM_VARIABLE}=/path/to/chrome."
    )


def print_page(page: Path, pdf: Path) -> None:
    """Print the HTML file `page` to `pdf`, as its own style for print says.

    Raises FloplineError without a page or a browser, and where the browser prints nothing.
    """
    if not page.is_file():
        raise FloplineError(f"{page} does not exist: run the study first.")
    browser = find_chromium()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "page.pdf")
        command = [
            str(browser),
            "--headless",
            "--disable-gpu",
            "--no-first-run",
            "--no-pdf-header-footer",
            f"--user-data-dir={folder}/profile",
            f"--print-to-pdf={made}",
            page.resolve().as_uri(),
        ]
        # Chromium has no sandbox for root, as in most containers, and would not start.
        command[1:1] = ["--no-sandbox"] * (hasattr(os, "geteuid") and os.geteuid() == 0)
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=LONGEST_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FloplineError(f"{browser} could not print {page}: {error}.") from None
        if not made.is_file():
            message = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise FloplineError(f"{browser} printed nothing of {page}: {message}")
        pdf.write_bytes(made.read_bytes())


def main(arguments: Sequence[str]) -> int:
    """Print the page named first to the PDF named second; the exit status."""
    if len(arguments) != 2:
        print("Usage: python -m flopline.printing PAGE PDF", file=sys.stderr)
        return 2
    page, pdf = map(Path, arguments)
    try:
        print_page(page, pdf)
    except FloplineError as mistake:
        print(f"flopline: {mistake}", file=sys.stderr)
        return 1
    print(f"Printed: {pdf.resolve()} ({size_in_words(pdf.stat().st_size)})", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
