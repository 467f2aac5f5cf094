"""The runs of all shards as one table: bad ones set aside, and notes on what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from flopline.clean.cleaning_notes import notes
from flopline.clean.copies import same_ends, same_files, same_processes, summaries
from flopline.clean.magnitudes import demand_magnitudes
from flopline.clean.reasons import EPOCHS, MISTAKES, NO_STEP, NO_TOKENS, NOT_FINITE, REASONS
from flopline.clean.run_facts import without_log
from flopline.clean.tally import BETWEEN, SHARD_RUNS
from flopline.clean.untrained import untrained
from flopline.errors import FloplineError
from flopline.logs.reading import NO_LOSS, columns_in
from flopline.loss_units import fitted_splits
from flopline.numbers import count
from flopline.schema import HELD_OUT, KEPT, QUARANTINED, RUNS, conform
from flopline.sources import patterns_of
from flopline.study_document import RunRule, StudyDocument

BATCH_TELLS: Final = (
    "if they follow from the step, give the `batch_tokens` of each run in source.runs (of a run "
    "table, sidecar or log), else"
)
"""The way out where a log tells no tokens."""

_NO_PARAMS_IN_ROW = (
    "Its params are not a positive number: give them in its row, in the column that "
    "source.columns names, or take the row out if it is no run."
)

_NO_PARAMS = (
    "Its params are not a positive number: give them in source.runs (a run table, a sidecar, its "
    "name or its log)."
)


def gather(
    tallied: pd.DataFrame, facts: pd.DataFrame | None, study: StudyDocument
) -> tuple[pd.DataFrame, list[str]]:
    """The runs table (RUNS, by run) and notes, from the SHARD_RUNS of all shards.

    `study` has the keys file, source, families, loss_split, flops_convention, exclude, held_out,
    cleaning.
    Raises FloplineError when no run is left, and AssertionError if a row was lost.
    """
    silent = conform(without_log(tallied, facts, study), SHARD_RUNS)
    runs = pd.concat([conform(tallied, SHARD_RUNS), silent]).sort_values("run", ignore_index=True)
    if runs.empty:
        raise FloplineError(f"{study['file']}: the study holds no run.")
    lost = runs[runs["rows_in"] != runs["rows_kept"] + runs["rows_dropped"]]
    if len(lost):
        raise AssertionError(f"rows were lost in {lost['run'].tolist()[:3]}")
    if len(study["families"]) == 1 and runs["family"].isna().all():
        runs["family"] = next(iter(study["families"]))
    _demand_splits(runs, study)
    runs["loss_source"] = _loss_source(study)
    runs["flops_convention"] = study["flops_convention"]
    runs["flops_over_six_nd"] = _over_six_nd(runs, study["flops_convention"])
    runs = _quarantine(runs, study)
    demand_magnitudes(runs, study)
    if not (runs["status"] == KEPT).any():
        # What is wrong with a run that has rows says more than that another has none.
        by_rows = runs.assign(empty=runs["rows_in"] == 0)
        order = by_rows.sort_values(["status", "empty"], ascending=[False, True], kind="stable")
        first = order.iloc[0]
        raise FloplineError(
            f"{study['file']}: none of the {len(runs)} runs can be used; run '{first['run']}' "
            f"({first['source']}): {first['reason']}"
        )
    return conform(runs, RUNS), notes(runs, study)


def stop_at_mistakes(dropped: pd.DataFrame, tallied: pd.DataFrame, study: StudyDocument) -> None:
    """Raise FloplineError at the first faulty row of a run that is not excluded by name.

    Losses that are NaN or infinite are no fault of the file where the run ended in them (`tallied`
    are the SHARD_RUNS of all runs). Nothing is raised where cleaning.bad_rows is drop.
    """
    if study["cleaning"]["bad_rows"] == "drop":
        return
    excluded = {run for rule in study["exclude"] for run in rule.get("runs", [])}
    diverged = dropped["run"].isin(tallied["run"][tallied["not_finite"].notna()])
    faulty = dropped["reason"].isin(MISTAKES) & ~((dropped["reason"] == NOT_FINITE) & diverged)
    mistakes = dropped[faulty & ~dropped["run"].isin(excluded)]
    if len(mistakes):
        first = mistakes.iloc[0]
        others = f" (and {len(mistakes) - 1} more such rows)" if len(mistakes) > 1 else ""
        place = f"{first['source']}, line {first['line']}"
        known = tallied["misread"].dropna()
        misread_cell = next((m for m in known if m.startswith(f"{place}: ")), "").removeprefix(
            place
        )
        way = ""
        if first["reason"] == NO_TOKENS:
            blank = tallied[tallied["batch_tokens"].isna()]
            cells = _cells_to_fill(["batch_tokens"], blank, study)
            way = f"{cells}, or " if cells else f"{BATCH_TELLS}, "
        rows_left = tallied["rows_kept"][tallied["run"] == first["run"]].sum()
        if first["reason"] == NO_STEP and not rows_left:
            raise FloplineError(
                f"{place}: {REASONS[NO_STEP]}{others}, and no row of run '{first['run']}' has one: "
                "name the column of optimiser steps, or of all tokens so far, in source.columns "
                f"(`format: lines` reads any text log by them); read {EPOCHS} where nothing else "
                "is logged."
            )
        raise FloplineError(
            f"{place}: {REASONS[first['reason']]}{misread_cell}{others}; {way}"
            "mend the file, or set `cleaning: {bad_rows: drop}` in the study file to leave such "
            "rows out, counted and listed in the report."
        )


def _cells_to_fill(facts: Sequence[str], without: pd.DataFrame, study: StudyDocument) -> str:
    """What to fill in of the run table for runs `without` the first of `facts`, and of the others.

    Empty where no run table names the first.
    """
    source = study["source"].get("runs") or {}
    columns = source.get("columns") or {}
    if facts[0] not in columns or without.empty:
        return ""
    lacking = [fact for fact in facts if fact in columns and without[fact].isna().any()]
    named = [f"`{' '.join(columns_in(columns[fact]))}`" for fact in lacking]
    first = without["run"].iloc[0]
    rows = (
        f"the row of '{first}'"
        if len(without) == 1
        else f"the rows of {count(len(without), 'run')} ('{first}', ...)"
    )
    return f"fill in {' and '.join(named)} in {rows} of {source['table']}"


def _demand_splits(runs: pd.DataFrame, study: StudyDocument) -> None:
    """Raise FloplineError where no row is left of a split that the study file names."""
    held = {split for splits in runs["splits"].dropna() for split in splits.split(BETWEEN)}
    if not held - {""}:
        return  # the runs say themselves why they are set aside
    source = study["source"]
    losses = (source.get("columns") or {}).get("loss")
    named = dict.fromkeys(fitted_splits(study), "loss_split")
    if isinstance(losses, Mapping) and "times" not in losses:
        named |= dict.fromkeys(losses, "source.columns.loss")
    named |= {p["split"]: "source.pattern" for p in patterns_of(source) if "split" in p}
    lost = next((split for split in named if split not in held), None)
    if lost is None:
        return
    why = runs["misread"].dropna()
    raise FloplineError(
        f"{study['file']}: no row of the split '{lost}' ({named[lost]}) is left in any of the "
        f"{len(runs)} runs, of which there are rows of {', '.join(sorted(held - {''}))}: "
        f"{f'see {why.iloc[0]}, or ' if len(why) else ''}name the split or its column as the logs "
        "do, or take it out."
    )


def _loss_source(study: StudyDocument) -> str:
    window, split = study["cleaning"]["final_window"], study["loss_split"]
    if window > 0:
        return f"mean of the {split} rows in the last {window:.0%} of tokens"
    return f"last {split} row"


def _over_six_nd(runs: pd.DataFrame, convention: str) -> pd.Series:
    """The declared count over 6ND; under six_nd the exact one, where the facts give it."""
    if convention == "supplied":
        return runs["flops"] / (6.0 * runs["params"] * runs["tokens"])
    exact = "exact_per_token" if convention == "six_nd" else "declared_per_token"
    return runs[exact] / (6.0 * runs["params"])


def _quarantine(runs: pd.DataFrame, study: StudyDocument) -> pd.DataFrame:
    """Runs with status and, where set aside, the reason in a sentence; the first that fits."""
    options = study["cleaning"]
    split = study["loss_split"]
    reason = pd.Series("", index=runs.index, dtype="string")

    def say(where: pd.Series, sentence: pd.Series | str) -> None:
        hit = where.fillna(True).astype(bool) & (reason == "")
        reason[hit] = sentence[hit] if isinstance(sentence, pd.Series) else sentence

    for rule in study["exclude"]:
        say(
            _named_by(runs, rule, "exclude", study["file"]),
            f"Excluded in the study file: {rule['reason']}",
        )
    copy_of = same_files(runs[reason == ""]).reindex(runs.index)
    say(copy_of.notna(), copy_of)
    if study["source"]["kind"] == "table":
        sums = summaries(runs).reindex(runs.index)
        say(sums.notna(), sums)
    say(runs["rows_in"] == 0, "It stands in the run table but no log holds a row of it.")
    say(~runs["known"].astype(bool), "The run table has no row for it, so its params are unknown.")
    empty_cells = runs[runs["params"].isna()]
    if fill := _cells_to_fill(["params", "batch_tokens"], empty_cells, study):
        say(runs["params"].isna(), f"Its params are unknown: {fill}.")
    of_table = study["source"]["kind"] == "table"
    say(
        ~runs["params"].between(0, np.inf, inclusive="neither"),
        _NO_PARAMS_IN_ROW if of_table else _NO_PARAMS,
    )
    say(
        ~runs["family"].isin(list(study["families"])),
        "Its family '" + runs["family"].fillna("(none)") + "' is not listed in the study file.",
    )
    say(runs["not_finite"].notna(), runs["not_finite"])
    empty = runs["rows_kept"] == 0
    say(
        empty & (runs["dropped_for"] == NO_LOSS),
        "It logs no loss in any of its " + runs["rows_in"].astype("string") + " rows.",
    )
    say(
        empty,
        "No row of it is left after the bad ones are dropped, most of them because "
        + runs["dropped_for"].map(REASONS).astype("string").fillna("they are faulty")
        + ".",
    )
    say(runs["loss"].isna(), f"It logs no loss of the split '{split}' (loss_split).")
    say(runs["tokens"] <= 0, "Its tokens are not a positive number.")
    say(
        ~runs["flops"].between(0, np.inf, inclusive="neither"),
        "Its training FLOPs are unknown under the declared convention.",
    )
    for doubt in ("fall", "attempts", "overlap", "doubles", "early_end"):
        say(runs[doubt].notna(), runs[doubt])
    done = runs["tokens"] / runs["horizon_tokens"]
    say(
        done.notna() & (done < options["unfinished"]),
        "It is unfinished: its last "
        + split
        + " loss stands at "
        + (100 * done).round(1).astype("string")
        + " % of its planned tokens, so its learning rate never came down.",
    )
    say(
        runs["loss"] > (1 + options["diverged"]) * runs["lowest"],
        "It diverged: its final loss "
        + runs["loss"].round(3).astype("string")
        + " is far above its own lowest, "
        + runs["lowest"].round(3).astype("string")
        + ".",
    )
    hardly = untrained(runs[reason == ""], options["untrained"]).reindex(runs.index)
    say(hardly.notna(), hardly)
    process = same_processes(runs[reason == ""]).reindex(runs.index)
    say(process.notna(), process)
    copy_of = same_ends(runs[reason == ""]).reindex(runs.index)
    say(copy_of.notna(), copy_of)
    status = np.where(reason == "", KEPT, QUARANTINED).astype(object)
    for rule in study["held_out"]:
        held = _named_by(runs, rule, "held_out", study["file"]) & (reason == "")
        status[held] = HELD_OUT
    reason[status == HELD_OUT] = "Held out in the study file: no fit sees it."
    return runs.assign(reason=reason, status=status)


def _named_by(runs: pd.DataFrame, rule: RunRule, key: str, file: str) -> pd.Series:
    """Which runs a rule of the list `key` of the study file means."""
    if "runs" in rule:
        unknown = sorted(set(rule["runs"]) - set(runs["run"]))
        if unknown:
            listed = ", ".join([*runs["run"].head(3), *(["..."] if len(runs) > 3 else [])])
            raise FloplineError(
                f"{file}: {key}: the study file names run '{unknown[0]}', which is not in the "
                f"data ({listed}): correct the name, or take it out."
            )
        return runs["run"].isin(rule["runs"])
    value = (
        runs["tokens"] / runs["params"]
        if rule["column"] == "tokens_per_param"
        else runs[rule["column"]]
    )
    out = pd.Series(False, index=runs.index)
    if "below" in rule:
        out |= (value < rule["below"]).fillna(False)
    if "above" in rule:
        out |= (value > rule["above"]).fillna(False)
    return out
