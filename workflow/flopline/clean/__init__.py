"""Cleaning: restarts stitched, bad rows dropped and counted, bad runs set aside with a reason.

`clean` does it all in memory. The workflow does the same in two steps: `rows` for each shard of
runs, a batch of whole runs at a time, then `gather` over the runs of all shards.
"""

from flopline.clean.memory import Cleaned, clean
from flopline.clean.reasons import REASONS

__all__ = ["REASONS", "Cleaned", "clean"]
