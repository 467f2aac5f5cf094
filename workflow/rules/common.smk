# What every stage needs: the study, digests of code and data, and the last words of a run.

import atexit
import gc
import os
import sys
import time
from pathlib import Path

# Looking for garbage as often as Python does, and once more in all that is left at the end, takes
# a quarter of a run with nothing to do.
gc.set_threshold(50_000)
atexit.register(gc.freeze)

# The folder `workflow`: in a checkout the library lies in it, installed it lies in the library.
WORKFLOW = Path(workflow.current_basedir.get_path_or_uri(secret_free=False)).parent
LIBRARY = WORKFLOW / "flopline"
if not LIBRARY.is_dir():
    LIBRARY = WORKFLOW.parents[1]
OURS = list(dict.fromkeys([str(LIBRARY.parent), str(WORKFLOW)]))
sys.path[:0] = OURS

from running import job_server

# Jobs inherit these, and the path to the library.
os.environ.update(job_server.FOR_JOBS, PYTHONPATH=os.pathsep.join(OURS))

from snakemake.logging import logger
from snakemake.settings.enums import Quietness
from snakemake_interface_executor_plugins.settings import ExecMode

from flopline.audit.judges import JUDGES
from flopline.errors import FloplineError
from flopline.laws.spec import Points, module_of, spec_module, spec_of, surface_law
from flopline.sources import readers_of, run_table_readers
from flopline.study import is_simulated, load_study, raw_source
from running.console import Console
from running.digest import Memory, code_digest, files_digest, loaded_by
from running.expected import seconds_by_rule
from running.foresight import is_sure_to_run, note_finished
from running.guard import Guard, at_the_end
from running.interpreter import forked, in_a_shell, prepare
from running.last_words import decision_lines, print_failures
from running.pace import lift_default
from running.raw_files import demand_plain_checkout, raw_files, simulation_of
from running.receipts import share_receipts
from running.report_check import demand_harmless
from running.steps import is_a_step_due


def code(script, *modules):
    """Digest of a script in workflow/scripts and all it imports, for a rule's params.

    `modules` are those of the library that it loads by a name in its params, as a law's.
    """
    digest = code_digest(WORKFLOW / "scripts" / script, LIBRARY, CODE, modules)
    CODE_OF[digest] = (script, modules)
    return digest


def loads_of_jobs():
    """What the jobs that are to run will load: packages of others, and modules of ours."""
    jobs = workflow.dag.needrun_jobs()
    packages, modules = {"snakemake"}, {"running.locks", "running.receipts"}
    for digest in {job.rule.params.get("code") for job in jobs} & CODE_OF.keys():
        script, named = CODE_OF[digest]
        ours, others = loaded_by(WORKFLOW / "scripts" / script, LIBRARY, CODE, named)
        packages |= others
        modules |= ours
    return packages, modules


def options(*groups):
    """The named parts of the study, so that a rule depends on no more than it uses."""
    parts = {**STUDY, "source": raw_source(STUDY)}
    return {group: parts[group] for group in groups}


def reads_curves(law):
    """Whether a law is fitted to more than the end of each run."""
    points = spec_of(law).points
    return points is Points.CURVES or (
        points is Points.STUDY and STUDY["points"] == "checkpoints"
    )


def fit_modules(law):
    """The modules that a fit of the law loads by name."""
    spec = spec_of(law)
    return [spec_module(law), *map(module_of, (spec.fit, spec.options))]


def fit_options(law):
    """The names of the parts of the study that a law's fit depends on."""
    more = {
        Points.FINAL: [],
        Points.CURVES: ["loss_split"],
        Points.STUDY: ["loss_split", "points"],
    }
    return [*more[spec_of(law).points], "targets", "bootstrap", law]


def law_files(law):
    """The files that hold one family's fit of one law."""
    base = f"results/{{study}}/fits/{{family}}/{law}"
    return {"fit": f"{base}.json", "draws": f"{base}.draws.parquet", **law_tables(law)}


def stated_files(law, *tables):
    """What the study says by one law: its fit, but that of the surface as the audits left it.

    They choose its form by the held-out ladder (audit/form_choice.py).
    """
    if law not in STUDY["laws"]:
        return {}
    room = "audit" if law == SURFACE_LAW else "fits"
    base = f"results/{{study}}/{room}/{{family}}/{law}"
    files = {"fit": f"{base}.json", "draws": f"{base}.draws.parquet"}
    return files | {
        table: f"{base}.{table}.parquet" for table in tables or spec_of(law).tables
    }


def stated(what, laws):
    """One of the `stated_files` of every family and law."""
    tables = () if what in ("fit", "draws") else (what,)
    return [
        path.format(study=STUDY["name"], family=family)
        for family in STUDY["families"]
        for law in laws
        for path in [stated_files(law, *tables)[what]]
    ]


def law_tables(law, *tables):
    """Tables of one family's fit of one law, all or those named; none if it is not fitted."""
    if law not in STUDY["laws"]:
        return {}
    base = f"results/{{study}}/fits/{{family}}/{law}"
    return {table: f"{base}.{table}.parquet" for table in tables or spec_of(law).tables}


