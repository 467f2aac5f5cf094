"""The command line: `python -m flopline.sealed forecast STUDY`, and `judge STUDY`."""

from __future__ import annotations

import argparse
import datetime
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import pandas as pd

from flopline.errors import FloplineError, printable
from flopline.forecast.one_run import RunForecast, at_target, of_runs
from flopline.numbers import factor, flops_label, humanise, significant
from flopline.places import SCHEMAS, to_run
from flopline.results import StudyResults
from flopline.sealed.document import (
    SealedRun,
    file_digests,
    holds_of,
    read_sealed,
    sealed_document,
    write_sealed,
)
from flopline.sealed.future_runs import FutureRun, named_runs, recommended_runs
from flopline.sealed.gates import refusal, to_mind
from flopline.sealed.judging import SCORED, changed_inputs, judged, pooled, runs_forecast
from flopline.sealed.study_evidence import (
    of_this_version,
    result_files,
    results_table,
    study_results,
)
from flopline.storage import write_text
from flopline.study import is_simulated, load_study, read_yaml
from flopline.study_document import FutureRunDocument, StudyDocument
from flopline.written_numbers import parse_number

FOLDER: Final = "forecasts"
"""Where sealed files lie, a folder for each study."""
DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


def main(arguments: Sequence[str] | None = None, root: Path | None = None) -> int:
    """Seal forecasts of a study's future runs, or score those that were sealed."""
    options = _options(arguments)
    folder = root or Path.cwd()
    try:
        study = _study(options.study, folder)
        act = _forecast if options.act == "forecast" else _judge
        of_results = options.act == "forecast" or not options.results
        with of_this_version(study) if of_results else nullcontext():
            for line in act(study, options, folder):
                print(printable(line))
    except FloplineError as mistake:
        print(f"flopline: {mistake}", file=sys.stderr)
        return 1
    return 0


def sealed_runs(
    runs: Sequence[FutureRun], results: StudyResults
) -> tuple[list[SealedRun], dict[str, str]]:
    """The forecasts of `runs`, and by name why the study's runs bear none of the others.

    Raises FloplineError for a run that the study has already.
    """
    there = set(results.runs["run"].astype(str))
    made, refused = [], {}
    for run in runs:
        if run.name in there:
            raise FloplineError(
                f"the run '{run.name}' is among the study's runs already, so it cannot be "
                "forecast: name one that is still to be made."
            )
        known = results.families[run.family]
        mine = results.runs[results.runs["family"] == run.family]
        try:
            forecast = _forecast_of(run, results)
            why = refusal(run, forecast, mine, known)
        except FloplineError as reason:
            why = str(reason).rstrip(".")
        if why:
            refused[run.name] = why
        else:
            made.append(SealedRun(run, forecast, to_mind(run, forecast, mine)))
    return made, refused


def _forecast_of(run: FutureRun, results: StudyResults) -> RunForecast:
    """By the line that recommends the run where it forecasts, else by all surfaces together."""
    known = results.families[run.family]
    own = at_target(known, run.target_flops, run.lines) if run.lines else None
    if own is not None:
        return own
    wanted = pd.DataFrame({"run": [run.name], "params": [run.params], "tokens": [run.tokens]})
    return of_runs(wanted, known)[0]


def _forecast(study: StudyDocument, options: Any, root: Path) -> Iterator[str]:
    date = options.date or datetime.datetime.now(datetime.UTC).date().isoformat()
    if not DATE.fullmatch(date):
        raise FloplineError(f"the date is '{date}': write it as 2026-11-29.")
    path = options.file or Path(FOLDER, study["name"], f"{date}.json")
    if (root / path).exists():
        raise FloplineError(
            f"{path} is sealed already and is never written over: name another file with "
            "--file path/to/file.json (of make: FILE=path/to/file.json)."
        )
    files = result_files(study, root)
    results = study_results(study, root)
    families = list(study["families"])
    entries = [_entry(words) for words in options.run] or study["future_runs"]
    try:
        runs = named_runs(entries, families)
    except FloplineError as mistake:
        where = "--run" if options.run else f"{study['file']}, future_runs"
        raise FloplineError(f"{where}: {mistake}") from None
    if not entries:
        runs = recommended_runs(results.lines, families)
    if not runs:
        sentences = [silence["sentence"] for silence in results.decision["silent"]]
        raise FloplineError(
            " ".join(sentences)
            or "no line is recommended at any target, so there is no run to "
            "forecast: name one under `future_runs` in the study file."
        )
    made, refused = sealed_runs(runs, results)
    for name, why in refused.items():
        yield f"{name}: not forecast, since {why}."
    if not made:
        raise FloplineError(
            "the study's runs bear none of these forecasts, so nothing was sealed: see the reasons "
            "above, or name other runs under `future_runs` in the study file."
        )
    stated = [path for path in files if path.suffix == ".json" or path.parent.name == "clean"]
    inputs = file_digests([root / study["file"], *stated], root)
    document = sealed_document(
        study, made, results.runs, inputs, date, synthetic=is_simulated(study)
    )
    write_sealed(document, root / path)
    yield from (_sentence(item) for item in made)
    called = ", ".join(f"'{item.run.name}'" for item in made)
    yield f"Give the run in its log, or in the column `run` of a table, this exact name: {called}."
    yield (
        f"Sealed in {path}: commit it before the runs start; when they are there, "
        f"{to_run(study['name'], 'judge')}."
    )


