"""Laws, surfaces, figures and formats of an installed package stand beside ours.

The package is made of the templates of docs/extending.md, and lies in a folder with an
`entry_points.txt` as an installer leaves it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from flopline.plugins import distribution_of
from tests.builders.checklists import templates
from tests.conftest import ROOT

PACKAGE = "scaling_extras"
LAW = ("law", "options", "fit", "methods")
ENTRIES = f"""
[flopline.laws]
lowest = {PACKAGE}.lowest_law

[flopline.figures]
ratios = {PACKAGE}.ratios_figure

[flopline.formats]
toytrainer = {PACKAGE}.toytrainer:FORMAT

[flopline.surfaces]
half = {PACKAGE}.forms:HALF
"""
FORMS = """
from flopline.solvers.surface_family import CHINCHILLA, Form
from flopline.surfaces.skaling import SkalingSurface

HALF = """
SCRIPT = """
import json, sys
from pathlib import Path

from flopline import notebook
from flopline.figures.registry import FIGURES
from flopline.laws.registry import LAWS
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.laws.spec import spec_module, spec_of
from flopline.logs.formats import FORMATS
from flopline.logs.readers import read_log, sniffed
from flopline.option_groups import config_schema
from flopline.quick_fits import fit_law, settings_of
from flopline.solvers.surface_family import FORMS
from running.digest import Memory, code_digest
from running.outlines import outlines
from tests.builders.designs import isoflop_runs, with_budgets

root = Path(sys.argv[1])
runs = with_budgets(isoflop_runs(noise=0.002))
given = settings_of(runs, 1e23, None, 40, 1)
log = root / "toy.out"
rows = (f"[toy] {i}/20 loss={5 - i / 10} seen={4096 * i}" for i in range(1, 21))
log.write_text("\\n".join(["hello", *rows, ""]))
library = Path(LIBRARY)
script = library.parent / "scripts" / "fit.py"
fit = fit_law("lowest", runs, given)
surface = spec_of("parametric").fitted(
    runs, [1e23], ParametricOptions(variant_draws=10), bootstrap=BootstrapOptions(draws=10)
)
json.dump({
    "laws": list(LAWS),
    "module": spec_module("lowest"),
    "fit": [fit.status, fit.targets[0].values["params"].point],
    "options": "lowest" in config_schema()["properties"],
    "forms": list(FORMS),
    "variants": sorted(surface.tables["estimators"]["estimator"].unique()),
    "figures": list(FIGURES),
    "outline": [spec.title for spec in outlines(["ratios"], library)],
    "axes": len(notebook.figure("ratios", runs, draws=40).axes),
    "formats": list(FORMATS),
    "sniffed": sniffed(log),
    "rows": len(read_log(log).rows),
    "digest": code_digest(script, library, Memory(root / "memory.json"), [spec_module("lowest")]),
}, sys.stdout)
"""


def install(folder: Path, entries: str = ENTRIES, version: str = "1.0") -> None:
    """Leave the package and its metadata in `folder`, as `pip install --target` does."""
    package = folder / PACKAGE
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    for part, text in zip(LAW, templates("a law"), strict=True):
        (package / f"lowest_{part}.py").write_text(
            text.replace("flopline.laws.lowest.", f"{PACKAGE}.")
        )
    (package / "ratios_figure.py").write_text(templates("a figure")[0])
    module, entry = templates("a log format")[:2]
    entry = textwrap.dedent(entry).strip().rstrip(",")
    made = entry[:-1].rstrip().rstrip(",") + f', module="{PACKAGE}.toytrainer")'
    more = f"from flopline.logs.formats import Columns, Format\n\nFORMAT = {made}\n"
    (package / "toytrainer.py").write_text(module + "\n\n" + more)
    (package / "forms.py").write_text(FORMS + templates("a form of the loss surface")[0])
    info = folder / f"{PACKAGE}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entries)
    (info / "top_level.txt").write_text(PACKAGE + "\n")


def ran(folder: Path, script: str, root: Path) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(map(str, (folder, ROOT / "workflow", ROOT)))
    return subprocess.run(
        [
            sys.executable,
            "-c",
            script.replace("LIBRARY", repr(str(ROOT / "workflow/flopline"))),
            str(root),
        ],
        env={**os.environ, "PYTHONPATH": paths},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("site")
    install(folder)
    done = ran(folder, SCRIPT, tmp_path_factory.mktemp("root"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_law_is_listed_fitted_and_has_options(seen: dict[str, Any]) -> None:
    assert seen["laws"] == ["envelope", "isoflop", "parametric", "lowest"]
    assert seen["module"] == f"{PACKAGE}.lowest_law"
    assert seen["fit"][0] == "converged"
    assert seen["options"]


def test_a_surface_is_a_variant_of_every_study(seen: dict[str, Any]) -> None:
    assert seen["forms"][-1] == "half"
    assert "half" in seen["variants"]


def test_a_figure_is_planned_and_drawn(seen: dict[str, Any]) -> None:
    assert seen["figures"][-1] == "ratios"
    assert seen["outline"] == ["Tokens per parameter"]
    assert seen["axes"] >= 1


def test_a_format_is_told_by_its_lines_before_the_general_ones(seen: dict[str, Any]) -> None:
    names = seen["formats"]
    assert names.index("toytrainer") < names.index("lines")
    assert (seen["sniffed"], seen["rows"]) == ("toytrainer", 20)


def test_another_version_of_the_package_is_another_code(
    seen: dict[str, Any], tmp_path: Path
) -> None:
    install(tmp_path, version="1.1")
    digest = SCRIPT[: SCRIPT.index("fit = fit_law")] + (
        "print(code_digest(script, library, Memory(root / 'memory.json'), [spec_module('lowest')]))"
    )
    done = ran(tmp_path, digest, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() != seen["digest"]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ("[flopline.laws]\nLowest-Run = x.y\n", "'Lowest-Run' of flopline.laws"),
        ("[flopline.formats]\nnone = not_there:FORMAT\n", "cannot be loaded from not_there:FORMAT"),
        ("[flopline.surfaces]\nnone = scaling_extras.forms:NONE\n", "cannot be loaded from"),
    ],
)
def test_a_broken_package_is_named(entries: str, words: str, tmp_path: Path) -> None:
    install(tmp_path, entries)
    script = (
        "from flopline.errors import FloplineError\n"
        "try:\n"
        "    from flopline.laws.registry import LAWS\n"
        "    from flopline.logs.formats import FORMATS\n"
        "    from flopline.solvers.surface_family import FORMS\n"
        "except FloplineError as why:\n    print(why)\n"
    )
    done = ran(tmp_path, script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
    assert PACKAGE in done.stdout or "package" in done.stdout


def test_the_package_of_an_import_name_is_that_of_the_standard_library() -> None:
    known = packages_distributions()
    for name in ("mpl_toolkits", "jinja2", "yaml", "PIL", "pydantic_core", "numpy"):
        assert [distribution_of(name)] == known[name][:1]
    assert distribution_of("no_such_name") == "no_such_name"
