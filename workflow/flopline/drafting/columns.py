"""What a column most likely holds, told by its name: a proposal for a person to check."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "step": ("step", "globalstep", "iteration", "iter", "trainstep", "trainerglobalstep"),
    "tokens": (
        "tokens",
        "tokensseen",
        "totaltokens",
        "consumedtokens",
        "numtokens",
        "ntokens",
        "traintokens",
        "throughputtotaltokens",
        "numinputtokensseen",
    ),
    "flops": (
        "flops",
        "trainflops",
        "totalflops",
        "trainingflops",
        "trainingflop",
        "totaltrainingflops",
        "flop",
    ),
    "lr": ("lr", "learningrate", "optimlr", "trainlr", "trainlearningrate"),
    "wall_s": ("walls", "elapsed", "elapseds", "times", "runtime", "relativetime", "walltime"),
    "split": ("split", "subset"),
    "run": ("run", "runid", "runname", "name", "experiment", "model", "modelname"),
    "log": ("log", "logfile", "file", "path", "logpath"),
    "family": ("family", "arch", "architecture", "modeltype", "modelfamily"),
    "params": ("params", "nparams", "numparams", "parameters", "modelsize", "modelparams", "n"),
    "params_total": ("paramstotal", "totalparams", "numparamstotal", "nparamstotal"),
    "params_nonembedding": (
        "paramsnonembedding",
        "nonembeddingparams",
        "paramsnonemb",
        "nonembparams",
        "numnonembeddingparams",
    ),
    "horizon_tokens": (
        "horizontokens",
        "plannedtokens",
        "maxtokens",
        "targettokens",
        "tokenbudget",
    ),
    "batch_tokens": ("batchtokens", "tokensperbatch", "tokensperstep", "batchsizetokens"),
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

_VAL: Final = re.compile(r"(^|[^a-z])(val|valid|validation|eval|dev|test|heldout)([^a-z]|$)")
_LOSS: Final = re.compile(r"(^|[^a-z])(loss|nll|crossentropy|cross_entropy|ce|crossentropyloss)$")
_SCALED: Final = {"g": 1e9, "t": 1e12, "p": 1e15}


def row_columns(names: Sequence[str]) -> dict[str, Any]:
    """A column map for the rows of a log with columns `names`; `loss` only where one is found.

    Several losses become splits: `train`, `val`, and for further ones a name of their own.
    """
    out: dict[str, Any] = {}
    for ours in ROW:
        if (found := _find(names, ours)) is not None:
            out[ours] = found
    losses = [name for name in names if _LOSS.search(name.lower())]
    splits = _splits(losses)
    if "split" in out and losses:
        plain = [name for name in losses if _split_of(name) == "train"]
        out["loss"] = (plain or losses)[0]
    elif len(splits) == 1 and "train" in splits:
        out["loss"] = splits["train"]
    elif splits:
        out["loss"] = splits
    return out


def fact_columns(names: Sequence[str]) -> dict[str, Any]:
    """A column map for a table with one row per run and columns `names`."""
    return {ours: found for ours in FACTS if (found := _find(names, ours)) is not None}


def _find(names: Sequence[str], ours: str) -> Any:
    plain = {_bare(name): name for name in reversed(names)}
    last = {_bare(re.split(r"[/.]", name)[-1]): name for name in reversed(names)}
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
    return None


def _splits(losses: Sequence[str]) -> dict[str, str]:
    """Names of splits: `train` and `val` where there is one of each, else what tells them apart."""
    out: dict[str, str] = {}
    for kind in ("train", "val"):
        here = [name for name in losses if _split_of(name) == kind]
        if len(here) == 1:
            out[kind] = here[0]
        else:
            out |= {_told_apart(name, here): name for name in here}
    return out


def _told_apart(name: str, others: Sequence[str]) -> str:
    """The parts of a name, between slashes or dots, that not all `others` have in their place."""
    parts = [re.split(r"[/.]", other) for other in others]
    own = re.split(r"[/.]", name)
    differing = [part for part in own if not all(part in other for other in parts)]
    return re.sub(r"[^A-Za-z0-9_-]+", "_", "_".join(differing or own)).strip("_")


def _split_of(name: str) -> str:
    return "val" if _VAL.search(name.lower()) else "train"


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
