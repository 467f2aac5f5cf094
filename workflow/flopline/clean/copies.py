"""Runs that stand in a study more than once under several names, which count once.

A run trained again, from another seed, has another loss and is a repeat. One whose params, tokens
and loss are those of another to the last digit is the same run: counted twice it narrows every
interval and hides how runs scatter.
"""

from __future__ import annotations

import re
from typing import Final

import pandas as pd

from flopline.clean.run_facts import BETWEEN_FILES

TELLING_DIGITS: Final = 5
"""Digits of a loss from which two runs do not share it by chance: repeats scatter by about .3 %, or
some 100 values of the fifth digit."""
ALL_ALIKE: Final = 3
"""Sizes that were trained more than once, all with equal losses, from which shorter losses tell as
much: of real repeats some differ."""


def same_files(runs: pd.DataFrame) -> pd.Series:
    """A sentence for each run whose files are byte for byte those of another, the later by path."""
    known = runs[runs["sha256"].notna()].sort_values(["source", "run"], kind="stable")
    # The runs of one table share its digest.
    files = known.drop_duplicates(["sha256", "source"])
    first = files.drop_duplicates("sha256").set_index("sha256")[["run", "source"]]
    original = first.reindex(known["sha256"]).set_axis(known.index)
    path = original["source"].str.replace(BETWEEN_FILES, ", ")
    sentence = (
        "Its file is byte for byte that of run '" + original["run"] + "' (" + path + "), found "
        "under another name."
    )
    return sentence[known["source"] != original["source"]]


def same_ends(runs: pd.DataFrame) -> pd.Series:
    """A sentence for each run that ends as another of its family with as many rows or more.

    `runs` has run, family, source, rows_kept, params [weights], tokens and loss [nats per token].
    Of runs with equally many rows the first by path and name stays: pieces of a curve, logged
    beside the whole, are copies of it.
    """
    known = runs[runs["loss"].notna()].sort_values(["source", "run"], kind="stable")
    known = known.sort_values("rows_kept", ascending=False, kind="stable")
    messages = []
    for _, family in known.groupby("family", sort=False):
        alike = family.duplicated(["params", "tokens", "loss"])
        if alike.any() and _telling(family):
            first = family.groupby(["params", "tokens", "loss"], sort=False)["run"].transform(
                "first"
            )
            messages.append(
                "Its params, tokens and loss are those of run '" + first[alike] + "' to the last "
                "digit, so it is the same run under another name and counts once; give its loss "
                "in full if it is a run of its own."
            )
    return pd.concat(messages) if messages else pd.Series(dtype="string")


_RANK: Final = re.compile(r"(?<![a-z])(rank|worker|process|proc|node|gpu)([-_]?)(\d+)(?!\d)", re.I)
_SUMMARY: Final = re.compile(
    r"(?:mean|average|avg|median|total|sum|std|min|max)(?: of .*)?", re.IGNORECASE
)


def same_processes(runs: pd.DataFrame) -> pd.Series:
    """A sentence for each run whose name differs from another's in the number of a process alone.

    Those of one run share family, params and tokens, and begin with process 0. `runs` has run,
    family, params [weights] and tokens.
    """
    name_parts = runs["run"].str.extract(_RANK)
    numbered = runs[name_parts[2].notna()]
    number = name_parts[2].dropna().astype("int64")
    bare = numbered["run"].str.replace(_RANK, r"\1\2", regex=True)
    keys = [bare.rename("bare"), numbered["family"], numbered["params"], numbered["tokens"]]
    messages: dict[object, str] = {}
    for _, of_run in numbered.groupby(keys, sort=False):
        numbers = number[of_run.index].sort_values(kind="stable")
        # The ranks of low-rank adapters, which are numbers of another kind, do not count up from 0.
        if len(numbers) < 2 or numbers.tolist() != list(range(len(numbers))):
            continue
        first = of_run.loc[numbers.index[0], "run"]
        for index in numbers.index[1:]:
            messages[index] = (
                f"It is what another process logged of the run of which '{first}' is, by their "
                "names, and counts once: rename it if it is a run of its own."
            )
    return pd.Series(messages, dtype="string")


def summaries(runs: pd.DataFrame) -> pd.Series:
    """A sentence for each row of a table that is called a summary of others."""
    called = runs["run"].str.strip().str.fullmatch(_SUMMARY).fillna(False).astype(bool)
    return (
        "It is called '" + runs["run"][called] + "', as the row of a table is that sums up others: "
        "rename it if it is a run."
    )


def _telling(family: pd.DataFrame) -> bool:
    """Whether equal losses in a family are no chance."""
    if family["loss"].map(_digits).median() >= TELLING_DIGITS:
        return True
    losses = family.groupby(["params", "tokens"])["loss"].agg(["size", "nunique"])
    again = losses[losses["size"] > 1]
    return len(again) >= ALL_ALIKE and bool((again["nunique"] == 1).all())


def _digits(loss: float) -> int:
    """Significant digits of a number as it is written at its shortest."""
    mantissa = f"{float(loss)!r}".partition("e")[0]
    return len(mantissa.replace(".", "").strip("0"))
