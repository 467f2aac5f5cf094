"""Figures as tests draw them, each with whatever a test wants otherwise laid over its inputs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from flopline.decision import decide
from flopline.figures.cleaning_figure import cleaning
from flopline.figures.contours_figure import contours
from flopline.figures.envelope_figure import envelope
from flopline.figures.families_figure import families
from flopline.figures.isoflop_figure import isoflop
from flopline.figures.losscompute_figure import losscompute
from flopline.figures.misfit_figure import frontier_misfit
from flopline.figures.spec import figure_spec
from flopline.figures.surface_figure import surface
from flopline.laws.common.fit_result import FitResult
from flopline.laws.spec import spec_of
from flopline.results import FamilyResults
from flopline.schema import DROPPED, KEPT
from flopline.surfaces.chinchilla import LossSurface
from tests.builders import fits
from tests.builders.audit_parts import made_up
from tests.builders.decisions import ANYTHING
from tests.builders.designs import GOPHER, HOFFMANN_BUDGETS, isoflop_runs
from tests.builders.figure_results import FAMILY, family_results, setting
from tests.builders.figure_tables import envelope_tables, isoflop_tables, multimodal_panels
from tests.builders.surfaces import BESIROGLU, TINY

SIZES = np.geomspace(5e3, 1e6, 6)
"""Sizes of the envelope's runs [weights]."""
HORIZONS = np.geomspace(1e6, 1e8, 5)
"""What they train to [tokens]."""

NAMES = ("ash", "birch", "cedar", "dogwood", "elm", "fir")
"""Families of the figures that hold fits against each other."""
LABELS = {name: name.capitalize() for name in NAMES}
BUDGETS = (6e18, 3e19, 1e20, 6e20, 3e21)
"""Their budgets [FLOPs]."""
TARGETS = (GOPHER, 1e22)
"""What their fits predict [FLOPs]; figures show the first."""

CLEANED = {"ash": "White ash", "birch": "Birch"}
"""Families of the figure of cleaning."""


def simple_isoflop(budgets: ArrayLike = HOFFMANN_BUDGETS, sizes: int = 9, **changes: Any) -> Figure:
    """The isoFLOP figure of `sizes` runs at each of `budgets` [FLOPs]."""
    fit, vertices, profiles, draws = isoflop_tables(BESIROGLU, budgets, sizes=sizes)
    parts = {"fit": fit, "vertices": vertices, "profiles": profiles, "draws": draws}
    options = {"family_label": "Dense", "target_flops": GOPHER}
    return isoflop(**(parts | options | changes))


def simple_envelope(
    sizes: Sequence[float] = SIZES,
    horizons: Sequence[float] = HORIZONS,
    steps: int = 200,
    **changes: Any,
) -> Figure:
    """The envelope figure of runs of all `sizes` [weights] that train to all `horizons`."""
    fit, frontier, curves = envelope_tables(TINY, sizes, horizons, steps=steps)
    parts = {"fit": fit, "frontier": frontier, "curves": curves}
    options = {"family_label": "Dense", "target_flops": 1e15}
    return envelope(**(parts | options | changes))


def drawn_audits(parts: dict[str, Any], **changes: Any) -> dict[str, Figure]:
    """The figures of the audit of `audit_parts.made_up`, by name, as their jobs draw them."""
    parts = {"width": "page", "synthetic": False} | parts | changes
    points = parts["residuals"]
    results = family_results(
        parts["fits"],
        parts["findings"],
        draws=parts["draws"],
        tables={} if points is None else {"parametric": {"points": points}},
        runs=parts["runs"].assign(family=FAMILY, status=KEPT),
        decision=parts["verdict"],
    )
    seen = setting(parts["target_flops"], width=parts["width"], synthetic=parts["synthetic"])
    return {
        name: figure_spec(name).draw(results, seen)
        for name in ("ladder", "regret", "identifiability", "stakes")
    }


