"""Budgets as people write them, which the command and the planner of the page read alike."""

from __future__ import annotations

from typing import Final

READ: Final = {
    "3.2e23": 3.2e23,
    " 1E+21 ": 1e21,
    "6.3 x 10^22": 6.3e22,
    "6.3×10^{22}": 6.3e22,
    "10^24": 1e24,
    "1,000,000": 1e6,
    "5 ZFLOPs": 5e21,
    "500 PF-days": 4.32e22,
}
NOT_READ: Final = ("1,5e21", "much", "-1e21", "0", "1e300", "")
