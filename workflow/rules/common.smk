# What every stage needs: the study, digests of code and data, and the last words of a run.

import atexit
import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path

LIBRARY = Path(workflow.basedir) / "workflow" / "flopline"
# Jobs inherit the path to the library, and one thread each: BLAS threads that spin on tiny
# matrices cost three times the CPU.
threads_per_job = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
os.environ.update(threads_per_job, PYTHONPATH=str(LIBRARY.parent))
sys.path.insert(0, str(LIBRARY.parent))

from snakemake.logging import logger
from snakemake.settings.enums import Quietness
from snakemake_interface_executor_plugins.settings import ExecMode

from running.digest import Memory, code_digest, files_digest
from flopline.errors import FloplineError
from flopline.hashing import hash_file
from flopline.sources import (
    hold_several,
    log_digest,
    parts_of,
    readers_of,
    run_table_readers,
    why_no_file,
)
from flopline.schema import LAW_TABLES
from running.shards import by_shard, fact_digests
from flopline.study import is_simulated, load_study, log_files, raw_source
from running.console import Console
from running.locks import hold_run, release_run, require_room
from running.receipts import (
    bring_to_now,
    drop_receipts,
    set_aside_damaged,
    share_receipts,
    to_be_made_again,
)


def hashed_files(study):
    """The study's logs as {run, path, sha256} and its run table as {path, sha256} or None."""
    if is_simulated(study):
        return unborn_files(study)
    memory = Memory(Path("results", study["name"], ".digests.json"))
    table = study["source"].get("runs", {}).get("table")
    if table:
        require_file(table, f"{study['file']}: source.runs.table")
    files = log_files(study, Path.cwd())
    run_table = {"path": table} if table else None

    def hashed(path):
        require_plain(path)
        if why := why_no_file(path):
            raise FloplineError(f"{path} {why}, where a log should be: take it away.")
        return memory.of(path, hash_file)

    for file in files:
        file["sha256"] = log_digest(Path(file["path"]), hashed)
        if "sidecar" in file:
            require_file(file["sidecar"], f"{study['file']}: source.runs.sidecar")
            file["sidecar_sha256"] = hashed(Path(file["sidecar"]))
    if run_table:
        run_table["sha256"] = hashed(Path(table))
    memory.save()
    return files, run_table


def read_for(file):
    """All files that are read for one log: a folder's own, and a sidecar."""
    parts = [str(part) for part in parts_of(Path(file["path"]))]
    return [*parts, *([file["sidecar"]] if "sidecar" in file else [])]


def unborn_files(study):
    """The same for runs that are yet to be simulated, told by what they will be made of."""
    parts = json.dumps([SIMULATION, code("simulate.py")], sort_keys=True)
    made_of = {"sha256": None, "made_of": hashlib.sha256(parts.encode()).hexdigest()}
    files = [file | made_of for file in log_files(study, Path.cwd())]
    return files, {"path": raw_source(study)["runs"]["table"]} | made_of


def require_harmless(study):
    """Refuse Snakemake's own report of a study whose words would end the script they stand in."""
    found = re.search("</script|<!--", json.dumps(study), re.IGNORECASE)
    if found and any(word.startswith("--report") for word in sys.argv[1:]):
        raise FloplineError(
            f"{study['file']} holds {found[0]}, which Snakemake's own report does not escape: take "
            "it out, or read report.html, which does."
        )


def require_file(path, named_in):
    if why := why_no_file(Path(path)):
        raise FloplineError(f"{named_in} names {path}, which {why}: correct the path.")


def require_plain(path):
    """Refuse names in which Snakemake would put other words, also in what a function returns."""
    if re.search(r"[{}\x00-\x1f\x7f]|<[a-z][a-z0-9_]*>", str(path)):
        raise FloplineError(
            f"{str(path)!r}: in the name of a file or folder Snakemake takes braces and words in "
            "< > for its own, and line breaks mislead: rename it."
        )


