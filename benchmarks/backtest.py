"""Forecast every step of the held-out ladders of public studies, and score the forecasts.

The prior of a study is that of the others. Prints, by distance beyond the runs that were fitted,
how often 80 and 95 % forecast intervals hold the best loss, single larger runs and the size, how
wide they are, and proper scores of all lines together beside each single one; then by study; then
what the gates of a headline refuse, and what that spares. With
--write the tables go into docs/uncertainty.md and the prior of all studies into
workflow/flopline/forecast/priors.toml.

    python benchmarks/backtest.py [--write]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

for pool in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[pool] = "1"

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

import backtest_gates
from backtest_studies import STUDIES

from flopline.audit import ladder
from flopline.audit.finding import Finding
from flopline.audit.waste import wasted_share
from flopline.forecast.best_size import best_sizes
from flopline.forecast.discrepancy import Prior
from flopline.forecast.ladder_errors import LOSS, PARAMS, QUANTITIES, RUN, of_ladder
from flopline.forecast.line_forecasts import COMBINED, forecasts, of_lines
from flopline.forecast.prior_fit import (
    SPREADS,
    chosen,
    combined_of,
    likelihoods,
    stacked,
    with_weights,
)
from flopline.forecast.priors import FILE, written
from flopline.forecast.student import StudentT
from flopline.laws.isoflop.isoflop_options import IsoflopOptions
from flopline.options import StudyOptions

ROOT: Final = Path(__file__).parents[1]
DOCUMENT: Final = ROOT / "docs/uncertainty.md"
MARKERS: Final = (
    "<!-- backtest: written by benchmarks/backtest.py -->",
    "<!-- end of backtest -->",
)
DATA: Final = Path(os.environ.get("FLOPLINE_TEST_DATA", ROOT.parent / "shared/data"))
GROUPING: Final = {
    "chinchilla": IsoflopOptions(budgets=(6e18, 1e19, 3e19, 6e19, 1e20, 3e20, 6e20, 1e21, 3e21))
}
"""Budgets of studies whose digitised FLOPs do not tell them: those of Hoffmann et al. 2022."""
BEYOND: Final = 10.0
"""The ladder's own target, in the largest run's compute; no score is taken there."""
BANDS: Final = {"up to 3x": (1.0, 3.0), "3 to 10x": (3.0, 10.0), "10 to 100x": (10.0, 100.0)}
DECADE: Final = 10.0
STACKED: Final = (PARAMS,)
"""Quantities of which other studies tell what lines weigh before any step, and which share of the
draws counts. Of losses both score worse on the study left out: CRPS 1.18 and 1.08, not 1.04."""
SAID: Final = {LOSS: "best loss", RUN: "single run", PARAMS: "size"}
SCORES: Final = ("in80", "in95", "wide95", "score95", "crps", "error")

Key = tuple[str, str]
Table = pd.DataFrame


def ladders_of(families: Mapping[Key, Table]) -> dict[Key, Finding]:
    """The ladder of each family; a family that has none says so on the terminal."""
    findings = {}
    for (study, family), points in families.items():
        options = StudyOptions(*([GROUPING[study]] if study in GROUPING else []))
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            target = BEYOND * float(points["flops"].max())
            findings[study, family] = ladder.audit(points, target, options, family=family)
        seconds = time.process_time() - start
        print(f"{study} {family}: {len(points)} rows, {seconds:.1f} s", file=sys.stderr)
    return findings


def read() -> dict[Key, Table]:
    """The runs of every study at hand."""
    families = {}
    for name, reader in STUDIES.items():
        folder = ROOT / "data/tinylm" if name == "tinylm" else DATA
        if not (folder / name).exists() and name != "tinylm":
            print(f"left out: {folder / name} is not there", file=sys.stderr)
            continue
        families |= {(name, family): points for family, points in reader(folder)}
    return families


def backtested(findings: Mapping[Key, Finding], quantity: str) -> tuple[Table, dict[str, Prior]]:
    """Forecasts of one quantity at every step, each study by the prior of the others.

    Also the priors of all studies, by line.
    """
    predictions = {key: of_ladder(finding.tables, quantity) for key, finding in findings.items()}
    predictions = {key: rows[rows["seen_ln"].notna()] for key, rows in predictions.items()}
    predictions = {key: rows for key, rows in predictions.items() if len(rows)}
    studies = {study for study, _ in predictions}
    single = likelihoods(predictions)
    # Under "" the prior of all studies.
    priors = {study: chosen(single, study) for study in {*studies, ""}}
    if quantity in STACKED:
        priors = {study: _weighed(predictions, mine, study) for study, mine in priors.items()}
    together = likelihoods(
        combined_of(predictions, priors), SPREADS if quantity in STACKED else (1.0,)
    )
    parts = []
    for (study, family), rows in predictions.items():
        own = {**priors[study], COMBINED: chosen(together, study)[COMBINED]}
        parts.append(forecasts(rows, own).assign(study=study, family=family))
    return pd.concat(parts, ignore_index=True), {
        **priors[""],
        COMBINED: chosen(together)[COMBINED],
    }


def _weighed(
    predictions: Mapping[Key, Table], priors: Mapping[str, Prior], without: str
) -> dict[str, Prior]:
    """The priors with weights stacked over all studies but one."""
    parts = [
        of_lines(rows, priors).assign(study=study, family=family)
        for (study, family), rows in predictions.items()
    ]
    return with_weights(priors, stacked(pd.concat(parts, ignore_index=True), without))


def scored(made: Table) -> Table:
    """Forecasts with what they score; widths and errors as shares of what is forecast."""
    t, seen = StudentT.of(made["centre"], made["scale"], made["df"]), made["seen_ln"]
    out = made.assign(crps=t.crps(seen), error=(made["centre"] - seen).abs())
    for level in (80, 95):
        low, high = t.interval(level)
        out[f"in{level}"] = ((low <= seen) & (seen <= high)).astype(float)
        out[f"wide{level}"] = np.expm1(high - low)
        out[f"score{level}"] = t.interval_score(seen, level)
    reach = out["flops"] / out["step"]
    out["band"] = ""
    for name, (low, high) in BANDS.items():
        out.loc[(reach > low) & (reach <= high), "band"] = name
    return out[out["band"] != ""]


def pooled(rows: Table, by: Sequence[str], columns: Sequence[str] = SCORES) -> Table:
    """Means: a study weighs as much as another, in it a family, in that a step."""
    means = rows
    for depth in (3, 2, 1, 0):
        level = list(dict.fromkeys([*by, *("study", "family", "step")[:depth]]))
        means = means.groupby(level)[list(columns)].mean().reset_index()
    return means.set_index(list(by))


def wasted(made: Table, findings: Mapping[Key, Finding]) -> Table:
    """Compute wasted by the size of each line, and by the best size of all lines together.

    A single line is taken at its word, not at its forecast's centre.
    """
    parts = []
    for (study, family), rows in made.groupby(["study", "family"], sort=False):
        numbers = findings[study, family].numbers
        exponents = numbers["alpha"], numbers["beta"]
        seen = rows.groupby(["step", "flops"])["seen_ln"].first()
        best = {(s, c): np.log(size.params) for s, c, size in best_sizes(rows, *exponents)}
        size = [
            best[s, c] if line == COMBINED else predicted_ln
            for line, s, c, predicted_ln in rows[["line", "step", "flops", "told_ln"]].to_numpy()
        ]
        off = np.array(size, float) - seen.reindex(
            pd.MultiIndex.from_frame(rows[["step", "flops"]])
        ).to_numpy(float)
        parts.append(rows.assign(waste=100 * wasted_share(*exponents, off)))
    return pd.concat(parts, ignore_index=True)


def percent(table: Table, digits: int = 1) -> list[list[str]]:
    """Rows of a table of shares as text, in percent."""
    rounded = (100 * table).round(digits)
    return [["–" if pd.isna(v) else f"{v:.{digits}f}" for v in row] for row in rounded.to_numpy()]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def tables(made: Mapping[str, Table]) -> list[str]:
    """The tables of the page, from the scored forecasts of each quantity."""
    out = []
    rows = []
    for quantity, table in made.items():
        mine = table[table["line"] == COMBINED]
        bands = [(name, mine[mine["band"] == name]) for name in BANDS]
        within = mine[mine["flops"] <= DECADE * mine["step"]]
        for name, part in [*bands, ("a decade", within), ("all", mine)]:
            means = pooled(part.assign(all=0), ["all"]).iloc[0]
            coverages = percent(pd.DataFrame([[means["in80"], means["in95"]]]), 0)[0]
            wide = percent(
                pd.DataFrame([[part["wide95"].median(), means["score95"], means["crps"]]])
            )
            rows.append([SAID[quantity], name, str(len(part)), *coverages, *wide[0]])
    head = ["forecast of", "beyond the runs", "n", "80 holds", "95 holds", "median width"]
    out.append(markdown([*head, "interval score", "CRPS"], rows))
    for quantity, table in made.items():
        by_line = pooled(table, ["line"])
        n = table.groupby("line")["study"].nunique()
        columns = ["in80", "in95", "score95", "crps", "error"]
        text = percent(by_line[columns], 2)
        rows = [[line, str(n[line]), *row] for line, row in zip(by_line.index, text, strict=True)]
        head = [f"{SAID[quantity]}, by", "studies", "80 holds", "95 holds", "interval score"]
        out.append(markdown([*head, "CRPS", "error of the centre"], rows))
    for quantity, column in ((LOSS, "crps"), (LOSS, "score95"), (PARAMS, "waste")):
        by = pooled(made[quantity], ["study", "line"], [column]).reset_index()
        by = by.pivot_table(column, "study", "line")
        by = by[[COMBINED, *(line for line in by if line != COMBINED)]].sort_index()
        scale = 0.01 if column == "waste" else 1.0
        text = percent(scale * by, 2)
        what = {"crps": "CRPS of the best loss", "score95": "interval score of the best loss"}
        head = [what.get(column, "compute wasted by the size"), *by.columns]
        out.append(
            markdown(head, [[study, *row] for study, row in zip(by.index, text, strict=True)])
        )
    return out


def gates(families: Mapping[Key, Table], findings: Mapping[Key, Finding]) -> list[str]:
    """The tables of what the gates refuse at every step."""
    rows: list[dict[str, object]] = []
    for key, finding in findings.items():
        start = time.process_time()
        rows += backtest_gates.decided(*key, families[key], finding, GROUPING.get(key[0]))
        print(f"gates of {' '.join(key)}: {time.process_time() - start:.1f} s", file=sys.stderr)
    return [markdown(head, lines) for head, lines in backtest_gates.tables(pd.DataFrame(rows))]


def replaced(document: str, text: str, markers: tuple[str, str] = MARKERS) -> str:
    """The document with `text` between the markers."""
    start, end = (document.index(marker) for marker in markers)
    return document[: start + len(markers[0])] + "\n\n" + text + "\n\n" + document[end:]


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the ladders, forecast, score, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="renew the prior and the page")
    given = parser.parse_args(arguments)
    start = time.process_time()
    families = read()
    findings = ladders_of(families)
    made: dict[str, Table] = {}
    priors: dict[str, dict[str, Prior]] = {}
    for quantity in QUANTITIES:
        table, priors[quantity] = backtested(findings, quantity)
        made[quantity] = scored(wasted(table, findings) if quantity == PARAMS else table)
    page = "\n\n".join([*tables(made), *gates(families, findings)])
    print(page)
    print(f"\n{time.process_time() - start:.0f} s of CPU", file=sys.stderr)
    if not given.write:
        return
    studies = sorted({study for study, _ in findings})
    missing = sorted(set(STUDIES) - set(studies))
    if missing:
        sys.exit(f"nothing written: {', '.join(missing)} not at hand, see FLOPLINE_TEST_DATA")
    sources = [f"{name}: {(STUDIES[name].__doc__ or '').splitlines()[0]}" for name in studies]
    FILE.write_text(written(priors, sources), encoding="utf-8")
    DOCUMENT.write_text(replaced(DOCUMENT.read_text("utf-8"), page), encoding="utf-8")


if __name__ == "__main__":
    main()