def shown_as(what):
    """Labels of a file in Snakemake's own report: what it is, of which family and data."""

    def labels(wildcards):
        family = wildcards.get("family")
        of = STUDY["families"][family] if family else "all"
        # Snakemake takes words in braces for wildcards here, too, and knows no escape.
        of = of.translate(str.maketrans("{}", "()"))
        return {"what": what, "family": of} | (
            {"data": "synthetic"} if SYNTHETIC else {}
        )

    return labels


def per_family(pattern, **more):
    return expand(pattern, study=STUDY["name"], family=STUDY["families"], **more)


def family_of(wildcards):
    """The family of a job: a shared cache knows a result by its params, not by its wildcards."""
    return wildcards.family


def gathered(group):
    """The group of a rule on a cluster, where the profiles say of all other rules which go together.

    A job that has come to its node runs what is in it one after another: as a group there it would
    ask for the cores of all of its jobs at once.
    """
    return group if workflow.exec_mode == ExecMode.DEFAULT else None


def grows(first):
    """A resource that doubles with every further attempt at a job."""
    return lambda wildcards, attempt: first * 2 ** (attempt - 1)


def last_words():
    """The report and the decision; nothing where an earlier stage only was asked for."""
    if workflow.dag_settings.until:
        return ""
    return decision_lines(RESULTS, STUDY["families"], SYNTHETIC)


def idle_words():
    """The same for a run with nothing to do."""
    quiet = Quietness.ALL in (SHOWN.quiet or ())
    return "" if quiet else f"Nothing to do: results are up to date.\n{last_words()}"


def share(outputs):
    """Have the digests of what a shared cache holds or brings beside its entries, and here."""
    if SHARED:
        share_receipts([Path(path) for path in outputs], RESULTS)


def begin():
    """What is done as soon as it is sure that this is a run, and no look at what would run."""
    lift_default(workflow)
    if workflow.non_local_exec:
        job_server.end()
    CONSOLE.begin()


def start_jobs():
    """What is done once it is sure that there are jobs; ends a run that goes in steps first."""
    if is_a_step_due(workflow):
        GUARD.end()
        sys.exit()
    if not workflow.non_local_exec:
        sys.executable = forked(sys.executable, *loads_of_jobs())


# Whether results are shared with other checkouts (`--cache`, see docs/caching.md).
SHARED = workflow.workflow_settings.cache is not None
# A checkout, and the environment in it, may lie in a folder with blanks and quotes.
sys.executable = in_a_shell(sys.executable)
STARTED = time.time()
CODE = Memory(Path("results", ".code.json"))
CODE_OF = {}  # by digest: a script, and the modules that it loads by name
try:
    demand_plain_checkout(WORKFLOW.parent)
    STUDY = load_study(config, Path.cwd(), WORKFLOW / "schemas")
    demand_harmless(STUDY, sys.argv)
    SYNTHETIC = is_simulated(STUDY)
    RAW = raw_files(STUDY, simulator=lambda: code("simulate.py"))
except FloplineError as mistake:
    sys.exit(f"flopline: {mistake}")
except OSError as mistake:
    sys.exit(f"flopline: {mistake.filename} cannot be read: {mistake.strerror}.")

RUN_TABLE = RAW.run_table
# The law whose form the audits choose, None where the study fits none that says a surface.
SURFACE_LAW = surface_law(STUDY["laws"])
SHARDS = range(STUDY["source"]["shards"])
# A dataset of Parquet files, one for each shard.
CLEAN_CURVES = [f"results/{{study}}/clean/curves/{shard}.parquet" for shard in SHARDS]
# What is said of these laws stands in modules that jobs load by name.
SPECS = [spec_module(law) for law in dict.fromkeys([*STUDY["laws"], *JUDGES])]
TEMPLATE_FILES = [path for path in (WORKFLOW / "report").glob("*.*") if path.is_file()]
RESULTS = Path("results", STUDY["name"])
if workflow.exec_mode == ExecMode.DEFAULT and is_sure_to_run(
    RESULTS, STUDY, sys.argv[1:]
):
    # What all jobs need is loaded while they are planned.
    prepare(sys.executable)

SHOWN = workflow.output_settings
QUIET = bool({Quietness.RULES, Quietness.ALL} & set(SHOWN.quiet or ())) and not (
    SHOWN.verbose or SHOWN.dryrun
)
CONSOLE = Console(
    idle_words,
    share,
    quiet=QUIET,
    known=lambda: RAW.seconds() | seconds_by_rule(RESULTS),
)
logger.addFilter(CONSOLE.passes)
at_the_end(CONSOLE.close)
at_the_end(lambda: logger.removeFilter(CONSOLE.passes))
at_the_end(job_server.end)
GUARD = Guard(workflow, RESULTS, begins=begin)


wildcard_constraints:
    study=r"[A-Za-z0-9_.-]+",
    family=r"[A-Za-z0-9_.-]+",
    shard=r"\d+",
