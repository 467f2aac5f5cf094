"""What cleaning found that sets nothing aside but should be read: one sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from flopline.clean.magnitudes import doubtful_ratio
from flopline.clean.run_facts import BETWEEN_FILES
from flopline.clean.standing_out import sentence, standing_out
from flopline.flops import CONVENTIONS, NOTABLE_GAP
from flopline.numbers import count
from flopline.schema import KEPT, QUARANTINED
from flopline.study_document import StudyDocument

NAMED: Final = 3
"""Runs that are named where they are set aside."""


def notes(runs: pd.DataFrame, study: StudyDocument) -> list[str]:
    """Sentences on all `runs` (gather's, with status); none where there is nothing to say."""
    sentences = [
        _counted(runs["tokens_from"] == "batch", "tokens are step times the run's batch in tokens"),
        _counted(runs["tokens_from"] == "flops", "tokens are C / (6 N), from the FLOPs given"),
        _places(
            runs["late"],
            "rows were logged after later steps though nothing was restarted, first at {}; they "
            "have their places by their steps, and those whose step was there or whose loss does "
            "not fit are dropped; if a log holds several runs, put each into a file of its own",
        ),
        _places(
            runs["rounded"],
            "counts are written with K, M, B or T and so rounded, first at {}; they are taken as "
            "they stand",
        ),
        _unread(runs["misread"], study["cleaning"]),
        *_converted(runs["converted"]),
        _places(
            runs["repeats"],
            "steps stand there again with another loss, as where several processes log, most "
            "apart at {}; the first of each counts",
        ),
        _begun_anew(runs),
        _same_beginnings(runs),
        _pieces(runs),
        _spikes(runs, study["cleaning"]),
        _places(
            runs["clock_reset"],
            "the clock (wall_s) goes back, as after a restart, first at {}; it is kept as logged",
        ),
        _places(
            runs["negative_lr"],
            "the learning rate is negative, as rounding can make it at the end of a decay, first "
            "at {}; it is kept as logged",
        ),
        _places(
            runs["beyond_int64"],
            "steps or tokens of 2^63 or more are logged, first at {}; they are held as float64, "
            "exact to 16 digits",
        ),
        counting_gap(runs[runs["status"] == KEPT], study["flops_convention"]),
        _other_flops(runs[runs["status"] == KEPT], study["flops_convention"]),
        doubtful_ratio(runs, study),
        *odd_runs(runs),
    ]
    return [sentence for sentence in sentences if sentence]


def set_aside(runs: pd.DataFrame) -> str:
    """Which runs are set aside and why, the first NAMED, to stand behind how many are kept."""
    aside = runs[runs["status"] == QUARANTINED]
    if aside.empty:
        return ""
    named = [f"'{run}' ({why})" for run, why in zip(aside["run"], aside["reason"], strict=True)]
    more = f" and {len(named) - NAMED:,} more" if len(named) > NAMED else ""
    return f", set aside {', '.join(named[:NAMED])}{more}"


def odd_runs(runs: pd.DataFrame) -> list[str]:
    """A sentence for each family of whose kept `runs` some stand out from all others."""
    kept = runs[runs["status"] == KEPT]
    return [
        clause
        for _, of_family in kept.groupby("family", sort=True)
        if (clause := sentence(standing_out(of_family)))
    ]


def _counted(where: pd.Series, sentence: str) -> str:
    hits = int(where.fillna(False).sum())
    if hits == 0:
        return ""
    return sentence if hits == len(where) else f"in {count(hits, 'run')} {sentence}"


def _places(first: pd.Series, sentence: str) -> str:
    hits = first.dropna()
    return f"in {count(len(hits), 'run')} {sentence.format(hits.iloc[0])}" if len(hits) else ""


def _unread(first: pd.Series, options: Mapping[str, Any]) -> str:
    """Rows that do not stop the run though they cannot be read."""
    if options["bad_rows"] != "drop":
        return ""
    return _places(first, "rows cannot be read, first in {}; they are dropped")


def _converted(done: pd.Series) -> list[str]:
    """What was done to losses to have them in the study's unit, each kind once."""
    return [f"in {count(n, 'run')} {what}" for what, n in done.value_counts().sort_index().items()]


def _begun_anew(runs: pd.DataFrame) -> str:
    """Kept runs whose log begins again from its first step: what stands before it may be a run."""
    kept = runs[(runs["status"] == KEPT) & runs["begun_anew"].notna()]
    if kept.empty:
        return ""
    first = kept.iloc[0]
    return (
        f"{count(len(kept), 'run')} begin again from their first step within one log, as after a "
        f"restart (first '{first['run']}', after {first['begun_anew']}), and the last attempt "
        "counts alone: if the attempts are several runs, put each into a file of its own"
    )


def _same_beginnings(runs: pd.DataFrame) -> str:
    """Kept runs that begin with the same losses: one may be an earlier log of the other."""
    kept = runs[(runs["status"] == KEPT) & runs["begins"].notna()]
    kept = kept[~kept["source"].str.contains(BETWEEN_FILES)]
    same = kept[kept.duplicated(["params", "begins"], keep=False)]
    if same.empty:
        return ""
    begins = same["begins"].iloc[0]
    one, other, *_ = same["run"][same["begins"] == begins]
    return (
        f"{count(len(same), 'run')} begin with losses that are those of another one of the same "
        f"params to the last digit (first '{one}' and '{other}'): if one is an earlier log of the "
        "other, as of a checkpoint or a backup, leave it out by `exclude`"
    )


def _pieces(runs: pd.DataFrame) -> str:
    files = runs["source"].str.count(BETWEEN_FILES) + 1
    several = runs["run"][files > 1]
    if several.empty:
        return ""
    return (
        f"{count(len(several), 'run')} (first '{several.iloc[0]}') stitched from several files, "
        f"{int(files[files > 1].sum()):,} in all"
    )


def _spikes(runs: pd.DataFrame, options: Mapping[str, Any]) -> str:
    rows, spiked = int(runs["spikes"].sum()), int((runs["spikes"] > 0).sum())
    if rows == 0:
        return ""
    done = "dropped" if options["spikes"] == "drop" else "counted and kept"
    return (
        f"{count(rows, 'row')} in {count(spiked, 'run')} are spikes, more than "
        f"{options['spike_threshold']:g} robust standard deviations above the running median of "
        f"ln loss; they are {done} (cleaning.spikes)"
    )


def counting_gap(kept: pd.DataFrame, convention: str) -> str:
    """In how many runs 6ND and the exact count lie apart, by family; empty where in none."""
    ratio = kept["flops_over_six_nd"]
    wide = ratio[(ratio - 1).abs() > NOTABLE_GAP]
    if wide.empty:
        return ""
    widest = wide.loc[(wide - 1).abs().idxmax()]
    counted = (
        "the exact count (from flops_per_token or the architecture)"
        if convention == "six_nd"
        else f"the declared count ({CONVENTIONS[convention].formula})"
    )
    several = len(set(kept["family"])) > 1
    where = f"{count(len(wide), 'kept run')} of {len(kept):,}"
    after = ", and so does the comparison of the families" if several else ""
    return (
        f"6ND and {counted} differ by more than {NOTABLE_GAP:.0%} in "
        f"{_by_family(kept, wide) if several else where}, the exact one up to {widest:.3g} times "
        f"as much: exponents and optima depend on which is used{after}"
    )


FAR: Final = 1.5
"""By how much a column of FLOPs and 6ND differ where one of the three counts means another thing:
attention adds less to most models, and an overlooked factor is 2 or more."""


def _other_flops(kept: pd.DataFrame, convention: str) -> str:
    """That a column of FLOPs, which the convention does not read, contradicts params and tokens."""
    ratio = kept["given_over_six_nd"].dropna()
    middle = float(ratio.median())
    if convention == "supplied" or not middle > 0 or 1 / FAR < middle < FAR:
        return ""
    return (
        f"the logged FLOPs are {middle:.3g} times 6ND at the median of {count(len(ratio), 'run')}, "
        f"and flops_convention {convention} does not use them: see that params and tokens count "
        "what they should, as all tokens that a run was trained on"
    )


def _by_family(kept: pd.DataFrame, wide: pd.Series) -> str:
    """How many kept runs of each family are among those of `wide`."""
    of_each = kept.assign(wide=kept.index.isin(wide.index)).groupby("family", sort=True)["wide"]
    return " and ".join(
        f"{int(sum(flags)):,} of {count(len(flags), 'kept run')} of {family}"
        for family, flags in of_each
    )
