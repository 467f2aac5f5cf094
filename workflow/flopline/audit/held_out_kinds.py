"""What a prediction of a run held out is of, as its table says, for those that read no more of it.

Figures look for these words; with the audit that writes them they would load SciPy's tests.
"""

from __future__ import annotations

from typing import Final

THIS_RUN: Final = "this run"
BEST_RUN: Final = "the best run of its compute"
