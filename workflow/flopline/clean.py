"""Cleaning: restarts stitched, bad rows dropped and counted, bad runs set aside with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from flopline import flops as conventions
from flopline.errors import FloplineError
from flopline.facts import completed, laid_over
from flopline.ingest import FACTS, Ingested
from flopline.logs.reading import NO_LOSS, NO_RUN, NOT_A_NUMBER, NOT_PARSED
from flopline.schema import CURVES, DROPPED, KEPT, QUARANTINED, RUNS, conform

NOT_FINITE = "loss_not_finite"
NOT_POSITIVE = "loss_not_positive"
NO_STEP = "no_step"
DUPLICATE = "duplicate_step"
SUPERSEDED = "superseded_by_restart"
NO_TOKENS = "no_tokens"

REASONS = {
    NOT_PARSED: "the line is not a complete record (cut off or not JSON)",
    NOT_A_NUMBER: "a number was expected and something else stands there",
    NO_RUN: "the row does not say which run it belongs to",
    NO_LOSS: "the row logs no loss",
    NOT_FINITE: "the loss is NaN or infinite",
    NOT_POSITIVE: "the loss is zero or negative",
    NO_STEP: "the row has no step",
    NO_TOKENS: "the tokens seen at this row are unknown",
    DUPLICATE: "the same step was logged twice; the first is kept",
    SUPERSEDED: "the run was restarted from an earlier step and logged this step again",
}
"""What each reason code of the dropped table means."""

MISTAKES = (NOT_PARSED, NOT_A_NUMBER, NO_RUN, NOT_FINITE, NOT_POSITIVE, NO_STEP, NO_TOKENS)
"""Reasons that point at a fault in the file; they stop the run unless cleaning.bad_rows is drop."""


@dataclass(frozen=True)
class Cleaned:
    """The three tables of schema.py, with rows_in = rows_kept + rows_dropped for every run."""

    runs: pd.DataFrame
    curves: pd.DataFrame
    dropped: pd.DataFrame
    notes: tuple[str, ...] = ()


def clean(raw: Ingested, facts: pd.DataFrame | None, study: Mapping[str, Any]) -> Cleaned:
    """All shards of raw rows, and the run table's facts where there is one, as clean tables.

    Raises FloplineError at the first faulty row unless cleaning.bad_rows is drop, and when no run
    is left.
    """
    runs = _with_facts(raw.runs, facts, study)
    curves, notes = _with_tokens_and_flops(raw.curves, runs, study)
    curves, dropped = _row_rules(curves, runs, study)
    dropped = pd.concat([raw.dropped, dropped]).sort_values(["run", "line"], kind="stable")
    if study["cleaning"]["bad_rows"] == "error":
        _stop_at_mistakes(dropped[~dropped["run"].isin(_excluded_by_name(study))])
    runs = _finals(runs, curves, study)
    runs = _count(_quarantine(runs, curves, study), curves, dropped)
    if not (runs["status"] == KEPT).any():
        first = runs.iloc[0]
        raise FloplineError(
            f"{study['file']}: none of the {len(runs)} runs can be used; run '{first['run']}' "
            f"({first['source']}): {first['reason']}"
        )
    return Cleaned(
        conform(runs.sort_values("run"), RUNS),
        conform(curves.sort_values(["run", "split", "step", "tokens"], kind="stable"), CURVES),
        conform(dropped, DROPPED),
        notes,
    )


def _with_facts(
    runs: pd.DataFrame, facts: pd.DataFrame | None, study: Mapping[str, Any]
) -> pd.DataFrame:
    """One row per run, with the run table's facts laid over what the log itself says."""
    if runs.empty:
        raise FloplineError(f"{study['file']}: the study holds no run.")
    grouped = runs.groupby("run", sort=True)
    out = grouped.first().reset_index()
    out["rows_in"] = grouped["rows_in"].sum().to_numpy()
    out["known"] = True
    if facts is not None:
        table = study["source"]["runs"]["table"]
        twice = facts["run"][facts["run"].duplicated()]
        if len(twice):
            raise FloplineError(
                f"{table}: run '{twice.iloc[0]}' stands there twice: remove one row."
            )
        known = facts.set_index("run").reindex(out["run"])
        out["known"] = out["run"].isin(facts["run"]).to_numpy()
        for name in [c for c in known if c in FACTS]:
            given = known[name].reset_index(drop=True)
            out[name] = laid_over(given, out[name], out["run"], name, table)
        missing = facts[~facts["run"].isin(out["run"])]
        rows = pd.DataFrame({"run": missing["run"], "source": table, "rows_in": 0, "known": True})
        rows = rows.join(missing[[c for c in missing if c in FACTS and c != "run"]])
        out = pd.concat([out, rows.astype({"run": "string"})]).sort_values("run")
    out = completed(out, study.get("params_convention"))
    # A run whose name, sidecar or own text says its params needs no row in the run table.
    out["known"] |= out["params"].notna()
    if len(study["families"]) == 1 and out["family"].isna().all():
        out["family"] = next(iter(study["families"]))
    return out.reset_index(drop=True)


