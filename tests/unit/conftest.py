"""An option of the image tests."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--renew-baselines",
        action="store_true",
        help="write the pictures of test_figures_regression.py anew instead of comparing",
    )
