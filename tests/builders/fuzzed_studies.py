"""Mutated study files, loaded as the workflow loads them; see fuzzed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Final

import yaml

from flopline.simulation import curve, described, planned_runs, run_table
from flopline.study import is_simulated, load_study
from tests.builders.fuzzed import Seed, judged
from tests.builders.studies import SCHEMAS
from tests.conftest import ROOT

STUDY: Final = {
    "title": "Made up (synthetic)",
    "source": {
        "kind": "logs",
        "paths": ["logs/*.jsonl"],
        "columns": {"step": "step", "tokens": {"column": "tokens", "times": 1.0}, "loss": "loss"},
        "runs": {"table": "runs.csv", "columns": {"run": "run", "params": "n", "family": "f"}},
    },
    "families": {"ash": "Ash", "birch": "Birch"},
    "params_convention": "total",
    "flops_convention": "six_nd",
    "loss_split": "val",
    "targets": [1e18, 1e19],
    "laws": ["isoflop", "parametric"],
    "bootstrap": {"draws": 100},
    "cleaning": {"bad_rows": "drop"},
}


def study_seeds() -> dict[str, Seed]:
    """Study files by name, as Seeds whose mutant is the study file."""
    path = "config/studies/fuzzed.yaml"
    texts = {"study/made up": yaml.safe_dump(STUDY, sort_keys=False).encode()}
    for file in sorted((ROOT / "config/studies").glob("*.yaml")):
        lines = file.read_text(encoding="utf-8").splitlines()
        plain = [line for line in lines if not line.lstrip().startswith("#")]
        texts[f"study/{file.stem}"] = "\n".join(plain).encode()
    return {
        name: Seed(name, {path: text}, path, {}, path, own=(_yaml,)) for name, text in texts.items()
    }


ODD: Final = (
    "!!bool x", "!!int x", "!!float x", "!!timestamp x", "!!binary x", "!!set {a}", "!!null x",
    "!!omap [a: 1]", "!!pairs [a: 1]", "!!python/object:os.system x", "!!str 1", "!x y",
    "!!map [1]", "2024-01-01", "2024-01-01T25:61:61Z", "2024-13-45", "0001-01-01 00:00:00",
    "1:30:45", "190:20:30.15", "0o7", "0b12", "0x", "1e400", "-1e400", ".inf", "-.inf", ".nan",
    "1" * 400, "1" * 5000, "1_0", "1__", "~", "null", "yes", "no", "on", "off", "True", "NULL", "=",
    "<<", "{}", "[]", "[[]]", "{a: {}}", "&a [*a]", "&a {b: *a}", "*unknown", "&a 1", "{<<: 1}",
    "{<<: [1]}", "{? [a]: b}", "{? {a: b}: c}", "[1, 2]", "{a: 1}", "'x\n\n y'", '"a\\nb"',
    '"\\ud800"', '"\\x00"', '"\\u202e"', "|\n  x", ">\n  x", "'" + "x" * 20_000 + "'", "CON", "aux",
    "cleaning.svg", "aaaaa", "ash", "Ash", "..", ".", "-", "a/b", "'%s'", "'{x}'", "'$x'", "0",
    "-1", "1e-400", "1e308", "5e-324", "1.5", "true", "x", "TODO", "'(?P<n>'", "'(a+)+$'", "'['",
    "'**/*'", "'~/x'", "'/'", "''",
)  # fmt: skip
"""Values as they may stand in YAML."""


def _yaml(data: bytes, rng: random.Random) -> bytes:
    """A value of the study file, replaced by an odd one, or a line of its put elsewhere."""
    lines = data.decode().split("\n")
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        key, colon, _ = lines[at].partition(": ")
        how = rng.random()
        if how < 0.15:
            lines.insert(rng.randrange(len(lines)), lines[at])
        elif how < 0.3:
            lines[at] = lines[at].replace(key.strip(" -:") or "x", rng.choice(ODD), 1)
        elif how < 0.4:
            lines[at] = ("  " if rng.random() < 0.5 else "") + lines[at].lstrip()
        elif colon:
            lines[at] = f"{key}: {rng.choice(ODD)}"
        else:
            lines[at] = lines[at].rstrip(":") + ": " + rng.choice(ODD)
    return "\n".join(lines).encode()


def check_study(data: bytes, folder: Path) -> str:
    """Load `data` as a study file; SOUND or REFUSED. Raises Broken, or what loading raised."""
    path = folder / "config" / "studies" / "fuzzed.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    with judged() as outcome:
        study = load_study({"study": "fuzzed"}, folder, SCHEMAS)
        json.dumps(study)
        if is_simulated(study):
            source = study["source"]
            runs = planned_runs(source)
            run_table(runs)
            described(source, study["families"])
            curve(source, runs[0])
    return outcome[0]
