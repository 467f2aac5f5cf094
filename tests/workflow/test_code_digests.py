"""What a rule's digest of its code knows, held against other witnesses than the digest itself."""

from __future__ import annotations

import ast
import json
import re
import shutil
from base64 import b64decode
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from modulefinder import Module, ModuleFinder
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
import yaml

from flopline.atomic import part_of
from flopline.figures.registry import FIGURES
from flopline.figures.spec import figure_module, figure_spec
from flopline.laws.registry import LAWS
from flopline.laws.spec import module_of, spec_module, spec_of
from flopline.sources import readers_of, run_table_readers
from running.digest import AROUND, Memory, code_digest
from running.receipts import FOLDER
from tests.conftest import ROOT
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.workflow

WORKFLOW = ROOT / "workflow"
HELPERS = {"stage", "fitting", "findings", "solved", "drawn"}
RESULTS = Path("results/toy")
RECEIPTS = RESULTS / FOLDER
SCRIPTS = sorted(p.stem for p in (WORKFLOW / "scripts").glob("*.py") if p.stem not in HELPERS)
SPECS = [spec_module(law) for law in LAWS]
"""What jobs that name laws load by the laws' names."""
OF_LAWS = {"decide", "latex", "review"}


def script_of(rule: str) -> str:
    """The script of a rule; all laws are fitted by one, all figures drawn by one."""
    return next((kind for kind in ("fit", "figure") if rule.startswith(f"{kind}_")), rule)


def by_name(rule: str, checkout: Checkout) -> Sequence[str]:
    """The modules that the jobs of a rule load by names in their params."""
    if rule.startswith("fit_"):
        return fit_modules(rule.removeprefix("fit_"))
    if rule == "audit":
        return [module for law in LAWS for module in fit_modules(law)]
    if rule == "report":
        return [*SPECS, *(module_of(spec_of(law).methods) for law in LAWS)]
    if rule.startswith("figure_"):
        name = rule.removeprefix("figure_")
        figure = figure_spec(name)
        specs = SPECS if figure.needs.every_law else map(spec_module, figure.laws)
        return [figure_module(name), *specs]
    if rule in OF_LAWS:
        return SPECS
    source = yaml.safe_load((checkout.folder / "config/studies/toy.yaml").read_text())["source"]
    of_table = run_table_readers(source)
    named = {"ingest": readers_of(source), "clean": of_table, "gather": of_table}
    return named.get(rule, ())


def fit_modules(law: str) -> list[str]:
    """The modules that a fit of a law loads by name."""
    spec = spec_of(law)
    return [spec_module(law), module_of(spec.fit), module_of(spec.options)]


SCANNED: dict[CodeType, list[Any]] = {}
"""What the code of each module and function imports: many finders come to the same."""


@cache
def compiled(path: str) -> CodeType:
    """The code of a module, which no test edits before finders have read it."""
    return compile(Path(path).read_bytes(), path, "exec")


@cache
def files_found(script: Path, *modules: str, loaded: bool = False) -> frozenset[Path]:
    """The files of the workflow that a script imports, and that these modules do."""
    return frozenset(Finder(script, *modules, loaded=loaded).files())


class Finder(ModuleFinder):
    """Imports by compiled code, with the standard library's own means; outside code is left out.

    What a package's __init__ imports counts only where the package itself is named: a module
    below it gains nothing from it. What lies around a job's work is left out. `loaded` counts
    both all the same, since they too are loaded.
    """

    def __init__(self, script: Path, *modules: str, loaded: bool = False) -> None:
        super().__init__(
            [str(script.parent), str(script.parents[1])], excludes=() if loaded else AROUND
        )
        self.re_exports = loaded
        self.named: set[str] = set()
        self.waiting: dict[str, tuple[CodeType, Module]] = {}
        self.run_script(str(script))
        for name in modules:
            # As `import a.b` in the script would, which names b alone.
            self.import_hook(name, self.modules["__main__"])

    def load_module(self, fqname: str, fp: Any, pathname: str, file_info: Any) -> Module:
        if not str(pathname).endswith(".py"):
            return super().load_module(fqname, fp, pathname, file_info)
        module = self.add_module(fqname)
        module.__file__, module.__code__ = pathname, compiled(pathname)
        self.scan_code(module.__code__, module)
        return module

    def scan_opcodes(self, co: CodeType) -> list[Any]:
        if co not in SCANNED:
            SCANNED[co] = list(super().scan_opcodes(co))
        return SCANNED[co]

    def scan_code(self, co: CodeType, m: Module) -> None:
        if m.__path__ and not self.re_exports and m.__name__ not in self.named:
            self.waiting[m.__name__] = (co, m)
        else:
            super().scan_code(co, m)

    def import_hook(self, name: str, *rest: Any, **more: Any) -> Any:
        module = super().import_hook(name, *rest, **more)
        self.named.add(name)
        if name in self.waiting:
            super().scan_code(*self.waiting.pop(name))
        return module

    def files(self) -> set[Path]:
        """The files of the workflow that it found."""
        paths = {Path(m.__file__) for m in self.modules.values() if m.__file__}
        return {path for path in paths if path.is_relative_to(self.path[1])}


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("digests") / "workflow"
    shutil.copytree(WORKFLOW, copy, ignore=shutil.ignore_patterns("__pycache__", "tinylm"))
    return copy


