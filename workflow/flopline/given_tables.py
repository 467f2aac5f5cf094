"""A table of finished runs as people have it, read and checked as a study's is."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd
import yaml

from flopline.clean.memory import clean
from flopline.errors import FloplineError
from flopline.hashing import hash_file
from flopline.ingesting import ingest
from flopline.loss_units import NATS
from flopline.numbers import count
from flopline.option_groups import groups
from flopline.places import SCHEMAS
from flopline.schema import KEPT
from flopline.sources import LogFile
from flopline.study import load_study
from flopline.tables import column_of, read_table

Column = str | tuple[str, float]
"""The name of a column, or its name and what its numbers are multiplied by."""

ONE: Final = "runs"
"""The family of a table that names none."""
NAME: Final = "table"
SIX_ND: Final = "six_nd"
RUN: Final = "run"


def read_runs(
    file: str | Path | pd.DataFrame,
    *,
    params: Column = "params",
    tokens: Column = "tokens",
    loss: Column = "loss",
    flops: Column | None = None,
    budget: Column | None = None,
    run: str | None = None,
    family: str | None = None,
    loss_unit: str = NATS,
    decimal: str = ".",
) -> pd.DataFrame:
    """Finished runs from a CSV, TSV, JSON lines or Parquet file, or from a DataFrame.

    Units are never guessed, and runs that diverged or hardly trained are set aside with a warning,
    as in a study.

    Parameters:
        file: A path, or a table at hand.
        params: Column of N, or (column, factor) as ("Model size (M)", 1e6); of a nested record
            by dots, as model.params.
        tokens: Column of D, in the same way.
        loss: Column of the final loss.
        flops: Column of the training compute [FLOPs]; 6 N D without it.
        budget: Column of the nominal budget [FLOPs] of isoFLOP runs.
        run: Column of the runs' names; they are numbered without it.
        family: Column of the families of models.
        loss_unit: Unit of the losses (docs/formats.md): nats_per_token, bits_per_byte...
        decimal: What parts the whole of a number from its fraction.

    Returns:
        One row per run: run, family, params, tokens, flops, loss, and budget_flops if given.

    Raises:
        FloplineError: for a column that is missing, a cell that is no number, or a unit in doubt.

    Examples:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"N (M)": [10, 20], "D": [4e8, 8e8], "val": [3.9, 3.6]})
        >>> read_runs(table, params=("N (M)", 1e6), tokens="D", loss="val")["flops"].tolist()
        [2.4e+16, 9.6e+16]
    """
    columns: dict[str, Column] = {"params": params, "tokens": tokens, "loss": loss}
    more = {"flops": flops, "budget_flops": budget, "family": family, RUN: run}
    columns |= {name: column for name, column in more.items() if column is not None}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = [_spec_name(column) for column in columns.values()]
        path, called, numbered = _at_hand(file, folder, run is None, names)
        if numbered:
            columns[RUN] = RUN
        families = _families(path, family)
        document = {
            "title": "A table of runs",
            "source": {
                "kind": "table",
                "paths": str(path),
                "columns": {key: _spec(column) for key, column in columns.items()},
                "shards": 1,
                "loss_unit": loss_unit,
                **({"decimal": decimal} if decimal != "." else {}),
            },
            "families": {each: each for each in families},
            "params_convention": "total",
            "flops_convention": SIX_ND if flops is None else "supplied",
            "targets": [1e20],
            "laws": ["isoflop", "parametric"],
        }
        try:
            kept = _cleaned(document, folder, path)
        except FloplineError as mistake:
            raise FloplineError(_of_arguments(str(mistake), path, called)) from None
    return kept


def _cleaned(document: Mapping[str, Any], folder: Path, path: Path) -> pd.DataFrame:
    study_file = folder / "config/studies" / f"{NAME}.yaml"
    study_file.parent.mkdir(parents=True)
    study_file.write_text(yaml.safe_dump(dict(document)), encoding="utf-8")
    options: dict[str, object] = {model.group: {} for model in groups()}
    study = load_study({**options, "study": NAME}, folder, SCHEMAS)
    log: LogFile = {"run": path.stem, "path": str(path), "sha256": hash_file(path)}
    cleaned = clean(ingest(study, [log], folder), None, study)
    aside = cleaned.runs[cleaned.runs["status"] != KEPT]
    for _, gone in aside.iterrows():
        warnings.warn(f"run '{gone['run']}' is set aside: {gone['reason']}", stacklevel=4)
    if len(cleaned.dropped):
        why = cleaned.dropped["reason"].iloc[0]
        warnings.warn(f"{count(len(cleaned.dropped), 'row')} left out: {why}", stacklevel=4)
    for note in cleaned.notes:
        warnings.warn(note, stacklevel=4)
    kept = cleaned.runs[cleaned.runs["status"] == KEPT]
    wanted = [RUN, "family", "params", "tokens", "flops", "loss"]
    with_budget = bool(kept["budget_flops"].notna().any())
    return kept[wanted + with_budget * ["budget_flops"]].reset_index(drop=True)


def _at_hand(
    file: str | Path | pd.DataFrame, folder: Path, nameless: bool, columns: Sequence[str]
) -> tuple[Path, str, bool]:
    """The table as a file, what to call it, and whether it got a column of names.

    Those of the wanted `columns` that stand in records of a cell become columns of their own.
    """
    if not isinstance(file, pd.DataFrame | str | Path):
        raise FloplineError(f"{file!r} is no table: give a path or a DataFrame.")
    if not isinstance(file, pd.DataFrame):
        path = Path(file).resolve()
        if not path.is_file():
            raise FloplineError(f"{file} is no file: correct the path.")
        if not nameless:
            return path, str(file), False
        table, broken = read_table(path)
        if broken:
            raise FloplineError(f"{file}, line {broken[0]} cannot be read: correct or remove it.")
        table = table.drop(columns="line")
        called = str(file)
    else:
        table, called = file.reset_index(drop=True), "the table"
    if nameless and RUN not in table:
        digits = len(str(len(table)))  # so that their order is the table's
        names = [f"run{number:0{digits}d}" for number in range(1, len(table) + 1)]
        table = table.assign(run=names)
    inner = {name: column_of(table, name) for name in columns if name not in table}
    table = table.assign(**{name: cells for name, cells in inner.items() if cells is not None})
    # Parquet has one type a column; what is no number is told by the reader, with its row.
    mixed = [name for name in table if table[name].dtype == object]
    table = table.astype(dict.fromkeys(mixed, "string"))
    path = folder / f"{NAME}.parquet"
    table.to_parquet(path, index=False)
    return path, called, nameless


def _families(path: Path, family: str | None) -> list[str]:
    if family is None:
        return [ONE]
    table, _ = read_table(path)
    values = column_of(table, family)
    if values is None:
        known = ", ".join(str(name) for name in table if name != "line")
        raise FloplineError(f"the table has no column {family!r}; it has {known}.")
    return list(dict.fromkeys(values.dropna().astype(str)))


def _spec_name(column: Column) -> str:
    return column if isinstance(column, str) else column[0]


def _spec(column: Column) -> str | dict[str, Any]:
    return column if isinstance(column, str) else {"column": column[0], "times": float(column[1])}


def _of_arguments(sentence: str, path: Path, called: str) -> str:
    """A sentence about a study file as one about the arguments of `read_runs`."""
    out = re.sub(r"\S*config/studies/table\.yaml(, |: )?", "", sentence).replace(str(path), called)
    unit = r"`(\w+): \{column: '*(.+?)'*, times: ([\d.e+]+)\}` in source\.columns"
    out = re.sub(unit, r"\1=('\2', \3)", out)
    out = re.sub(r"\(source\.columns\.(\w+) in the study file\)", r"(the argument \1)", out)
    out = re.sub(r"source\.columns\.(\w+)", r"the argument \1", out)
    out = out.replace("times: 1", "a factor of 1").replace("by `exclude`", "of the table")
    return re.sub(r"\bin source\b|\bin the study file\b", "", out).replace("  ", " ").strip()