def _judge(study: StudyDocument, options: Any, root: Path) -> Iterator[str]:
    folder = Path(FOLDER, study["name"])
    paths = options.file or sorted((root / folder).glob("*.json"))
    if not paths:
        raise FloplineError(
            f"{folder} holds no sealed forecast: make one with {to_run(study['name'], 'forecast')}."
        )
    sealed = [read_sealed(root / path) for path in paths]
    if options.results:
        runs = results_table(root / options.results)
        runs, notes = runs_forecast(runs, sealed, str(options.results))
        yield from notes
    else:
        runs = study_results(study, root).runs
    table = judged(sealed, runs, holds_of(study))
    table["file"] = [Path(path).name for path in table["file"]]
    yield from (_verdict(row) for row in table.to_dict("records"))
    if not options.results:
        yield from (f"{Path(file.path).name}: {changed_inputs(file, runs)}" for file in sealed)
    yield pooled(table)
    path = Path("results", study["name"], "judged.csv")
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    write_text(table.to_csv(index=False, lineterminator="\n"), root / path)
    yield f"Every number is in {path}."


def _sentence(item: SealedRun) -> str:
    run, loss = item.run, item.forecast.loss()
    warnings = f" Warning: {'; '.join(item.warnings)}." if item.warnings else ""
    return (
        f"{run.name} ({run.family}): {humanise(run.params)} params on {humanise(run.tokens)} "
        f"tokens, {flops_label(item.forecast.flops)} FLOPs: loss {significant(loss.point)}, 80 % "
        f"{significant(loss.lo80)} to {significant(loss.hi80)}, 95 % {significant(loss.lo95)} to "
        f"{significant(loss.hi95)} (by {item.forecast.line}).{warnings}"
    )


def _verdict(row: Mapping[Any, Any]) -> str:
    head = (
        f"{row['run']} ({row['file']}): predicted {significant(row['predicted'])}, 95 % "
        f"{significant(row['lo95'])} to {significant(row['hi95'])}, at {factor(row['reach'])} the "
        "largest run's compute"
    )
    if pd.isna(row["error_percent"]):
        return f"{head}; {row['status']}."
    places = [f"{'inside' if row[f'inside{n}'] else 'outside'} {n} %" for n in (80, 95)]
    why = "" if row["status"] == SCORED else f"; not counted: {row['status']}"
    return (
        f"{head}; seen {significant(row['seen'])}: {' and '.join(places)}, "
        f"{row['error_percent']:+.2g} % off, z {row['z']:+.2f}, CRPS "
        f"{significant(row['crps_percent'], 2)} %{why}."
    )


def _study(name: str, root: Path) -> StudyDocument:
    config = read_yaml(root / "config/config.yaml", "config/config.yaml")
    return load_study({**config, **({"study": name} if name else {})}, root, SCHEMAS)


def _entry(words: Sequence[str]) -> FutureRunDocument:
    """A run given on the command line, as one word or several: NAME PARAMS TOKENS [FAMILY]."""
    words = " ".join(words).split()
    if len(words) not in (3, 4):
        raise FloplineError(
            f"a run to forecast is given as NAME PARAMS TOKENS and maybe FAMILY, not as "
            f"'{' '.join(words)}'."
        )
    name, params, tokens, *family = words
    run: FutureRunDocument = {"name": name, "params": _number(params), "tokens": _number(tokens)}
    if family:
        run["family"] = family[0]
    return run


def _number(text: str) -> float:
    value = parse_number(text)
    if not 0 < value < math.inf:
        raise FloplineError(
            f"'{text}' is no number of params or tokens above 0: write it as 7e9 or 7B."
        )
    return value


def _options(arguments: Sequence[str] | None) -> Any:
    parser = argparse.ArgumentParser(
        prog="python -m flopline.sealed",
        description="Seal forecasts of runs that are still to be made, or score them.",
    )
    acts = parser.add_subparsers(dest="act", required=True)
    forecast = acts.add_parser("forecast", help="write what is predicted to a file to be committed")
    judge = acts.add_parser("judge", help="score what was predicted, now that the runs are there")
    for act in (forecast, judge):
        act.add_argument("study", nargs="?", default="", help="name or path of the study")
    forecast.add_argument(
        "--run", nargs="+", action="append", default=[], metavar="NAME PARAMS TOKENS [FAMILY]",
        help="a run to forecast, instead of those of the study file",
    )  # fmt: skip
    forecast.add_argument("--date", help="the day of the forecast, as 2026-11-29; today's if not")
    forecast.add_argument("--file", type=Path, help="the file to write")
    judge.add_argument("--file", type=Path, nargs="+", help="sealed files, all of the study if not")
    judge.add_argument("--results", type=Path, help="a table of runs with columns run and loss")
    return parser.parse_args(arguments)
