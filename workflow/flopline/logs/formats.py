"""The log formats that there are: one entry each, all that is to be known without reading a log.

The start of a run asks this table, so that nothing here loads pandas, NumPy or Arrow; a reader is
loaded when a log of its format is read. Adding a format is a module in this folder, with `sniff`
and `read` (docs/extending.md), and its entry here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

from flopline.errors import FloplineError
from flopline.plugins import brought


class Columns(Enum):
    """Who says what the columns of a log mean; the value is how docs/formats.md puts it."""

    STUDY = "must"
    """The study file."""
    STUDY_LOSS = "must, `loss` at least"
    """The study file; the format knows the step."""
    FORMAT = "may add"
    """The format, whose rows say their split; what the study file names is laid over it."""
    EITHER = "may replace"
    """The format, unless the study file names columns, which then stand alone."""

    @property
    def of_format(self) -> bool:
        """Whether the format says so itself; its module then has COLUMNS."""
        return self in (Columns.FORMAT, Columns.EITHER)


@dataclass(frozen=True, slots=True)
class Folder:
    """How a folder is known to be one log; all are patterns of names below it.

    Each of `marks` must fit something (a folder, where it ends in /), `parts` are what is read.
    `stand_in` fits a file that, matched by itself, stands for its folder. With `splits`, folders of
    these names below it are parts of it that hold a split each, and may be all that it holds.
    """

    marks: tuple[str, ...]
    parts: tuple[str, ...]
    stand_in: str = ""
    splits: tuple[str, ...] = ()

    def holds(self, path: Path) -> bool:
        """Whether the folder `path` is such a log."""
        return self._marked(path) or any(self._marked(path / split) for split in self.splits)

    @property
    def all_parts(self) -> tuple[str, ...]:
        """What is read, also in folders of splits."""
        inner = (f"{split}/{part}" for split in self.splits for part in self.parts)
        return (*self.parts, *inner)

    def _marked(self, path: Path) -> bool:
        return all(_fits(path, mark) for mark in self.marks)


@dataclass(frozen=True, slots=True)
class Format:
    """One log format.

    `name` is the word for source.format, `module` the module of this folder where that has another
    name, or a dotted one of another package. `recognised_by` and `reads` are its words in
    docs/formats.md. `says` are what its logs may say of a run by themselves: params, tokens.
    `several_runs` says whether one log may hold several runs, `folder` how a folder is one log.
    `is_table` says whether it may also be a table of finished runs; its module then has
    `read_runs`, and text has the `separator` between cells. `of_lines` says whether a study may
    name the lines of one phase of a log (source.phase). `endings` are those of file names,
    `described_by` the key of `source` that describes its lines, `binary` says that it is no text.
    """

    name: str
    recognised_by: str
    reads: str
    columns: Columns
    module: str = ""
    says: tuple[str, ...] = ()
    several_runs: bool = False
    folder: Folder | None = None
    is_table: bool = False
    separator: str = ""
    of_lines: bool = False
    endings: tuple[str, ...] = ()
    described_by: str = ""
    binary: bool = False

    @property
    def reader(self) -> str:
        """The name of the module that reads it."""
        module = self.module or self.name
        return module if "." in module else f"{__package__}.{module}"

    def load(self) -> ModuleType:
        """The module that reads it."""
        return import_module(self.reader)

    def ends(self, name: str) -> bool:
        """Whether a file's name has one of its endings, before that of a compression."""
        return not set(self.endings).isdisjoint(name.lower().split(".")[1:])


SPLIT_FOLDERS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "eval", "evaluation", "dev"), "val"),
    "test": "test",
}
"""Names of folders that hold what was logged of one split, and how we call it."""

SPLITS: Final = tuple(SPLIT_FOLDERS)

