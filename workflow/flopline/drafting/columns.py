"""What a column most likely holds, told by its name: a proposal for a person to check."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain, count
from typing import Final

from flopline import loss_units
from flopline.logs.key_values import is_loss
from flopline.study_document import ColumnMap, MappedColumn
from flopline.units import COUNTS, unit_of, without_unit

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "step": (
        "globalstep",
        "trainerglobalstep",
        "numupdates",
        "step",
        "steps",
        "currentsteps",
        "currentstep",
        "iteration",
        "iterations",
        "iter",
        "update",
        "updates",
        "trainstep",
        "optimizerstep",
        "trainingstep",
        "trainingiteration",
        "progress",
        "firstnumber",
    ),
    # What says that it counts all comes first: plain `tokens` may be those of a step or a device.
    "tokens": (
        "totaltokensseen",
        "tokensseen",
        "seentokens",
        "numtokensseen",
        "tokensconsumed",
        "consumedtokens",
        "tokenstrained",
        "trainedtokens",
        "tokensprocessed",
        "totaltokens",
        "throughputtotaltokens",
        "numinputtokensseen",
        "tokens",
        "trainingtokens",
        "traintokens",
        "timetoken",
        "traintimetoken",
        "numtokens",
        "ntokens",
        "nbtokens",
        "dtokens",
        "tokencount",
        "tokenscount",
        "pretrainingtokens",
        "numberoftokens",
        "datasetsizetokens",
        "ntok",
        "ntoks",
    ),
    "flops": (
        "flops",
        "trainflops",
        "totalflops",
        "trainingflops",
        "trainingflop",
        "totaltrainingflops",
        "flop",
        "compute",
        "computeflops",
        "trainingcompute",
        "traincompute",
        "totalcompute",
    ),
    "lr": ("lr", "learningrate", "optimlr", "trainlr", "trainlearningrate"),
    "wall_s": (
        "walls",
        "traintime",
        "elapsed",
        "elapseds",
        "times",
        "runtime",
        "relativetime",
        "walltime",
    ),
    "split": ("split", "subset"),
    "run": (
        "run",
        "runid",
        "runname",
        "name",
        "experiment",
        "experimentname",
        "exp",
        "expname",
        "model",
        "modelname",
        "modelid",
    ),
    "log": ("log", "logfile", "file", "path", "logpath"),
    "family": ("family", "arch", "architecture", "modeltype", "modelfamily"),
    "params": (
        "params",
        "nparams",
        "numparams",
        "parameters",
        "numberofparameters",
        "numberparameters",
        "numparameters",
        "modelparameters",
        "modelsize",
        "modelparams",
        "paramcount",
        "parametercount",
        "paramscount",
        "nparameters",
        "nbparams",
        "nbparameters",
        "numberofparams",
        "modelsizeparams",
        "modelparameter",
        "n",
    ),
    "params_total": (
        "paramstotal",
        "totalparams",
        "totalparameters",
        "numparamstotal",
        "nparamstotal",
    ),
    "params_nonembedding": (
        "paramsnonembedding",
        "nonembeddingparams",
        "paramsnonemb",
        "nonembparams",
        "numnonembeddingparams",
        "nonembeddingparameters",
        "numnonembeddingparameters",
        "nonembedparams",
        "nonembparameters",
        "nnonemb",
        "nnonembedding",
    ),
    "horizon_tokens": (
        "horizontokens",
        "plannedtokens",
        "maxtokens",
        "targettokens",
        "tokenbudget",
    ),
    "horizon_steps": (
        "horizonsteps",
        "totalsteps",
        "maxsteps",
        "numtrainsteps",
        "totaloptimizationsteps",
        "trainiters",
        "maxiters",
        "iterations",
        "numiterations",
        "trainsteps",
    ),
    "batch_tokens": (
        "batchtokens",
        "tokensperbatch",
        "tokensperstep",
        "tokensperiteration",
        "batchsizetokens",
        "batchsizeintokens",
        "trainbatchtokens",
        "tokensperglobalbatch",
    ),
    "budget_flops": ("budgetflops", "budget", "targetflops", "flopbudget", "flopsbudget"),
    "flops_per_token": ("flopspertoken",),
    "width": ("width", "dmodel", "hiddensize", "nembd", "modeldim"),
    "depth": ("depth", "nlayer", "nlayers", "numlayers", "layers", "numhiddenlayers"),
    "seed": ("seed", "randomseed"),
}
"""Our names and what other trainers call them, in lower case without punctuation."""

ROW: Final = ("step", "tokens", "flops", "lr", "wall_s", "split")
"""Columns of a logged row."""
FACTS: Final = tuple(name for name in NAMES if name not in ROW)
"""Columns of a table with one row per run."""

_SPLITS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("train", "training", "inner", "trn"), "train"),
    **dict.fromkeys(
        (
            "val",
            "valid",
            "validation",
            "validating",
            "eval",
            "evaluation",
            "dev",
            "heldout",
            "held",
        ),
        "val",
    ),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("predict", "prediction"), "predict"),
}
"""Words that name a split, and how we call it."""

_RATES: Final = ("per", "sec", "second", "s", "rate", "batch", "step", "max", "min", "budget")
"""Words that make a count of tokens no count of those trained on."""

_TOTAL: Final = ("total", "cumulative", "cum", "so", "used", "spent", "training", "train")
_SPEEDS: Final = ("throughput", "perf", "performance", "speed", "mfu", "time", "timing", "sec")
"""Words that tell FLOPs so far from those of a second."""

_COUNTED: Final = frozenset({"tokens", "toks"})
_OF_COUNTS: Final = frozenset(
    {
        "num", "n", "count", "total", "global", "dataset", "cumulative", "consumed", "so", "far",
        "processed", "seen", "trained", "train", "training", "throughput", "perf", "metrics",
        "data",
    }
)  # fmt: skip
"""Words that leave tokens what a run was trained on so far."""

_NO_LOSS: Final = (
    "ppl", "perplexity", "acc", "accuracy", "vs", "delta", "diff", "improvement", "ratio", "count",
    "norm", "std", "stderr", "sem", "var", "variance", "ci",
)  # fmt: skip
_MEANS: Final = ("avg", "mean", "running")
_MEANS_OF: Final = ("a mean of others", "of a batch", "a mean of an epoch")
LAST_OF_OTHERS: Final = "the last of others"
_LAST: Final = ("final", "last")
_DERIVED: Final = (
    "best", "min", "max", "median", "sum", "ema", "wa", "smooth", "smoothed", "excess", "reducible",
    "irreducible", "relative", "normalized", "normalised", "predicted", "pred", "fitted",
)  # fmt: skip
_AGGREGATE: Final = ("epoch",)
_OF_BATCH: Final = ("step", "batch")
"""What a loss of evaluation is of a part of its data; that of training is so by nature."""
AUXILIARY: Final = "an auxiliary loss"
_AUXILIARY: Final = (
    "z", "aux", "auxiliary", "lb", "balancing", "balance", "router", "moe", "mtp", "distill", "kl",
    "reg", "regularization", "penalty",
)  # fmt: skip
_BITS: Final = ("bpb", "bits", "bpc")
_SMALL_UNITS: Final = {"k": 1e3, "m": 1e6, "b": 1e9}
_SMALL_UNIT: Final = re.compile(r"(.{2,})[ _.-]([kmb])")
"""The end of `params_m`: units in small letters, which a draft may propose but no study implies."""
_SCALED: Final = {"g": 1e9, "t": 1e12, "p": 1e15}


def row_columns(names: Sequence[str]) -> dict[str, MappedColumn]:
    """A column map for the rows of a log with columns `names`; `loss` only where one is found.

    Several losses become splits: `train`, `val`, and for further ones a name of their own.
    """
    out: dict[str, MappedColumn] = {}
    for ours in ROW:
        if (column := _find(names, ours)) is not None:
            out[ours] = column
    flops = out.get("flops")
    if "step" in out and flops is not None and _is_speed(flops):
        del out["flops"]
    losses = chosen_losses(names)
    losses += _perplexities(names) if not losses else _only_as_perplexity(names, losses)
    splits = _splits(losses)
    if "split" in out and losses:
        plain = [name for name in losses if split_of(name) == "train"]
        out["loss"] = (plain or losses)[0]
    elif len(splits) == 1 and "train" in splits:
        out["loss"] = splits["train"]
    elif splits:
        out["loss"] = splits
    return out


def _is_speed(spec: MappedColumn) -> bool:
    """Whether what a step logs as FLOPs is how fast or how long it computed, as `tflops` is."""
    column = str(spec["column"] if isinstance(spec, dict) else spec)
    if _has(column, _TOTAL):
        return False
    scaled = re.fullmatch(r"(?:.*[^a-z])?[gtp]flops?", column.lower()) is not None
    return scaled or _last(column) == "compute" or _has(column, _SPEEDS)


def chosen_losses(names: Sequence[str]) -> list[str]:
    """The losses that a study would read: of each split the plainest, or several of one rank."""
    losses = [name for name in names if is_loss(name) and not _has(name, _NO_LOSS)]
    out = []
    for split in dict.fromkeys(map(split_of, losses)):
        here = [name for name in losses if split_of(name) == split]
        best = min(_rank(name) for name in here)
        out += [name for name in here if _rank(name) == best]
    return [name for name in losses if name in out]


def _perplexities(names: Sequence[str]) -> list[str]:
    """The columns of perplexities, whose logarithm is the loss, for a log that has no other."""
    of_loss = [name for name in names if loss_units.unit_of(name) == loss_units.PERPLEXITY]
    best = min(map(_rank, of_loss), default=0)
    return [name for name in of_loss if _rank(name) == best]


def _only_as_perplexity(names: Sequence[str], losses: Sequence[str]) -> list[str]:
    """The one perplexity of evaluation, for a log whose losses are all of training."""
    evaluated = [name for name in _perplexities(names) if split_of(name) == "val"]
    return evaluated if len(evaluated) == 1 and {*map(split_of, losses)} == {"train"} else []


def last_instead(column: str, names: Sequence[str]) -> str:
    """The loss at the end of runs of the same split, where `column` is a mean; else `column`."""
    if what_else(column) not in _MEANS_OF:
        return column
    alike = (n for n in names if is_loss(n) and not _has(n, _NO_LOSS))
    alike = (n for n in alike if split_of(n) == split_of(column))
    return next((n for n in alike if _rank(n) == _rank(_LAST[0])), column)


def other_losses(names: Sequence[str], taken: str = "") -> list[str]:
    """The losses but `taken` that `chosen_losses` leaves out, each with what it seems to be."""
    chosen = {taken, *chosen_losses(names)}
    return [
        f"{name} ({_what(name)})"
        for name in names
        if is_loss(name) and not _has(name, _NO_LOSS) and name not in chosen
    ]


def other_candidates(names: Sequence[str], columns: ColumnMap) -> dict[str, list[str]]:
    """For each column that was chosen by its name, the others that could be meant."""
    out = {}
    for ours, spec in columns.items():
        chosen = spec["column"] if isinstance(spec, dict) and "column" in spec else spec
        if ours == "loss" or not isinstance(chosen, str):
            continue
        known = NAMES.get(ours, ())
        # `history.val.iter` is no other than the `iter` that all have in common.
        others = [
            n
            for n in names
            if n != chosen and {_bare(n), _last(n)} & set(known) and _last(n) != chosen
        ]
        if others:
            out[ours] = others
    return out


def fact_columns(names: Sequence[str]) -> dict[str, MappedColumn]:
    """A column map for a table with one row per run and columns `names`."""
    return {ours: column for ours in FACTS if (column := _find(names, ours)) is not None}


def of_finished_runs(losses: Sequence[str]) -> str:
    """The loss of a table of finished runs that its laws are most likely about.

    One of evaluation comes first, then one that names no split, of some data, and last of training.
    """
    ranked = sorted(losses, key=lambda name: _ORDER.index(_named_split(name)))
    return ranked[0]


_ORDER: Final = ("val", "", "test", "predict", "train")


def _named_split(name: str) -> str:
    return next((_SPLITS[word] for word in _words(name) if word in _SPLITS), "")


def other_counts(ours: str, names: Sequence[str], chosen: MappedColumn) -> list[str]:
    """The columns that count what `ours` does, params or tokens, and were not chosen."""
    words = {"params": ("params", "parameters", "param"), "tokens": ("tokens", "toks")}[ours]
    taken = chosen["column"] if isinstance(chosen, dict) else chosen
    return [
        name for name in names if _has(name, words) and name != taken and not _has(name, _RATES)
    ]


def lettered(names: Sequence[str], *, sized: bool = False) -> dict[str, MappedColumn]:
    """Tokens, FLOPs and the loss of a table that calls them D, C and L beside its N or its size."""
    of_letter = {_bare(without_unit(name)): name for name in reversed(names)}
    if "n" not in of_letter and not sized:
        return {}
    out: dict[str, MappedColumn] = {}
    for ours, letter in (("tokens", "d"), ("flops", "c"), ("loss", "l")):
        if letter in of_letter:
            unit = unit_of(of_letter[letter])
            name = of_letter[letter]
            out[ours] = name if unit is None else {"column": name, "times": unit}
    return out


def columns_called(ours: str, names: Sequence[str]) -> list[str]:
    """All columns with a usual name of what we call `ours`, the most usual first."""
    known = NAMES[ours]
    ranked = [(known.index(_bare(name)), name) for name in names if _bare(name) in known]
    return [name for _, name in sorted(ranked, key=lambda pair: pair[0])]


def batches_called(names: Sequence[str]) -> list[str]:
    """All columns that are called like the size of a batch, in tokens or sequences."""
    known = (*NAMES["batch_tokens"], "batchsize", "globalbatchsize", "trainbatchsize")
    return [name for name in names if {_bare(name), _last(name)} & set(known)]


def of_tracker(name: str) -> bool:
    """Whether a column is a tracker's own counter, of its calls and not of steps, as `_step`."""
    return name.startswith("_")