def code(script, *modules):
    """Digest of a script in workflow/scripts and all it imports, for a rule's params.

    `modules` are those of the library that it loads by a name in its params, as a law's.
    """
    return code_digest(LIBRARY.parent / "scripts" / script, LIBRARY, CODE, modules)


def options(*groups):
    """The named parts of the study, so that a rule depends on no more than it uses."""
    parts = {**STUDY, "source": raw_source(STUDY)}
    return {group: parts[group] for group in groups}


def law_files(law):
    """The files that hold one family's fit of one law."""
    base = f"results/{{study}}/fits/{{family}}/{law}"
    return {"fit": f"{base}.json", "draws": f"{base}.draws.parquet", **law_tables(law)}


def law_fit(law):
    """One family's fit of one law and its draws, without its tables; none if not fitted."""
    files = law_files(law) if law in STUDY["laws"] else {}
    return {name: path for name, path in files.items() if name in ("fit", "draws")}


def law_tables(law, *tables):
    """Tables of one family's fit of one law, all or those named; none if it is not fitted."""
    if law not in STUDY["laws"]:
        return {}
    base = f"results/{{study}}/fits/{{family}}/{law}"
    return {table: f"{base}.{table}.parquet" for table in tables or LAW_TABLES[law]}


def shard_files(shard):
    """The raw files of one shard, a stable set of runs."""
    return BY_SHARD[int(shard)]


def shard_facts(shard):
    """What the run table says of the runs of one shard, as a digest; None without a table."""
    return FACTS_BY_SHARD[int(shard)]


def digested_facts():
    """The same for every shard."""
    if not RUN_TABLE:
        return [None for _ in SHARDS]
    if SYNTHETIC:
        return [RUN_TABLE["made_of"] for _ in SHARDS]
    if SEVERAL:
        return [RUN_TABLE["sha256"] for _ in SHARDS]
    run = STUDY["source"]["runs"]["columns"]["run"]
    return fact_digests(Path(RUN_TABLE["path"]), run, RUN_TABLE["sha256"], len(SHARDS))


def figure_files(stem, caption, category):
    """A figure in every format; the SVG goes into Snakemake's own report."""
    svg = report(
        f"{stem}.svg",
        caption=f"../report/captions/{caption}.rst",
        category=category,
        labels=shown_as(Path(stem).name),
    )
    return {"svg": svg, "png": f"{stem}.png", "pdf": f"{stem}.pdf"}


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


def several_figures(figures, category):
    """Figures of one family that one job draws, by <figure>_<format>."""
    return {
        f"{figure}_{format}": file
        for figure in figures
        for format, file in figure_files(
            f"results/{{study}}/figures/{{family}}/{figure}", figure, category
        ).items()
    }


def per_family(pattern, **more):
    return expand(pattern, study=STUDY["name"], family=STUDY["families"], **more)


def family_of(wildcards):
    """The family of a job: a shared cache knows a result by its params, not by its wildcards."""
    return wildcards.family


def grows(first):
    """A resource that doubles with every further attempt at a job."""
    return lambda wildcards, attempt: first * 2 ** (attempt - 1)


def before_planning():
    """In a process that is to run the study: take its lock, set aside damaged results.

    Snakemake knows by then what it is to do, and has not yet looked at any file.
    """
    if workflow.exec_mode != ExecMode.DEFAULT:
        return
    # A summary, by which a run in steps is planned, has no executor.
    only_plans = workflow.executor_plugin is None or workflow.dryrun
    if not only_plans and workflow.touch:
        return
    try:
        if not only_plans:
            hold_run(RESULTS, workflow.non_local_exec, say)
            atexit.register(release_run)
            require_room(RESULTS, Path(".snakemake"))
            bring_to_now(RESULTS)
        memory = Memory(RESULTS / ".outputs.json")
        damaged = set_aside_damaged(RESULTS, memory, only_tell=only_plans)
        memory.save()
    except FloplineError as mistake:
        sys.exit(f"flopline: {mistake}")
    for path in damaged:
        then = "a run would make it again" if only_plans else "it is made again"
        say(f"{path} was changed or damaged since it was written: {then}.")
    workflow.dag.forcefiles.update(map(str, [*damaged, *to_be_made_again(RESULTS)]))