FORMATS: Final[dict[str, Format]] = {
    entry.name: entry
    for entry in (
        Format(
            "tensorboard",
            "`tfevents` in the name",
            "scalars, as simple values or as tensors; all event files of a folder are one run, "
            "those of `train/` and `validation/` in it, too, as `train/TAG`",
            Columns.STUDY_LOSS,
            folder=Folder(("*tfevents*",), ("*tfevents*",), stand_in="*tfevents*", splits=SPLITS),
            binary=True,
        ),
        Format(
            "wandb_offline",
            "the first bytes",
            "the history of an offline Weights & Biases run; `_step` is the step; config and "
            "summary are facts",
            Columns.STUDY_LOSS,
            folder=Folder(("*.wandb",), ("*.wandb",)),
            endings=("wandb",),
            binary=True,
        ),
        Format(
            "mlflow",
            "`metrics/` and `meta.yaml`",
            "a run of a file store; `params` and tags are facts",
            Columns.STUDY_LOSS,
            folder=Folder(
                ("metrics/", "meta.yaml"), ("meta.yaml", "metrics/**/*", "params/**/*", "tags/**/*")
            ),
        ),
        Format(
            "parquet",
            "the first bytes",
            "one row per step",
            Columns.STUDY,
            module="parquet_table",
            is_table=True,
            endings=("parquet",),
            binary=True,
        ),
        Format(
            "trackio",
            "the first bytes and its tables",
            "a project of Trackio's local store, all its runs; the configs are facts",
            Columns.STUDY_LOSS,
            several_runs=True,
            endings=("db",),
            binary=True,
        ),
        Format(
            "hf_trainer",
            "a JSON object with `log_history`",
            "Hugging Face `trainer_state.json`: `loss` is the split `train`, `eval_loss` is `val`, "
            "`eval_NAME_loss` is `NAME`",
            Columns.EITHER,
            says=("tokens",),
            endings=("json",),
        ),
        Format(
            "json_runs",
            "one JSON document of several objects with lists of losses and numbers beside them",
            "a sweep in one document, an object for each run as of the format json; their names "
            "are the runs, the numbers in them facts",
            Columns.STUDY,
            several_runs=True,
            endings=("json",),
        ),
        Format(
            "json",
            "one JSON document with lists of numbers, a loss among them",
            "one document a run: lists side by side (`history.val.iter`, `history.val.loss`), "
            "pairs of step and loss, W&B's `run.history()` as pandas or records, Keras' `History`",
            Columns.STUDY,
            module="json_document",
            is_table=True,
            endings=("json",),
        ),
        Format(
            "wandb_chart",
            "a header with `RUN - METRIC` for several runs, as a rule with `__MIN` and `__MAX`",
            "an exported Weights & Biases chart; the ranges of sampled values are left alone",
            Columns.STUDY_LOSS,
            several_runs=True,
            endings=("csv",),
        ),
        Format(
            "long_table",
            "a header with columns for the metric, its value and the step",
            "a row for each value of a metric, put side by side by run and step: exports of Aim, "
            "of MLflow and of TensorBoard's data frames",
            Columns.STUDY_LOSS,
            several_runs=True,
            endings=("csv", "tsv"),
        ),
        Format(
            "csv",
            "the ending, or a header with a loss above a row of numbers",
            "a header and one row per step, parted by commas, or by semicolons where these alone "
            "part the header: also exported Weights & Biases histories with their wide, quoted and "
            "empty columns",
            Columns.STUDY,
            module="csv_table",
            is_table=True,
            separator=",",
            endings=("csv",),
        ),
        Format(
            "tsv",
            "the ending, or a header with a loss above a row of numbers",
            "the same with tabs",
            Columns.STUDY,
            module="tsv_table",
            is_table=True,
            separator="\t",
            endings=("tsv",),
        ),
        Format(
            "jsonl",
            "the ending, or a first line that is a JSON object",
            "one JSON object per line; names may be dotted (`metrics.loss`)",
            Columns.STUDY,
            is_table=True,
            endings=("jsonl", "ndjson"),
            of_lines=True,
        ),
        Format(
            "megatron",
            r"`iteration 10/ 1000 \| consumed samples:`",
            "Megatron-LM and Megatron-DeepSpeed stdout: tokens from consumed samples, model size, "
            "planned tokens, skipped and NaN iterations",
            Columns.FORMAT,
            says=("params", "tokens"),
            of_lines=True,
        ),
        Format(
            "llmc",
            "`s:0 tel:11.0`",
            "llm.c `main.log`, old and new form: `trl` is `train`, `tel` is `val`",
            Columns.FORMAT,
            of_lines=True,
        ),
        Format(
            "modded_nanogpt",
            "`step:0/1530 val_loss:`",
            "modded-nanoGPT logs and those of its forks, after the source they begin with: further "
            "cells, clocks in ms or s; the number of steps, model size, batch",
            Columns.FORMAT,
            says=("params", "tokens"),
            of_lines=True,
        ),
        Format(
            "nanogpt",
            "`iter 0: loss …, time`",
            "nanoGPT stdout: single steps are `train`, evaluations `val` and `train_eval`; tokens "
            "per iteration",
            Columns.FORMAT,
            says=("tokens",),
            of_lines=True,
        ),
        Format(
            "torchtitan",
            "`step: 1  loss: …  tps:`",
            "torchtitan stdout: model size, batch, number of steps, validation",
            Columns.FORMAT,
            says=("params", "tokens"),
            of_lines=True,
        ),
        Format(
            "trainer",
            "the keys of a line",
            "stdout of known trainers by the names in `trainers.toml`: NeMo 2, nanotron, GPT-NeoX, "
            "older Megatron, MaxText, nanochat, build-nanoGPT, OLMo, OLMo-core, "
            "Composer, Hugging Face Trainer, fairseq, MLPerf, RWKV, Lingua, forks of torchtitan, "
            "torchtune, LitGPT, Levanter, Cerebras",
            Columns.FORMAT,
            module="trainers",
            says=("params", "tokens"),
            of_lines=True,
        ),
        Format(
            "lines",
            "keys and numbers, a loss and a step among them",
            "any text log of `key: value`, `key=value` or `key value`, also JSON or Python behind "
            "a prefix and indented blocks; its keys are the columns",
            Columns.STUDY,
            of_lines=True,
        ),
        Format(
            "pattern",
            "`source.pattern`",
            "any text log, by regular expressions",
            Columns.EITHER,
            says=("tokens",),
            described_by="pattern",
            of_lines=True,
        ),
    )
}
"""The formats by name, in the order in which a log is asked whether it is one of them."""

