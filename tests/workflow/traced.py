"""Put into a checkout as workflow/sitecustomize.py: every job says what it really used.

On exit a job writes the modules it had loaded and the files it had opened for reading as
trace/<pid>.json. Jobs find it since the workflow puts workflow/ on their path; no script imports
it, so that no digest knows of it.
"""

import atexit
import json
import os
import sys
from pathlib import Path

_opened = set()


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open":
        path, mode, _ = arguments
        if isinstance(path, str) and (mode is None or "r" in str(mode)):
            _opened.add(os.path.realpath(path))


def _write() -> None:
    top = Path(__file__).resolve().parents[1]
    content = {
        "script": sys.argv[0],
        # Snakemake puts its words to a script into the script's own module.
        "rule": sys.modules["__main__"].snakemake.rule,
        "modules": sorted(sys.modules),
        "opened": sorted(
            path.removeprefix(f"{top}/")
            for path in _opened
            if path.startswith(f"{top}/") and not path.endswith((".pyc", "sitecustomize.py"))
        ),
    }
    (top / "trace").mkdir(exist_ok=True)
    (top / f"trace/{os.getpid()}.json").write_text(json.dumps(content))


if any(".snakemake/scripts" in argument for argument in sys.orig_argv):
    sys.addaudithook(_note)
    atexit.register(_write)
