"""How far from the best a fit may lie and still count: what an audit judges by, and a figure shows.

It stands apart from the audit, which loads minimisers, so that a figure need not load them.
"""

from __future__ import annotations

from typing import Final

ALLOWED_RISE: Final = 0.08
"""Rise of the objective up to which a fixed E counts as still fitting: what holding E at 1.75 or
1.90 costs at most on the points that Epoch AI digitised from Hoffmann et al. 2022 (measured)."""