MODULES = {
    "one module": ("gather", "flopline.laws.isoflop.isoflop_fit"),
    "a package": ("gather", "flopline.laws.parametric"),
    "readers of logs": ("ingest", *readers_of({"kind": "logs"})),
    **{f"the figure {name}": ("figure", figure_module(name)) for name in FIGURES},
    "two modules": ("review", "flopline.surfaces.tied", "flopline.figures.style"),
}
"""Scripts, and modules that are named besides them: as rules do whose script loads by name."""

CASES = {**{script: (script,) for script in SCRIPTS}, **MODULES}


def digests(workflow: Path, memory: Memory) -> dict[str, str]:
    return {
        case: code_digest(workflow / f"scripts/{s}.py", workflow / "flopline", memory, modules)
        for case, (s, *modules) in CASES.items()
    }


def test_an_edited_module_changes_exactly_the_digests_of_what_imports_it(workflow: Path) -> None:
    """Every module of the library and every helper of the scripts, one after another."""
    importers = defaultdict(set)
    for case, (script, *named) in CASES.items():
        for path in files_found(workflow / f"scripts/{script}.py", *named):
            importers[path].add(case)
    memory = Memory(workflow / "none")
    before = digests(workflow, memory)
    parts = ("flopline", "running", "scripts")
    modules = [path for part in parts for path in (workflow / part).rglob("*.py")]
    assert len(modules) > 100
    wrong = {}
    for module in modules:
        text = module.read_text()
        module.write_text(text + "\nUNUSED_NAME_OF_THIS_TEST = 1\n")
        known = memory.seen.pop(str(module), None)
        after = digests(workflow, memory)
        changed = {case for case in CASES if after[case] != before[case]}
        module.write_text(text)
        memory.seen |= {str(module): known} if known else {}
        if changed != importers[module]:
            wrong[module] = changed, importers[module]
    assert wrong == {}
    assert digests(workflow, Memory(workflow / "none")) == before


def test_every_rule_hands_itself_the_digest_of_its_own_script() -> None:
    for name, rule in rule_texts().items():
        script = name.removesuffix("_*")
        # Other modules may stand behind it: those that it loads by name.
        assert re.search(rf'code=code\(\s*"{script}\.py"[,)]', rule), name
        assert f'"../scripts/{script}.py"' in rule, name


def rule_texts() -> dict[str, str]:
    """What stands in each rule, by its name; `x_*` where a loop makes them."""
    by_rule = {}
    for file in (WORKFLOW / "rules").glob("*.smk"):
        for text in re.split(r"^ *rule\b", file.read_text(), flags=re.MULTILINE)[1:]:
            named = re.match(r"(?: (\w+))?:(?:\s+name:\s+f\"(\w+)_\{)?", text)
            assert named is not None, text
            by_rule[named[1] or f"{named[2]}_*"] = text
    return by_rule


@pytest.fixture(scope="module")
def traces(finished: Checkout) -> dict[str, list[dict[str, Any]]]:
    """By rule, what each of its jobs really loaded and opened."""
    by_rule = defaultdict(list)
    for file in (finished.folder / "trace").glob("*.json"):
        trace = json.loads(file.read_text())
        by_rule[trace["rule"]].append(trace)
    scripts = {
        Path(trace["script"]).name.split(".")[1] for jobs in by_rule.values() for trace in jobs
    }
    assert scripts == set(SCRIPTS) - {"simulate"}
    return by_rule


def test_no_job_loads_a_module_that_its_digest_does_not_know(
    finished: Checkout, traces: dict[str, list[dict[str, Any]]]
) -> None:
    """The digest knows the same modules as Finder, see above; here is what jobs really load."""
    for rule, jobs in traces.items():
        known = {module_name(path, finished.folder) for path in known_to(rule, finished)}
        for job in jobs:
            loaded = {m for m in job["modules"] if m.split(".")[0] in {"flopline", *HELPERS}}
            assert loaded
            assert loaded <= known, (rule, loaded - known)


