"""A study whose every name is an attack runs to its end: it is shown as it is, and nothing else."""

from __future__ import annotations

import csv
import json
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath

import pytest
import yaml

from tests.builders.studies import BUDGETS, write_study
from tests.workflow.conftest import Checkout, once_a_session

pytestmark = pytest.mark.workflow

BAD = {
    "markup": "<script>alert(1)<x-evil>",
    "closing": "</script><x-evil>",
    "attribute": "\" onload='x-evil()",
    "shell": "$(touch pwned)",
    "backticks": "`touch pwned`",
    "semicolon": "a;touch pwned;",
    "above": "../../pwned",
    "root": "/pwned",
    "option": "-rf",
    "braces": "{wildcards}{input}{0}",
    "percent": "%s%(x)s%n",
    "latex": r"$\input{/etc/passwd}$ \end{document}",
    "long": "long" * 40,
    "letters": "Größe 模型 \u202egnp.exe",
    "formula": "=cmd|' /C calc'!A0",
    "formula_at": "@SUM(1+1)",
    "template": "{{ 7*7 }}{% raw %}",
    "yaml": "!!python/object/apply:os.system [touch pwned]",
    "globs": "*[a-z]?",
    "lines": "first\nsecond\ttabbed",
}
EVERYTHING = " ".join(BAD.values())
DEEP = Path("a/b/repo")
"""Where it runs in a folder of its own, so that a way up leads to no other test's."""


def as_file_name(name: str) -> str:
    """The same as far as a file system, a glob and Snakemake take it."""
    return re.sub("[{}<>\n\t]", "", name.replace("/", "\u2215")).lstrip(".")


def write_hostile_study(folder: Path) -> None:
    path = write_study(folder, families=("ash",), budgets=BUDGETS[1:5], sizes=5, rows=6)
    study = yaml.safe_load(path.read_text())
    data = folder / "data/toy"
    with (data / "runs.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    columns = {name: f"{name} {bad}" for name, bad in zip(rows[0], BAD.values(), strict=False)}
    columns = {name: column.replace("\n", " ") for name, column in columns.items()}
    logged = {name: f"{BAD['braces']} {BAD['markup']} {name}" for name in ("tokens", "loss")}
    for row, bad in zip(rows, BAD.values(), strict=True):
        former = data / row["log"]
        log = f"logs/{as_file_name(bad)}.jsonl"
        lines = [json.loads(line) for line in former.read_text().splitlines()]
        text = [json.dumps({logged[name]: line[name] for name in logged}) for line in lines]
        (data / log).write_text("\n".join(text) + "\n")
        former.unlink()
        row |= {"run": bad, "log": log}
    rows[-1]["family"] = BAD["markup"]
    table = f"data/toy/{as_file_name(BAD['braces'])}.csv"
    (data / "runs.csv").unlink()
    with (folder / table).open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([columns[name] for name in rows[0]])
        writer.writerows(row.values() for row in rows)
    study |= {
        "title": EVERYTHING,
        "audit": {"ladder_draws": 20, "compare": []},
        "description": EVERYTHING,
        "loss_label": BAD["markup"] + BAD["latex"],
        "families": {
            "ash": "[模] $a$" + BAD["markup"] + BAD["formula"] + BAD["latex"] + BAD["braces"]
        },
        "laws": ["isoflop"],
        "targets": [1e18],
    }
    study["source"]["columns"] = logged
    study["source"]["shards"] = 1
    study["source"]["runs"] = {"table": table, "columns": {n: columns[n] for n in rows[0]}}
    path.write_text(yaml.safe_dump(study, sort_keys=False, allow_unicode=False))


class Elements(HTMLParser):
    """Names of all elements, their attributes, and the text outside scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.scripts: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.text += data


def files_of(folder: Path) -> set[str]:
    """Files outside results/ and what Snakemake keeps for itself."""
    own = {"results", ".snakemake"}
    paths = (p.relative_to(folder) for p in folder.rglob("*"))
    return {str(p) for p in paths if p.parts[0] not in own and "__pycache__" not in p.parts}


def run_hostile_study(folder: Path) -> None:
    checkout = Checkout.fresh(folder / DEEP)
    write_hostile_study(checkout.folder)
    before = files_of(checkout.folder)
    done = checkout.snakemake()
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert files_of(checkout.folder) == before


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout whose hostile study has run to its end; copy it before changing anything."""
    return Checkout(once_a_session(tmp_path_factory, "hostile", run_hostile_study) / DEEP)


def test_nothing_of_a_hostile_study_runs_or_leaves_results(hostile: Checkout) -> None:
    top = hostile.folder.parents[len(DEEP.parts) - 1]
    assert not [p for p in top.rglob("*") if "pwned" in p.name and "toy/logs" not in str(p)]
    assert not Path("/pwned").exists()
    assert {p.name for p in (hostile.folder / "results").iterdir()} == {"toy", ".code.json"}
    for path in (hostile.folder / "results/toy").rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9_.-]+", path.name), path