GENERAL: Final = ("trainer", "lines", "pattern")
"""Formats that read much of what others are made for, and so come after those of packages."""
for brought_format in brought("formats"):
    FORMATS.setdefault(brought_format.name, brought_format)
FORMATS.update({name: FORMATS.pop(name) for name in GENERAL})

FOLDERS: Final = tuple(entry.folder for entry in FORMATS.values() if entry.folder)
"""The kinds of folders that are one log."""

ENDINGS: Final = tuple(dict.fromkeys(end for entry in FORMATS.values() for end in entry.endings))
"""The endings of all formats."""


SPREADSHEETS: Final = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")
"""Endings of what spreadsheet programs write."""
A_SPREADSHEET: Final = (
    "is a spreadsheet, which is not read: save its sheet as CSV and name that file instead."
)


def table_format(path: Path) -> Format:
    """The format of a table of runs by its ending. Raises FloplineError for an unknown ending."""
    tables = [entry for entry in FORMATS.values() if entry.is_table]
    for entry in tables:
        if entry.ends(path.name):
            return entry
    if path.suffix.lower() in SPREADSHEETS:
        raise FloplineError(f"{path} {A_SPREADSHEET}")
    raise FloplineError(
        f"{path}: the ending does not tell what this table is; name source.format "
        f"({', '.join(sorted(entry.name for entry in tables))})."
    )


def _fits(path: Path, mark: str) -> bool:
    if mark.endswith("/"):
        return (path / mark).is_dir()
    return any(inner.is_file() for inner in path.glob(mark))