def forget(outputs):
    """Forget the digests of what is made again, which a shared cache may bring without a job."""
    if not workflow.dryrun:
        drop_receipts([Path(path) for path in outputs], RESULTS)


def share(outputs):
    """Have the digests of what a shared cache holds or brings beside its entries, and here."""
    if SHARED:
        share_receipts([Path(path) for path in outputs], RESULTS)


def say(sentence):
    print(f"flopline: {sentence}", file=sys.stderr, flush=True)


def print_failures():
    from running.scheduler import ended_jobs

    CONSOLE.stop()
    failures = [
        *CONSOLE.failures(),
        *ended_jobs(Path(".snakemake/slurm_logs"), STARTED),
    ]
    for failure in failures:
        print(f"\nflopline: {failure}", file=sys.stderr)
    if failures:
        print("The same command goes on from here.", file=sys.stderr)


def print_decision():
    CONSOLE.stop()
    print(decision_lines(), file=sys.stderr)


def decision_lines():
    """The path of the report and the decision; nothing before there is one."""
    from flopline.decision import headline_lines
    from flopline.storage import read_json

    if workflow.dag_settings.until or not (RESULTS / "decision.json").is_file():
        return ""  # an earlier stage only was asked for
    try:
        decision = read_json(RESULTS / "decision.json")
    except FloplineError as mistake:
        return f"flopline: {mistake}"
    lines = headline_lines(decision, STUDY["families"])
    if SYNTHETIC:
        lines = [f"[synthetic data] {line}" for line in lines]
    return "\n".join([f"\nReport: {RESULTS.resolve() / 'report.html'}", *lines])


def idle_lines():
    """What is said when nothing is to be done; a dry run says so in Snakemake's own words."""
    return (
        ""
        if workflow.dryrun
        else f"Nothing to do: results are up to date.\n{decision_lines()}"
    )


# Whether results are shared with other checkouts (`--cache`, see docs/caching.md).
SHARED = workflow.workflow_settings.cache is not None
STARTED = time.time()
CODE = Memory(Path("results", ".code.json"))
try:
    STUDY = load_study(config, Path.cwd(), LIBRARY.parent / "schemas")
    require_harmless(STUDY)
    SYNTHETIC = is_simulated(STUDY)
    # How many jobs read the logs back is no part of what they hold.
    SIMULATION = {
        k: v for k, v in STUDY["source"].items() if SYNTHETIC and k != "shards"
    }
    FILES, RUN_TABLE = hashed_files(STUDY)
except FloplineError as mistake:
    sys.exit(f"flopline: {mistake}")
except OSError as mistake:
    sys.exit(f"flopline: {mistake.filename} cannot be read: {mistake.strerror}.")

TEMPLATE_FILES = [
    path for path in (LIBRARY.parent / "report").glob("*.*") if path.is_file()
]
RESULTS = Path("results", STUDY["name"])
SHOWN = workflow.output_settings
QUIET = bool({Quietness.RULES, Quietness.ALL} & set(SHOWN.quiet or ())) and not (
    SHOWN.verbose or SHOWN.dryrun
)
CONSOLE = Console(before_planning, forget, idle_lines, quiet=QUIET, ends=share)
logger.addFilter(CONSOLE.hears)
SHARDS = range(STUDY["source"]["shards"])
SEVERAL = hold_several(raw_source(STUDY), [file["path"] for file in FILES])
BY_SHARD = by_shard(FILES, len(SHARDS), together=SEVERAL)
FACTS_BY_SHARD = digested_facts()
# A dataset of Parquet files, one for each shard.
CLEAN_CURVES = [f"results/{{study}}/clean/curves/{shard}.parquet" for shard in SHARDS]


wildcard_constraints:
    study=r"[A-Za-z0-9_.-]+",
    family=r"[A-Za-z0-9_.-]+",
    shard=r"\d+",