def test_page_shows_hostile_words_as_words(hostile: Checkout) -> None:
    for name in ("report", "appendix"):
        page = Elements((hostile.folder / f"results/toy/{name}.html").read_text())
        assert "x-evil" not in page.names
        assert not {name for name in page.attributes if name.startswith("on") or "evil" in name}
        assert not [script for script in page.scripts if script.startswith("alert")]
    page_text = " ".join(page.text.split())
    for name in BAD.values():
        assert " ".join(name.split()) in page_text, name


def test_latex_of_a_hostile_study_has_no_command_of_it(hostile: Checkout) -> None:
    results = hostile.folder / "results/toy"
    for path in [*results.glob("latex/*.tex"), results / "methods/methods.tex"]:
        text = path.read_text()
        assert r"\input{/etc" not in text, path
        assert r"\end{document}" not in text.replace("\n\\end{document}\n", ""), path
        assert "\u6a21" not in text, path


def test_zip_of_a_hostile_study_unpacks_into_one_folder(hostile: Checkout) -> None:
    with zipfile.ZipFile(hostile.folder / "results/toy/toy-review.zip") as archive:
        for name in archive.namelist():
            path = PurePosixPath(name)
            assert path.parts[0] == "toy-review", name
            assert ".." not in path.parts, name
            assert "\\" not in name, name
        text = archive.read("toy-review/data/runs.csv").decode()
    cells = [cell for row in csv.reader(text.splitlines()) for cell in row]
    assert [c for c in cells if c.startswith(("=", "@", "+"))] == []
    assert f"'{BAD['formula']}" in cells


def test_own_report_of_snakemake_is_made_or_refused(hostile: Checkout, tmp_path: Path) -> None:
    """It does not escape what ends a script, and takes words in braces for wildcards."""
    target = tmp_path / "report.html"
    checkout = hostile.copy(tmp_path / "repo")
    refused = checkout.snakemake("--report", str(target), environment={})
    assert refused.returncode == 1
    assert "holds </script, which Snakemake's own report does not escape" in refused.stderr
    assert not target.exists()
    table = next(checkout.folder.glob("data/toy/*.csv"))
    table.write_text(table.read_text().replace("log </script>", "log"))
    study = checkout.folder / "config/studies/toy.yaml"
    study.write_text(study.read_text().replace("log </script>", "log").replace("</script>", ""))
    made = checkout.snakemake("--report", str(target), environment={})
    assert made.returncode == 0, made.stderr
    assert "x-evil" not in Elements(target.read_text()).names


@pytest.mark.parametrize(
    ("name", "kind"),
    [("{shard}", "log"), ("<results>", "log"), ("two\nlines", "log"), ("{x", "run table")],
)
def test_names_that_snakemake_would_change_are_refused(
    tmp_path: Path, name: str, kind: str
) -> None:
    """A log named <results>.jsonl would be looked for as results.jsonl."""
    checkout = Checkout.fresh(tmp_path)
    path = write_study(tmp_path, families=("ash",), budgets=BUDGETS[:1], sizes=1, rows=2)
    study = yaml.safe_load(path.read_text())
    (log,) = (tmp_path / "data/toy/logs").iterdir()
    if kind == "log":
        log.rename(log.with_name(f"{name}.jsonl"))
        del study["source"]["runs"]["columns"]["log"]
    else:
        study["source"]["runs"]["table"] = f"data/toy/{name}.csv"
        (tmp_path / "data/toy/runs.csv").rename(tmp_path / f"data/toy/{name}.csv")
    path.write_text(yaml.safe_dump(study))
    done = checkout.snakemake("--dry-run")
    assert done.returncode == 1
    sentence = done.stderr.strip().splitlines()[-1]
    assert sentence.startswith("flopline: 'data/toy/")
    assert repr(name)[1:-1] in sentence
    assert sentence.endswith("rename it.")
