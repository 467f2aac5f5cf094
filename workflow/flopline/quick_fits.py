"""What a table of runs says with the library's defaults: laws, and what the audits find of them.

No script of the workflow imports this module, which needs every fit (docs/caching.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from flopline.audit import identifiability as of_identifiability
from flopline.audit import ladder as of_ladder
from flopline.audit import next_run, sensitivity
from flopline.audit.audit_options import AuditOptions
from flopline.audit.finding import Finding, draws_of, surface_of
from flopline.documents import FindingJson, FitJson, FitsJson
from flopline.errors import FloplineError
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.fit_result import FitResult, failed_json
from flopline.laws.isoflop.isoflop_options import IsoflopOptions
from flopline.laws.registry import LAWS
from flopline.laws.spec import Points, spec_of
from flopline.options import StudyOptions
from flopline.schema import LEVELS
from flopline.verdict_scale import Verdict

DRAWS: Final = 500
"""Bootstrap resamples behind the intervals: enough to look at; give `draws=2000` to print."""
FEWEST_DRAWS: Final = 200 // (100 - max(LEVELS))
"""Draws of which one lies outside the widest interval at either end."""
LADDER_DRAWS: Final = 50
AUDITS: Final = ("ladder", "identifiability", "next_run", "sensitivity")
"""The findings that a figure gets here; those below get no more of them than they show."""
SEED: Final = 20221
BEYOND: Final = 10.0
"""The target by default is this many times the compute of the largest run, to one digit."""
RUN_COLUMNS: Final = ("run", "params", "tokens", "flops", "loss")
CURVE_COLUMNS: Final = ("run", "params", "step", "tokens", "flops", "loss")


@dataclass(frozen=True, slots=True)
class Settings:
    """What every fit here takes beside its table."""

    target: float
    budgets: Sequence[float] | None = None
    draws: int = DRAWS
    seed: int = SEED

    @property
    def options(self) -> StudyOptions:
        """The same as the options of a study."""
        return StudyOptions(
            BootstrapOptions(draws=self.draws, seed=self.seed),
            IsoflopOptions(budgets=None if self.budgets is None else tuple(self.budgets)),
            AuditOptions(ladder_draws=min(LADDER_DRAWS, self.draws)),
        )


def checked(
    table: pd.DataFrame, columns: Sequence[str], what: str, filled: bool = True
) -> pd.DataFrame:
    """`table` itself; FloplineError where it lacks one of the `columns`, or is empty."""
    if not isinstance(table, pd.DataFrame):
        raise FloplineError(
            f"the {what} is {table!r}, which is no DataFrame: read it by flopline.read_runs first."
        )
    missing = [c for c in columns if c not in table]
    if missing:
        raise FloplineError(
            f"The {what} lacks {', '.join(missing)}; its columns are "
            f"{', '.join(map(str, table.columns)) or 'none'}: rename yours, as in "
            f"table.rename(columns={{'yours': '{missing[0]}'}})."
        )
    if filled and table.empty:
        raise FloplineError(f"The {what} has no rows.")
    return table


def checked_runs(table: pd.DataFrame) -> pd.DataFrame:
    """A table of finished runs with RUN_COLUMNS; FloplineError where one is missing."""
    runs = checked(table, RUN_COLUMNS, "table of runs")
    if "budget" in runs and "budget_flops" not in runs:
        runs = runs.rename(columns={"budget": "budget_flops"})
    return runs.reset_index(drop=True)


def each_family(runs: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Each family with its runs, in the order of the table; one without a name without a column."""
    if "family" not in runs:
        return [("", runs)]
    names = runs["family"].astype(str)
    return [(name, runs[names == name].reset_index(drop=True)) for name in names.unique()]


def one_family(rows: pd.DataFrame, family: str | None) -> tuple[pd.DataFrame, str]:
    """The rows of `family`, or of the only one there is, and its name."""
    parts = dict(each_family(rows))
    if family is None and len(parts) == 1:
        name = next(iter(parts))
        return parts[name], name
    if family not in parts:
        asked = "name the one to draw" if family is None else f"'{family}' is none of them"
        raise FloplineError(
            f"The table holds the families {', '.join(parts)}: {asked}, as in "
            f"family='{next(iter(parts))}'."
        )
    return parts[family], family