def _find(names: Sequence[str], ours: str) -> MappedColumn | None:
    own = [name for name in names if not of_tracker(name)]
    column = _called(own, ours)
    return _called(names, ours) if column is None and len(own) < len(names) else column


def _called(ordered: Sequence[str], ours: str) -> MappedColumn | None:
    plain = {_bare(name): name for name in reversed(ordered)}
    last = {_last(name): name for name in reversed(ordered)}
    for known in NAMES[ours]:
        for there in (plain, last):
            if known in there:
                return there[known]
        if ours == "flops":
            for letter, times in _SCALED.items():
                for form in (f"{letter}{known}", known.replace("flop", f"{letter}flop")):
                    for there in (plain, last):
                        if form in there:
                            return {"column": there[form], "times": times}
    if ours == "tokens":
        for name in ordered:
            words = set(_words(name))
            if _COUNTED & words and words <= _COUNTED | _OF_COUNTS:
                unit = unit_of(name)
                return name if unit is None else {"column": name, "times": unit}
    if ours in COUNTS:
        bare = {_bare(without_unit(name)): name for name in reversed(ordered)}
        for known in NAMES[ours]:
            unit = unit_of(bare[known]) if known in bare else None
            if unit is not None:
                return {"column": bare[known], "times": unit}
        for name in ordered:
            counted = _SMALL_UNIT.fullmatch(name)
            if counted and _bare(counted[1]) in NAMES[ours]:
                return {"column": name, "times": _SMALL_UNITS[counted[2]]}
    return None