def _with_tokens_and_flops(
    curves: pd.DataFrame, runs: pd.DataFrame, study: Mapping[str, Any]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Rows with tokens and FLOPs under the study's declared convention, and notes on how."""
    notes: list[str] = []
    fact = runs.set_index("run")
    of_run = {name: curves["run"].map(fact[name]).astype("float64") for name in conventions.NEEDS}
    curves = curves.copy()
    unknown = curves["tokens"].isna()
    if unknown.any() and of_run["batch_tokens"].notna().any():
        curves.loc[unknown, "tokens"] = (curves["step"] * of_run["batch_tokens"])[unknown]
        notes.append("tokens are step times the run's batch in tokens")
        unknown = curves["tokens"].isna()
    if study["flops_convention"] == "six_nd" and unknown.any() and curves["flops"].notna().any():
        curves.loc[unknown, "tokens"] = (curves["flops"] / (6.0 * of_run["params"]))[unknown]
        notes.append("tokens are C / (6 N), from the FLOPs that the table gives")
    curves["flops"] = conventions.training_flops(
        study["flops_convention"], curves["tokens"], curves["flops"], of_run
    )
    return curves, tuple(notes)


def _row_rules(
    curves: pd.DataFrame, runs: pd.DataFrame, study: Mapping[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows split into kept ones, with their segment, and dropped ones with their reason."""
    curves = curves.sort_values(["run", "split", "line"], kind="stable", ignore_index=True)
    needs_step = study["source"]["kind"] == "logs"
    reason = pd.Series("", index=curves.index)
    reason[curves["tokens"].isna() & curves["run"].map(runs.set_index("run")["params"]).notna()] = (
        NO_TOKENS
    )
    reason[curves["step"].isna() & needs_step] = NO_STEP
    reason[~(curves["loss"] > 0)] = NOT_POSITIVE
    reason[~np.isfinite(curves["loss"].to_numpy())] = NOT_FINITE
    # Where no step is logged, tokens tell the order within a run.
    clock = curves["step"].fillna(curves["tokens"])
    keys = [curves["run"], curves["split"]]
    back = clock.groupby(keys).diff() < 0
    curves["segment"] = back.groupby(keys).cumsum().astype("int32")
    # The lowest clock that any later segment starts from: rows at or above it were logged again.
    first_of_segment = clock.where(back)
    later = first_of_segment[::-1].groupby([k[::-1] for k in keys]).cummin()[::-1]
    later = later.groupby(keys).bfill().groupby(keys).shift(-1)
    reason[(reason == "") & (clock >= later)] = SUPERSEDED
    fine = curves[reason == ""]
    twice = fine.assign(clock=clock[fine.index]).duplicated(["run", "split", "clock"])
    reason[fine.index[twice]] = DUPLICATE
    sources = curves["run"].map(runs.set_index("run")["source"])
    dropped = curves.assign(reason=reason, source=sources)[reason != ""]
    dropped = dropped.assign(step=dropped["step"].where(np.isfinite(dropped["step"])).round())
    return curves[reason == ""], conform(dropped, DROPPED)


def _stop_at_mistakes(dropped: pd.DataFrame) -> None:
    mistakes = dropped[dropped["reason"].isin(MISTAKES)]
    if len(mistakes):
        first = mistakes.iloc[0]
        others = f" (and {len(mistakes) - 1} more such rows)" if len(mistakes) > 1 else ""
        raise FloplineError(
            f"{first['source']}, line {first['line']}: {REASONS[first['reason']]}{others}; "
            "mend the file, or set `cleaning: {bad_rows: drop}` in the study file to leave such "
            "rows out, counted and listed in the report."
        )


def _finals(runs: pd.DataFrame, curves: pd.DataFrame, study: Mapping[str, Any]) -> pd.DataFrame:
    """Runs with their final tokens, FLOPs and loss, read from the end of the loss split."""
    window = study["cleaning"]["final_window"]
    of_split = curves[curves["split"] == study["loss_split"]].sort_values(
        ["run", "tokens"], kind="stable"
    )
    last = of_split.groupby("run").last()
    final = last[["tokens", "flops", "loss"]].copy()
    final["lowest"] = of_split.groupby("run")["loss"].min()
    source = f"last {study['loss_split']} row"
    if window > 0:
        end = of_split["run"].map(last["tokens"]) * (1 - window)
        final["loss"] = of_split[of_split["tokens"] >= end].groupby("run")["loss"].mean()
        source = f"mean of the {study['loss_split']} rows in the last {window:.0%} of tokens"
    # Under a schedule that ends at the run's own horizon a run may go on in another split.
    final["reached"] = curves.groupby("run")["tokens"].max()
    return runs.merge(final, left_on="run", right_index=True, how="left").assign(loss_source=source)


def _quarantine(runs: pd.DataFrame, curves: pd.DataFrame, study: Mapping[str, Any]) -> pd.DataFrame:
    """Runs with status and, where set aside, the reason in a sentence; the first that fits."""
    options = study["cleaning"]
    split = study["loss_split"]
    reason = pd.Series("", index=runs.index, dtype="string")

    def say(where: pd.Series, sentence: pd.Series | str) -> None:
        hit = where.fillna(True).astype(bool) & (reason == "")
        reason[hit] = sentence[hit] if isinstance(sentence, pd.Series) else sentence

    for rule in study["exclude"]:
        say(_excluded(runs, rule), f"Excluded in the study file: {rule['reason']}")
    say(runs["rows_in"] == 0, "It stands in the run table but no log holds a row of it.")
    say(~runs["known"].astype(bool), "The run table has no row for it, so its params are unknown.")
    say(~(runs["params"] > 0), "Its params are not a positive number.")
    say(
        ~runs["family"].isin(list(study["families"])),
        "Its family '" + runs["family"].fillna("(none)") + "' is not listed in the study file.",
    )
    say(~runs["run"].isin(curves["run"]), "No row of it is left after the bad ones are dropped.")
    say(runs["loss"].isna(), f"It logs no loss of the split '{split}' (loss_split).")
    say(~(runs["flops"] > 0), "Its training FLOPs are unknown under the declared convention.")
    planned = runs["horizon_tokens"]
    done = runs["tokens"] / planned
    say(
        planned.notna() & (done < options["unfinished"]),
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
    return runs.assign(reason=reason, status=np.where(reason == "", KEPT, QUARANTINED)).assign(
        flops_convention=study["flops_convention"]
    )


def _excluded_by_name(study: Mapping[str, Any]) -> set[str]:
    return {run for rule in study["exclude"] for run in rule.get("runs", [])}


def _excluded(runs: pd.DataFrame, rule: Mapping[str, Any]) -> pd.Series:
    if "runs" in rule:
        unknown = sorted(set(rule["runs"]) - set(runs["run"]))
        if unknown:
            raise FloplineError(
                f"exclude: the study file names run '{unknown[0]}', which is not in the data."
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


def _count(runs: pd.DataFrame, curves: pd.DataFrame, dropped: pd.DataFrame) -> pd.DataFrame:
    runs = runs.assign(
        rows_kept=runs["run"].map(curves["run"].value_counts()).fillna(0),
        rows_dropped=runs["run"].map(dropped["run"].value_counts()).fillna(0),
    )
    lost = runs[runs["rows_in"] != runs["rows_kept"] + runs["rows_dropped"]]
    if len(lost):
        raise AssertionError(f"rows were lost in {lost['run'].tolist()[:3]}")
    return runs
