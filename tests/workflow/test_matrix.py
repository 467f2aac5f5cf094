"""The rerun matrix: after each change the exact set of jobs, told by real Snakemake.

The table of docs/caching.md and the cases here are held against each other row by row.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flopline.figures.spec import FigureSpec
from running.shards import shard_of
from tests.builders.surfaces import BESIROGLU
from tests.conftest import ROOT
from tests.workflow.conftest import (
    AFTER_CLEAN,
    ALL_FITS,
    AUDIT,
    END,
    FIGURES,
    OF_LAWS,
    PAGE,
    PARTS,
    Checkout,
    engine,
    figures_that,
    of_audit,
    of_law,
    planned_jobs,
)

pytestmark = pytest.mark.workflow

LOG = "data/toy/logs/ash-1e+15-3.jsonl"
TABLE = "data/toy/runs.csv"
CONFIG = "config/config.yaml"
STUDY = "config/studies/toy.yaml"
RUNS = "results/toy/clean/runs.parquet"
FIGURE = "results/toy/figures/ash/isoflop.png"
LIBRARY = "workflow/flopline"
ONE_SHARD = {"ingest": 1, "clean": 1, "gather": 1}
ALL_CLEAN = {"clean": 2, "gather": 1} | AFTER_CLEAN
ALL = {"ingest": 2} | ALL_CLEAN
Change = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """A change of a checkout, the row of the table it belongs to, and the jobs that then run."""

    row: str
    change: Change
    jobs: dict[str, int]
    arguments: tuple[str, ...] = ()


def nothing(folder: Path) -> None:
    """Leave all as it is."""


def edit(path: str, old: str, new: str) -> Change:
    def change(folder: Path) -> None:
        Checkout(folder).edit(path, old, new)

    return change


def append(path: str, text: str) -> Change:
    def change(folder: Path) -> None:
        with (folder / path).open("a") as stream:
            stream.write(text)

    return change


def damage(path: str) -> Change:
    return lambda folder: (folder / path).write_text("{ broken")


def remove(*paths: str) -> Change:
    def change(folder: Path) -> None:
        for path in paths:
            target = folder / path
            shutil.rmtree(target) if target.is_dir() else target.unlink()

    return change


def stamp(pattern: str, seconds: float | None = None) -> Change:
    """Give the files of a pattern the time `seconds` since 1970, or that of now."""

    def change(folder: Path) -> None:
        for path in folder.glob(pattern):
            if path.is_file():
                os.utime(path, None if seconds is None else (seconds, seconds))

    return change


def both(*changes: Change) -> Change:
    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change


def rewrite(path: str) -> Change:
    def change(folder: Path) -> None:
        file = folder / path
        content = file.read_bytes()
        file.unlink()
        file.write_bytes(content)

    return change


def fresh_checkout(folder: Path) -> None:
    for part in PARTS:
        stamp(f"{part}/**/*" if (folder / part).is_dir() else part)(folder)


def change_under_old_time_stamp(folder: Path) -> None:
    log = folder / LOG
    before = log.stat()
    edit(LOG, '"lr": 0.001', '"lr": 0.002')(folder)
    os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (log.stat().st_size, log.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def add_run(folder: Path) -> None:
    shutil.copy(folder / LOG, folder / "data/toy/logs/ash-extra.jsonl")
    append(TABLE, row_of(folder).replace("ash-1e+15-3", "ash-extra") + "\n")(folder)


def remove_run(folder: Path) -> None:
    (folder / LOG).unlink()
    edit(TABLE, row_of(folder) + "\n", "")(folder)


def rename_log(folder: Path) -> None:
    (folder / LOG).rename(folder / "data/toy/logs/other.jsonl")
    edit(TABLE, "logs/ash-1e+15-3.jsonl", "logs/other.jsonl")(folder)


def rename_run(folder: Path) -> None:
    """Under a name that falls into the other shard."""
    names = (f"ash-new-{number}" for number in range(99))
    name = next(n for n in names if shard_of(n, 2) != shard_of("ash-1e+15-3", 2))
    (folder / LOG).rename(folder / f"data/toy/logs/{name}.jsonl")
    edit(TABLE, row_of(folder), row_of(folder).replace("ash-1e+15-3", name))(folder)


def row_of(folder: Path) -> str:
    rows = (folder / TABLE).read_text().splitlines()
    return next(row for row in rows if row.startswith("ash-1e+15-3,"))


def reorder_table(folder: Path) -> None:
    header, *rows = (folder / TABLE).read_text().splitlines()
    (folder / TABLE).write_text("\n".join([header, *sorted(rows, key=run_shard), ""]))


def run_shard(row: str) -> int:
    return shard_of(row.split(",")[0], 2)


def move_results(folder: Path) -> None:
    elsewhere = folder / "elsewhere/results"
    elsewhere.parent.mkdir()
    (folder / "results").rename(elsewhere)
    (folder / "results").symlink_to(elsewhere)


COMMENT = "\n# A comment changes nothing.\n"
CODE = "\nUNUSED_NAME_OF_THIS_TEST = 1\n"
ENVELOPE, ISOFLOP, PARAMETRIC = (
    {f"fit_{law}": 2} | OF_LAWS[law] | AUDIT | END for law in ("envelope", "isoflop", "parametric")
)
# What depends on the audit or the fit of one family, and all that needs the decision.
ONE_AUDIT = {"audit": 1} | figures_that(of_audit, families=1) | END
ONE_ISOFLOP = {"fit_isoflop": 1} | figures_that(of_law("isoflop"), families=1) | ONE_AUDIT


def names_the_loss(spec: FigureSpec) -> bool:
    """Whether a figure is handed what the study calls its loss."""
    return "loss_label" in spec.options


CASES = {
    "nothing": Case("nothing", nothing, {}),
    "touch": Case("`touch` of any log or table", stamp("data/toy/**/*"), {}),
    "same_bytes": Case("a log or table rewritten with the same bytes", rewrite(LOG), {}),
    "same_table": Case("a log or table rewritten with the same bytes", rewrite(TABLE), {}),
    "line": Case("a line is added to a log",
        append(LOG, '{"step": 21, "tokens": 1e99, "loss": 2.0}\n'), ONE_SHARD | AFTER_CLEAN),
    "same_stamp": Case("a log changes under its old time stamp, or an older one",
        change_under_old_time_stamp, ONE_SHARD | AFTER_CLEAN),
    "older_stamp": Case("a log changes under its old time stamp, or an older one",
        both(edit(LOG, '"lr": 0.001', '"lr": 0.002'), stamp(LOG, 1e9)), ONE_SHARD | AFTER_CLEAN),
    "add_run": Case("a run is added or removed, also in the run table",
        add_run, ONE_SHARD | AFTER_CLEAN),
    "remove_run": Case("a run is added or removed, also in the run table",
        remove_run, ONE_SHARD | AFTER_CLEAN),
    "rename_log": Case("a log is renamed and the run table says so",
        rename_log, ONE_SHARD | AFTER_CLEAN),
    "rename_run": Case("a run gets another name, which may move it to another shard",
        rename_run, ALL),
    "table": Case("what the run table says of a run",
        edit(TABLE, "logs/ash-1e+15-3.jsonl,ash", "logs/ash-1e+15-3.jsonl,birch"),
        {"clean": 1, "gather": 1} | AFTER_CLEAN),
    "reorder": Case("rows of the run table in another order", reorder_table,
        {"gather": 1} | AFTER_CLEAN),
    "isoflop": Case("an option of `isoflop`", edit(CONFIG, "min_sizes: 4", "min_sizes: 5"),
        ISOFLOP),
    "isoflop_slurm": Case("an option of `isoflop`", edit(CONFIG, "min_sizes: 4", "min_sizes: 5"),
        ISOFLOP, ("--profile", "profiles/slurm")),
    "parametric": Case("an option of `parametric`",
        edit(CONFIG, "huber_delta: 0.001", "huber_delta: 0.002"), PARAMETRIC),
    "envelope": Case("an option of `envelope`", edit(CONFIG, "bins: 1500", "bins: 1400"), ENVELOPE),
    "audit": Case("an option of `audit`", edit(STUDY, "ladder_draws: 20", "ladder_draws: 25"),
        AUDIT | END),
    "seed": Case("seed, draws or method of the bootstrap",
        edit(CONFIG, "seed: 20221", "seed: 20222"), ALL_FITS),
    "draws": Case("seed, draws or method of the bootstrap",
        edit(STUDY, "draws: 100", "draws: 101"), ALL_FITS),
    "target": Case("a target budget",
        edit(STUDY, "targets:\n- 1.0e+18", "targets:\n- 3.0e+18"), ALL_FITS),
    "row_option": Case("an option of cleaning that decides about rows (`overlap_tolerance`, "
        "`spikes`, `spike_threshold`, `final_window`)",
        edit(CONFIG, "overlap_tolerance: 0.02", "overlap_tolerance: 0.03"), ALL_CLEAN),
    "run_option": Case("any other option of cleaning; `exclude`, `held_out`",
        edit(CONFIG, "diverged: 0.2", "diverged: 0.3"), {"gather": 1} | AFTER_CLEAN),
    "exclude": Case("any other option of cleaning; `exclude`, `held_out`",
        append(STUDY, "exclude:\n- {column: loss, above: 99, reason: a test}\n"),
        {"gather": 1} | AFTER_CLEAN),
    "shards": Case("how many shards there are", edit(STUDY, "shards: 2", "shards: 3"),
        {"ingest": 3, "clean": 3, "gather": 1} | AFTER_CLEAN),
    "figure": Case("`figures.fitted_surface`, `figures.envelope_thirds`",
        edit(CONFIG, "fitted_surface: true", "fitted_surface: false"),
        {"figure_surface": 1, "figure_envelope": FIGURES["figure_envelope"]} | PAGE),
    "width": Case("`figures.width`", edit(CONFIG, "width: page", "width: column"), FIGURES | PAGE),
    "label": Case("a family's label", edit(STUDY, "ash: Ash", "ash: White ash"), FIGURES | END),
    "loss_label": Case("what the figures call the loss (`loss_label`)",
        append(STUDY, "loss_label: Test loss\n"),
        figures_that(names_the_loss) | PAGE),
    "points": Case("what the parametric law is fitted to (`points`)",
        append(STUDY, "points: checkpoints\n"), PARAMETRIC),
    "title": Case("the title",
        edit(STUDY, "title: Toy study", "title: Another study"), {"latex": 1} | PAGE),
    "description": Case("the description", append(STUDY, "description: A test.\n"), PAGE),
    "config_comment": Case("a comment in the config or a study file",
        both(edit(CONFIG, "# Run-wide options;", "# All options;"), append(STUDY, COMMENT)), {}),
    "comments": Case("a comment, or layout, in any Python file",
        both(*(append(f"{LIBRARY}/{path}", COMMENT) for path in ("schema.py", "storage.py")),
            append("workflow/scripts/stage.py", COMMENT)), {}),
    "rule_file": Case("a comment, a log's path, threads or resources in a rule",
        both(edit("workflow/rules/fit.smk", "threads: 1", "threads: 2"),
            edit("workflow/rules/fit.smk", "/logs/fit_", "/logs/the_fit_"),
            append("Snakefile", COMMENT)), {}),
    "module": Case("code in a library module, told by the imports of the scripts",
        append(f"{LIBRARY}/laws/isoflop/isoflop_fit.py", CODE), ISOFLOP),
    "methods": Case("the words of a law's methods",
        append(f"{LIBRARY}/laws/isoflop/isoflop_methods.py", CODE), PAGE),
    "style": Case("code in a library module, told by the imports of the scripts",
        append(f"{LIBRARY}/figures/style.py", CODE), FIGURES | PAGE),
    "one_figure": Case("code of one figure, its caption or alternative text, "
        "here `figures/isoflop_figure.py`",
        append(f"{LIBRARY}/figures/isoflop_figure.py", CODE), {"figure_isoflop": 2} | PAGE),
    "registry": Case("a figure's line in `figures/registry.py` is taken out, or comes to others",
        edit(f"{LIBRARY}/figures/registry.py", '    "stakes",\n', ""), PAGE),
    "gathering": Case("code in a library module, told by the imports of the scripts",
        append(f"{LIBRARY}/clean/gathering.py", CODE), {"gather": 1} | AFTER_CLEAN),
    "format": Case("code in a library module, told by the imports of the scripts",
        append(f"{LIBRARY}/logs/jsonl.py", CODE), ALL),
    "latex": Case("code of the tables for a paper (`outputs/latex_tables.py`)",
        append(f"{LIBRARY}/outputs/latex_tables.py", CODE), {"latex": 1, "review": 1}),
    "bundle": Case("code of the reviewers' zip (`outputs/bundle.py`)",
        append(f"{LIBRARY}/outputs/bundle.py", CODE), {"review": 1}),
    "planning": Case("code that only the planning uses",
        both(*(append(f"workflow/running/{name}.py", CODE)
            for name in ("shards", "digest", "outlines")),
            append(f"{LIBRARY}/laws/registry.py", CODE)), {}),
    "quick": Case("code that only a notebook calls, or a command of its own "
        "(`notebook.py`, `drafting/`, `sealed/`, `printing.py`)",
        both(*(append(f"{LIBRARY}/{path}", CODE)
            for path in ("notebook.py", "drafting/survey.py", "sealed/sealing_command.py",
                "printing.py"))), {}),
    "running": Case("code around a job's work: locks, digests of results, what is said "
        "(`workflow/running`, `run.py`)",
        both(append("workflow/run.py", CODE), *(append(f"workflow/running/{name}.py", CODE)
            for name in ("console", "locks", "receipts"))), {}),
    "script": Case("code in a script, here that of `decide`",
        edit("workflow/scripts/decide.py", "lines", "rows"), END),
    "law": Case("a law in `published.toml`",
        edit(f"{LIBRARY}/surfaces/published.toml", f"beta = {BESIROGLU.beta}", "beta = 0.5"),
        AUDIT | END),
    "template": Case("the report's template, style or scripts",
        edit("workflow/report/_layout.html.j2", "</main>", "</main><!-- new -->"), PAGE),
    "css": Case("the report's template, style or scripts",
        append("workflow/report/style.css", "/* new */\n"), PAGE),
    "panels": Case("the report's template, style or scripts",
        append("workflow/report/panels.js", "// new\n"), PAGE),
    "captions": Case("a caption in `workflow/report/captions/` for Snakemake's own report",
        append("workflow/report/captions/figure.rst", "New.\n"), {}),
    "checkout": Case("a fresh checkout, with new time stamps, over existing results",
        fresh_checkout, {}),
    "old_stamps": Case("results copied without their time stamps",
        both(stamp("results/toy/**/*"), stamp("data/toy/**/*")), {}),
    "moved": Case("`results/` on another disk, behind a link", move_results, {}),
    "memory": Case("what `results/` remembers of digests is lost or damaged",
        both(remove("results/.code.json", "results/toy/.sha256"), *(damage(f"results/toy/{name}")
            for name in (".digests.json", ".outputs.json"))), {}),
    "cores": Case("`--cores`, another profile", nothing, {}, ("--cores", "7")),
    "slurm": Case("`--cores`, another profile", nothing, {}, ("--profile", "profiles/slurm")),
    "no_figure": Case("a figure is deleted, here one of `figure_isoflop`",
        remove("results/toy/figures/ash/isoflop.svg"), {"figure_isoflop": 1} | PAGE),
    "no_fit": Case("a table or a fit is deleted, and what reads it is up to date",
        remove("results/toy/fits/ash/isoflop.json"), {}),
    "no_runs": Case("a table or a fit is deleted, and what reads it is up to date",
        remove("results/toy/clean/runs.parquet", "results/toy/curves"), {}),
    "no_fit_to_read": Case("a fit is deleted, and `report`, which reads it, runs anyway",
        both(remove("results/toy/fits/ash/isoflop.json"), edit(STUDY, "title: Toy", "title: My")),
        ONE_ISOFLOP),
    "edited": Case("a table is edited or damaged, here that of the runs",
        append(RUNS, "x"), {"gather": 1} | AFTER_CLEAN),
    "edited_old_stamp": Case("the same under its old time stamp",
        both(append(RUNS, "x"), stamp(RUNS, 1e9)), {"gather": 1} | AFTER_CLEAN),
    "edited_figure": Case("a figure is edited or damaged, here one of `figure_isoflop`",
        both(append(FIGURE, "x"), stamp(FIGURE, 1e9)), {"figure_isoflop": 1} | PAGE),
    "edited_folder": Case("a file in a folder of results is edited or damaged, here one of `audit`",
        append("results/toy/audit/ash/tables/hygiene.runs.parquet", "x"), ONE_AUDIT),
}  # fmt: skip


class Scratch:
    """A copy of a finished checkout that is put back as it was after every change."""

    def __init__(self, pristine: Path, folder: Path) -> None:
        self.pristine = pristine
        self.checkout = Checkout(pristine).copy(folder)
        self.marks = self.files()

    def files(self) -> dict[Path, tuple[int, ...]]:
        """Size, times and inode of every file that a plan may depend on."""
        by_name = {}
        for top, folders, names in os.walk(self.checkout.folder):
            here = Path(top).relative_to(self.checkout.folder)
            if here.name == ".snakemake":
                folders[:] = ["metadata"]
            for name in names:
                stat = (self.checkout.folder / here / name).stat()
                by_name[here / name] = (
                    stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino,
                )  # fmt: skip
        return by_name

    def put_back(self) -> None:
        """Restore what changed, by the time stamps of the inodes, and remove what is new."""
        folder = self.checkout.folder
        if (folder / "results").is_symlink():
            (folder / "results").unlink()
            (folder / "elsewhere/results").rename(folder / "results")
            (folder / "elsewhere").rmdir()
        now = self.files()
        for path in now.keys() - self.marks.keys():
            (folder / path).unlink()
        for path, mark in self.marks.items():
            if now.get(path) != mark:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.pristine / path, folder / path)
        self.marks = self.files()


@pytest.fixture(scope="module")
def scratch(finished: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    return Scratch(finished.folder, tmp_path_factory.mktemp("matrix") / "repo")


@pytest.fixture
def checkout(scratch: Scratch) -> Iterator[Checkout]:
    yield scratch.checkout
    scratch.put_back()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_change_reruns_what_hangs_on_it_and_nothing_else(checkout: Checkout, case: Case) -> None:
    case.change(checkout.folder)
    assert checkout.planned(arguments=case.arguments) == case.jobs


def test_an_undone_change_reruns_nothing(scratch: Scratch) -> None:
    """After all these cases; each was taken back by its bytes, under new inodes."""
    assert scratch.checkout.planned() == {}


@pytest.mark.parametrize("locale", ["C", "de_DE.UTF-8"])
def test_another_environment_reruns_nothing(
    checkout: Checkout, locale: str, tmp_path: Path
) -> None:
    """A locale that the machine lacks is as good a test: programs then fall back to C."""
    other = {
        "LC_ALL": locale,
        "LANG": locale,
        "TZ": "Pacific/Chatham",
        "PYTHONHASHSEED": "7",
        "HOME": str(tmp_path),
    }
    before = os.umask(0o077)
    try:
        done = checkout.snakemake("--dry-run", "--quiet", "reason", environment=other)
    finally:
        os.umask(before)
    assert planned_jobs(done) == {}


@pytest.mark.parametrize(("package", "jobs"), [("jinja2", PAGE), ("matplotlib", FIGURES | PAGE)])
def test_a_newer_package_reruns_what_imports_it(
    checkout: Checkout, package: str, jobs: dict[str, int], tmp_path: Path
) -> None:
    stub = tmp_path / f"{package}-99.0.dist-info"
    stub.mkdir()
    (stub / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 99.0\n")
    done = checkout.snakemake(
        "--dry-run", "--quiet", "reason", environment={"PYTHONPATH": str(tmp_path)}
    )
    assert planned_jobs(done) == jobs


def test_a_checkout_elsewhere_with_its_results_reruns_nothing(
    checkout: Checkout, tmp_path: Path
) -> None:
    assert checkout.copy(tmp_path / "else where").planned() == {}


def test_a_damaged_result_that_nothing_asks_for_is_made_again(checkout: Checkout) -> None:
    """Snakemake alone does not miss a file that all who read it have read."""
    table = checkout.folder / "results/toy/latex/runs.tex"
    before = table.read_bytes()
    both(append("results/toy/latex/runs.tex", "x"), stamp("results/toy/latex/runs.tex", 1e9))(
        checkout.folder
    )
    assert checkout.planned() == {"latex": 1, "review": 1}
    # A run that does not get there, as one that is killed, or a step of workflow/run.py.
    done = checkout.snakemake("--until", "ingest")
    assert done.returncode == 0, done.stderr
    assert not table.exists()
    assert checkout.planned() == {"latex": 1, "review": 1}
    done = checkout.snakemake()
    assert done.returncode == 0, done.stderr
    assert table.read_bytes() == before
    assert table.with_name("runs.tex.changed").read_bytes() == before + b"x"
    assert checkout.planned() == {}


def documented() -> dict[str, str]:
    """The rows of the table in docs/caching.md: the change, and what it says runs again."""
    text = (ROOT / "docs/caching.md").read_text(encoding="utf-8")
    table = text.split("| change | what runs again |\n|---|---|\n")[1].split("\n\n")[0]
    rows = [re.fullmatch(r"\| (.*?) \| (.*) \|", line) for line in table.splitlines()]
    assert all(rows), rows
    return {row[1]: row[2] for row in rows if row}


def below(folder: Path) -> dict[str, set[str]]:
    """All rules that depend on each rule, as Snakemake draws them."""
    graph = engine().snakemake(folder, "--rulegraph", "--config", "study=toy").stdout
    names = dict(re.findall(r"(\d+)\[label ?= ?\"(\w+)\"", graph))
    edges = [(names[a], names[b]) for a, b in re.findall(r"(\d+) -> (\d+)", graph)]
    by_name: dict[str, set[str]] = {}
    for rule in names.values():
        reached, todo = set(), [rule]
        while todo:
            at = todo.pop()
            for b in {b for a, b in edges if a == at} - reached:
                reached.add(b)
                todo.append(b)
        by_name[rule] = reached - {"all"}
    return by_name


FIGURES_THAT: dict[str, Callable[[FigureSpec], bool]] = {
    "all figures": lambda spec: True,
    "figures that name it": names_the_loss,
}
"""What stands in the table for the rules of several figures, so that a new one is among them."""

OTHER_ROWS = {
    "another locale, time zone, hash seed, `HOME` or umask",
    "a newer version of a package",
    "the whole checkout at another path",
    "killed between two stages",
}
"""Rows that tests of their own hold, here and in test_caching.py."""


def test_the_table_and_the_cases_are_one(finished: Checkout) -> None:
    rows, under = documented(), below(finished.folder)
    assert set(rows) == {case.row for case in CASES.values()} | OTHER_ROWS
    for case in CASES.values():
        sentence = rows[case.row]
        if "import it" in sentence:
            continue  # test_code_digests.py: every module, every rule
        named = set(re.findall(r"`(\w+)`", sentence))
        for words, need in FIGURES_THAT.items():
            if words in sentence:
                named |= figures_that(need).keys()
        if "all below" in sentence:
            named |= set().union(*(under[rule] for rule in named))
        assert named == set(case.jobs), case