def cleaned(reasons: int, runs: int = 24) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs of two families and rows dropped for so many reasons, ever fewer of each (made up)."""
    kept, dropped = [], []
    for i in range(runs):
        mine = [
            {"run": f"r{i}", "step": 10 * j + k, "reason": f"reason_{j}", "source": "a", "line": k}
            for j in range(reasons)
            for k in range(reasons - j)
        ]
        dropped += mine
        status = ("kept", "kept", "quarantined", "held_out")[i % 4]
        why = {"kept": "", "held_out": "Held out in the study file: no fit sees it."}
        row = {"run": f"r{i}", "family": ("ash", "birch")[i % 2], "status": status}
        row["reason"] = why.get(status, f"It diverged: its final loss {i} is far above its own.")
        kept.append(row | {"rows_in": 100 + len(mine), "rows_kept": 100, "rows_dropped": len(mine)})
    columns = list(DROPPED)
    return pd.DataFrame(kept), pd.DataFrame(dropped, columns=columns).astype({"step": "Int64"})


def drawn_cleaning(reasons: int, width: str = "page", **changes: Any) -> Figure:
    """The figure of cleaning with so many reasons for dropping a row."""
    runs, dropped = cleaned(reasons)
    parts = {"runs": runs, "dropped": dropped} | changes
    steps = {f"r{i}": 200.0 for i in range(24)}
    return cleaning(last_steps=steps, labels=CLEANED, width=width, **parts)


def family_surface(family: str) -> LossSurface:
    """The surface of a family; every second one needs more compute."""
    return replace(BESIROGLU, A=(BESIROGLU.A, 600.0)[NAMES.index(family) % 2])


def family_runs(surface: LossSurface = BESIROGLU, seed: int = 1) -> pd.DataFrame:
    """Nine runs of each budget of a family."""
    return isoflop_runs(surface, BUDGETS, 9, width=5.0, noise=0.002, seed=seed)


@functools.cache
def fitted(family: str = "ash") -> dict[str, FitResult]:
    """The laws of runs of a family; leave them as they are."""
    points = family_runs(family_surface(family), NAMES.index(family) % 2)
    return {
        law: fits.fit(law, points, TARGETS, draws=60, seed=3) for law in ("isoflop", "parametric")
    }


def as_json(family: str = "ash") -> dict[str, dict[str, Any]]:
    """The fits of a family as their JSON states them."""
    return {law: fit.to_json() for law, fit in fitted(family).items()}


def drawn_contours(width: str = "page", **changes: Any) -> Figure:
    """The contours of the first family."""
    fit = fitted()["parametric"]
    parts = {"fit": fit.to_json(), "points": fit.tables["points"], "draws": fit.draws} | changes
    return contours(family_label="Ash", target_flops=GOPHER, width=width, **parts)


def drawn_loss(width: str = "page", **changes: Any) -> Figure:
    """Loss over compute of the first family."""
    fits = fitted()
    parts = {
        "fits": as_json(),
        "draws": {law: fit.draws for law, fit in fits.items()},
        "runs": family_runs(family_surface("ash"), 0),
    } | changes
    return losscompute(family_label="Ash", target_flops=GOPHER, width=width, **parts)


def drawn_misfit(width: str = "page", **changes: Any) -> Figure:
    """What each law of the first family misses."""
    tables = {law: fit.tables[spec_of(law).frontier.table] for law, fit in fitted().items()}
    parts = {"fits": as_json(), "seen": tables} | changes
    return frontier_misfit(family_label="Ash", width=width, **parts)


def compared(names: Sequence[str]) -> dict[str, Any]:
    """Fits, draws and the decision's comparison of some families."""
    labels = {name: LABELS[name] for name in names}
    results = {name: FamilyResults.of(fitted(name)) for name in names}
    verdict = decide(
        results,
        TARGETS,
        labels,
        dict.fromkeys(names, replace(ANYTHING, largest_flops=max(BUDGETS))),
        comparable=True,
    )[1]
    return {
        "fits": {name: known.fits for name, known in results.items()},
        "draws": {name: known.draws for name, known in results.items()},
        "entries": verdict["families"],
        "spans": {name: (min(BUDGETS), max(BUDGETS)) for name in names},
        "labels": labels,
    }


def drawn_families(names: Sequence[str], width: str = "page", **changes: Any) -> Figure:
    """The comparison of some families."""
    return families(**(compared(names) | changes), target_flops=GOPHER, width=width)


@functools.cache
def audits_at(width: str) -> dict[str, Figure]:
    """The figures of the audit of a tiny study, drawn once; leave them as they are."""
    return drawn_audits(made_up("tiny"), width=width)


EXAMPLES: dict[str, Callable[[str], Figure]] = {
    "surface": lambda width: surface(multimodal_panels(), show_surface=True, width=width),
    "families": lambda width: drawn_families(NAMES[:2], width),
    "isoflop": lambda width: simple_isoflop(width=width),
    "envelope": lambda width: simple_envelope(width=width, synthetic=True),
    "contours": drawn_contours,
    "losscompute": drawn_loss,
    "misfit": drawn_misfit,
    "ladder": lambda width: audits_at(width)["ladder"],
    "identifiability": lambda width: audits_at(width)["identifiability"],
    "regret": lambda width: audits_at(width)["regret"],
    "stakes": lambda width: audits_at(width)["stakes"],
    "cleaning": lambda width: drawn_cleaning(6, width),
}
"""One drawing of each figure for a page or a column; of any other see `study_example`."""
