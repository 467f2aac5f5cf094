"""Flopline: from training-run logs to scaling laws you can bet a budget on.

In a notebook::

    import flopline

    runs = flopline.read_runs("sweep.csv", params=("Model size (M)", 1e6))
    law = flopline.fit(runs)            # its table, intervals and status
    law.plan(1e22)                      # N, D and loss at a budget
    law.predict(7e9, 1.4e11)            # the loss of one run, with intervals
    flopline.compare(runs, at=1e22)     # every law side by side
    flopline.audit_runs(runs, at=1e22)       # what held-out runs say of them
    flopline.write_report(runs, "out", at=1e22)
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "read_runs": "flopline.given_tables",
    "Law": "flopline.law",
    "audit_runs": "flopline.law",
    "compare": "flopline.law",
    "fit": "flopline.law",
    "write_report": "flopline.whole_report",
}

__all__ = ["__version__", *_HOMES]  # their types stand in __init__.pyi


def __getattr__(name: str) -> Any:
    """The functions above, imported when they are first asked for: a fit needs pandas and more."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'flopline' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
