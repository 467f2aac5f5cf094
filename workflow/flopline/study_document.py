"""What a study holds once it is loaded: the study file, checked, with its options filled in.

What a study leaves out is not there; study.load_study says what always is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NotRequired, TypedDict

MappedColumn = str | list[str] | dict[str, Any]
"""One of our columns in a log or table: its name there, or the names of several that make it, or
{column, times}; of the loss also one of these for each split."""
ColumnMap = Mapping[str, MappedColumn]
"""A map of columns by our names, as `columns` and `from_log` hold it."""

ROW_COLUMNS: Final = ("run", "split", "step", "tokens", "flops", "loss", "lr", "wall_s")
"""What the rows of a log say; all else in `columns` are facts of runs, which a table alone has."""


class RunRule(TypedDict, total=False):
    """Runs by name, or those whose `column` lies below or above a number, and why they are out."""

    runs: list[str]
    column: str
    below: float
    above: float
    reason: str


class SidecarDocument(TypedDict):
    """Where the sidecars of logs lie, and what they hold under which names."""

    path: str
    columns: ColumnMap


class RunsDocument(TypedDict, total=False):
    """Where the facts of runs stand."""

    table: str
    columns: ColumnMap
    sidecar: SidecarDocument
    decimal: str
    from_name: str
    from_log: ColumnMap | Literal[False]


class SimulatedLaw(TypedDict):
    """The parameters of the surface that a family is simulated by."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float


class DesignDocument(TypedDict, total=False):
    """Which runs a simulation has; simulation.DESIGNS says which of these go together."""

    budgets: list[float]
    sizes: int
    factor: float
    params: list[float]
    tokens: list[float]


class SimulatedFamily(TypedDict):
    """One family of a simulation."""

    law: SimulatedLaw
    design: DesignDocument


class FutureRunDocument(TypedDict):
    """A run that is still to be made; a study of one family need not name it."""

    name: str
    family: NotRequired[str]
    params: float
    tokens: float


class SourceDocument(TypedDict, total=False):
    """Where the runs of a study come from: logs, a table, or a simulation with its design."""

    kind: str
    format: str
    paths: str | list[str]
    pattern: Any
    decimal: str
    phase: Mapping[str, str]
    loss_unit: str | Mapping[str, str]
    bytes_per_token: float
    pieces: str
    optional: list[str]
    columns: ColumnMap
    runs: RunsDocument
    shards: int
    seed: int
    rows: int
    log_every: int
    noise: Mapping[str, float]
    families: Mapping[str, SimulatedFamily]


class StudyDocument(TypedDict, total=False):
    """A study; the groups of options of laws stand in it by the laws' names, too.

    `synthetic` and `notes` are told to those who write of the study, `fitted_splits` to those who
    read its logs.
    """

    name: str
    file: str
    title: str
    description: str
    source: SourceDocument
    families: Mapping[str, str]
    comparable_losses: bool
    headline_family: str | None
    params_convention: str
    flops_convention: str
    loss_split: str
    fitted_splits: list[str]
    loss_label: str
    loss_unit: str
    points: str
    laws: list[str]
    targets: list[float]
    exclude: list[RunRule]
    reporting: Mapping[str, str]
    held_out: list[RunRule]
    future_runs: list[FutureRunDocument]
    synthetic: bool
    notes: Sequence[str]
    bootstrap: Mapping[str, Any]
    cleaning: Mapping[str, Any]
    audit: Mapping[str, Any]
    questions: Mapping[str, Any]
    figures: Mapping[str, Any]
    envelope: Mapping[str, Any]