def _splits(losses: Sequence[str]) -> dict[str, str]:
    """Names of splits: `train` and `val` where there is one of each, else what tells them apart."""
    out: dict[str, str] = {}
    for kind in dict.fromkeys(("train", "val", *map(split_of, losses))):
        here = [name for name in losses if split_of(name) == kind]
        if len(here) == 1:
            out[kind] = here[0]
        else:
            for name in here:
                key = _distinct_parts(name, here)
                # `val_loss` and `val loss` differ in nothing that a split may be called.
                further = (f"{key}_{number}" for number in count(2))
                out[next(free for free in chain([key], further) if free not in out)] = name
    return out


def _distinct_parts(name: str, others: Sequence[str]) -> str:
    """The parts of a name, between slashes or dots, that not all `others` have in their place."""
    parts = [re.split(r"[/.]", other) for other in others]
    own = re.split(r"[/.]", name)
    differing = [part for part in own if not all(part in other for other in parts)]
    return re.sub(r"[^A-Za-z0-9_-]+", "_", "_".join(differing or own)).strip("_")


def split_of(name: str) -> str:
    """The split whose loss a column is, by the first word for one; `train` where it has none."""
    return _named_split(name) or "train"


def _rank(name: str) -> int:
    """How far a loss is from the plain one: by words that make it another quantity."""
    return sum(2**place for place, words in enumerate(_kinds(name).values()) if _has(name, words))


def _kinds(name: str) -> dict[str, Sequence[str]]:
    """What else a loss may be, and the words for it, the farthest from a plain one last."""
    evaluated = split_of(name) != "train"
    return {
        _MEANS_OF[0]: _MEANS,
        **({_MEANS_OF[1]: _OF_BATCH} if evaluated else {_MEANS_OF[2]: _AGGREGATE}),
        "in bits per byte": _BITS,
        LAST_OF_OTHERS: _LAST,
        "derived from others": _DERIVED,
        AUXILIARY: _AUXILIARY,
    }


def what_else(name: str) -> str:
    """What a loss seems to be that is no plain one; empty for a plain one."""
    kinds = list(_kinds(name).items())[::-1]
    return next((what for what, words in kinds if _has(name, words)), "")


def _what(name: str) -> str:
    return f"{split_of(name)}: {what_else(name) or 'a further loss'}"


def _has(name: str, words: Sequence[str]) -> bool:
    return not set(words).isdisjoint(_words(name))


def _words(name: str) -> list[str]:
    """The words of a name, also of one that is written in camel case."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[^a-z]+", apart.lower()) if word]


def _last(name: str) -> str:
    return _bare(re.split(r"[/.]", name)[-1])


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