def test_every_job_has_the_digest_of_its_script_and_of_what_that_loads_by_name(
    finished: Checkout,
) -> None:
    workflow, memory = finished.folder / "workflow", Memory(finished.folder / "none")
    for record in metadata(finished).values():
        script = workflow / f"scripts/{script_of(record['rule'])}.py"
        named = by_name(record["rule"], finished)
        digest = code_digest(script, workflow / "flopline", memory, named)
        assert repr(digest) in record["params"], record["rule"]


def known_to(rule: str, checkout: Checkout) -> frozenset[Path]:
    """The files of the workflow that a job of a rule may load: by its imports, or by a name."""
    script = checkout.folder / f"workflow/scripts/{script_of(rule)}.py"
    return files_found(script, *by_name(rule, checkout), loaded=True)


def module_name(path: Path, folder: Path) -> str:
    parts = path.relative_to(folder / "workflow").with_suffix("").parts
    return ".".join(part for part in parts if part not in ("scripts", "__init__"))


def test_no_job_reads_a_file_that_is_neither_input_nor_counted_in_its_params(
    finished: Checkout, traces: dict[str, list[dict[str, Any]]]
) -> None:
    """Files opened through Python; Parquet is opened by Arrow, by the paths of the inputs."""
    inputs, outputs = defaultdict(set), defaultdict(set)
    for output, record in metadata(finished).items():
        inputs[record["rule"]] |= set(map(Path, record["input"]))
        outputs[record["rule"]].add(output)
    for rule, jobs in traces.items():
        code = {path.relative_to(finished.folder) for path in known_to(rule, finished)}
        known = inputs[rule] | code | {path.with_suffix(".toml") for path in code}
        known |= {Path(".snakemake"), *([Path("workflow/report")] if rule == "report" else [])}
        # Beside each result stands its digest as a note: read, compared, and no data.
        # What a job wrote itself it reads again, to bring it to the disk and for its digest.
        known |= outputs[rule] | {part_of(path) for path in outputs[rule]}
        known |= {RECEIPTS / path.relative_to(RESULTS) for path in known if RESULTS in path.parents}
        # What a job solved before, looked up by all that a solve depends on.
        known.add(RESULTS / ".solves")
        for job in jobs:
            for path in map(Path, job["opened"]):
                assert known & {path, *path.parents}, (rule, path)


def metadata(checkout: Checkout) -> dict[Path, dict[str, Any]]:
    """What Snakemake remembers of each output."""
    files = (checkout.folder / ".snakemake/metadata").iterdir()
    return {Path(b64decode(file.name).decode()): json.loads(file.read_text()) for file in files}


def test_snakemake_tracks_every_param_of_every_rule(finished: Checkout) -> None:
    """It leaves out, without a word, those that are worked out from the input."""
    declared = {}
    for name, rule in rule_texts().items():
        params = re.split(r" +script:\n", re.split(r" +params:\n", rule)[1])[0]
        indent = re.match(r" +", params)[0]
        declared[name] = len(re.findall(rf"^{indent}\w+=", params, re.M))
    tracked = {record["rule"]: len(record["params"]) for record in metadata(finished).values()}
    declared["clean"] -= 1  # the run table: what counts of it are the facts of the shard's runs
    assert tracked == {rule: declared[looped(rule)] for rule in tracked}


def looped(rule: str) -> str:
    """The name that `rule_texts` has for a rule."""
    kind = script_of(rule)
    return rule if kind == rule else f"{kind}_*"


def test_no_script_reads_the_config_and_nothing_the_environment() -> None:
    """Either would go unseen: a rule is handed what it uses, as params.

    But for where an error goes, to the log or on to a debugger, and for the settings of packages
    of which another one keeps what was solved from being found.
    """
    scripts = set((WORKFLOW / "scripts").glob("*.py"))
    found = [files_found(WORKFLOW / f"scripts/{name}.py", loaded=True) for name in SCRIPTS]
    used = scripts.union(*found)
    assert len(used) > 100
    for path in used:
        lines = path.read_text().splitlines()
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node, "attr", getattr(node, "id", ""))
            if name in ("environ", "getenv"):
                line = lines[node.lineno - 1]
                assert '"FLOPLINE_RAISE" in os.environ' in line or "SETTINGS" in line, path
            assert name != "config" or path not in scripts, (path, node.lineno)