def family_label(name: str) -> str:
    """What figures call a family; runs may have none."""
    return name or "Runs"


def settings_of(
    rows: pd.DataFrame,
    target: float | None,
    budgets: Sequence[float] | None,
    draws: int,
    seed: int,
) -> Settings:
    """What a call of the notebook asked for, with a target a stated factor beyond the runs.

    Returns:
        The settings; without `target`, BEYOND times the largest run's FLOPs in one digit.

    Raises:
        FloplineError: for fewer draws than an interval of 95 % needs.
    """
    if draws != 0 and draws < FEWEST_DRAWS:
        raise FloplineError(
            f"draws is {draws!r}: give {FEWEST_DRAWS} or more, since of fewer none lies outside a "
            f"{max(LEVELS)} % interval, or 0 for no intervals."
        )
    if target is None:
        target = float(f"{BEYOND * float(rows['flops'].max()):.0e}")
    return Settings(float(target), budgets, draws, seed)


def fit_law(law: str, rows: pd.DataFrame, given: Settings) -> FitResult:
    """A law with no more beside its main line than costs nothing, for a look."""
    spec = spec_of(law)
    if spec.points is Points.CURVES and "horizon_tokens" not in rows:
        rows = rows.assign(horizon_tokens=np.nan)
    study = given.options
    own = study.of(spec.model)
    # A fit that is handed no options leaves out what takes long.
    options = None if own == spec.model() else own
    bootstrap = study.of(BootstrapOptions)
    return spec.fitted(rows, [given.target], options, bootstrap=bootstrap, **spec.judged)


def fit_laws(
    runs: pd.DataFrame, given: Settings, curves: pd.DataFrame | None = None
) -> tuple[dict[str, FitResult], dict[str, FitJson]]:
    """The laws that can be fitted by name, and those that cannot as failed fits with the reason.

    Those of training curves are fitted where there are `curves`.
    """
    fits: dict[str, FitResult] = {}
    failed: dict[str, FitJson] = {}
    for law in LAWS:
        rows = curves if spec_of(law).points is Points.CURVES else runs
        if rows is None:
            continue
        try:
            fits[law] = fit_law(law, rows, given)
        except FloplineError as why:
            failed[law] = failed_json(law, str(why))
    return fits, failed


def findings_of(
    audits: Sequence[str],
    runs: pd.DataFrame,
    given: Settings,
    fits: Mapping[str, FitResult],
    failed: FitsJson,
) -> dict[str, FindingJson]:
    """What these audits find of the runs of one family, each with its tables; why, if nothing.

    Returns:
        One finding per audit, by its name, with the tables beside its sentences.
    """
    law = fits.get("parametric")
    estimators = {n: fit.tables["estimators"] for n, fit in fits.items()}

    def of_next_run() -> Finding:
        assert law is not None
        content = law.to_json()
        return next_run.audit(
            runs,
            surface_of(content),
            content["certificate"]["residual_sd"],
            given.target,
            draws=draws_of(law.draws),
        )

    makers: dict[str, Callable[[], Finding]] = {
        "ladder": lambda: of_ladder.audit(runs, given.target, given.options),
        "identifiability": lambda: of_identifiability.audit(
            runs,
            surface_of(law.to_json()) if law is not None else None,
            given.target,
            given.options,
            estimators=estimators,
        ),
        "next_run": of_next_run,
        "sensitivity": lambda: sensitivity.audit(
            runs, given.target, given.options, estimators=estimators
        ),
    }
    findings: dict[str, FindingJson] = {}
    for audit in audits:
        try:
            if law is None:
                raise FloplineError(failed["parametric"]["message"])
            made = makers[audit]()
        except FloplineError as why:
            made = Finding(audit, Verdict.NOT_CHECKED, f"Not made: {why}", {})
        findings[audit] = {**made.to_json(), "tables": made.tables}
    return findings
