"""What N of the isoFLOP and envelope laws depends on: checks, weights, the kind of frontier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from flopline.audit.changes import Change
from flopline.audit.rungs import ENVELOPE_OPTIONS
from flopline.fits import envelope
from flopline.fits.envelope import FRONTIERS
from flopline.fits.powerlaw import fit_power_law
from flopline.fits.result import FAILED
from flopline.fits.vertexlaws import weights_from

Estimators = Mapping[str, pd.DataFrame]


def main_params(estimators: Estimators, law: str, target_flops: float) -> float:
    """N of the law's main estimator at `target_flops`; NaN where there is none."""
    rows = _at(estimators, law, target_flops)
    main = rows[rows["main"] & (rows["status"] != FAILED)] if len(rows) else rows
    return float(main["params"].iloc[0]) if len(main) else np.nan


def isoflop_changes(
    estimators: Estimators, vertices: pd.DataFrame | None, target_flops: float
) -> Iterator[Change]:
    """The other estimators of the isoFLOP law, and of its vertices what they do not say.

    `vertices` is the table of the isoFLOP fit.
    """
    yield from _others(estimators, "isoflop", target_flops)
    named = set(_at(estimators, "isoflop", target_flops).get("estimator", []))
    if vertices is None:
        return
    used = vertices[vertices["used"]]
    if "unweighted" not in named:
        yield _through(used, "all vertices weigh the same", False, target_flops)
    # What fails a check but has a minimum at all, where ln N is defined.
    valleys = vertices[(vertices["c2"] > 0) & np.isfinite(vertices["params"])]
    if "all_budgets" not in named and len(valleys) > len(used):
        yield _through(valleys, "with the budgets that fail the checks", True, target_flops)


def envelope_changes(
    estimators: Estimators,
    curves: pd.DataFrame | None,
    options: Mapping[str, Any],
    target_flops: float,
    family: str,
) -> Iterator[Change]:
    """The other estimators of the envelope law, or the frontier that was not chosen."""
    rows = _at(estimators, "envelope", target_flops)
    yield from _others(estimators, "envelope", target_flops)
    if curves is None or len(rows) != 1:
        return
    chosen = options.get("frontier", FRONTIERS[0])
    for other in FRONTIERS:
        if other != chosen:
            settings = {k: options[k] for k in ENVELOPE_OPTIONS if k in options}
            settings["frontier"] = other
            yield Change(
                "envelope",
                "envelope",
                f"frontier by {other} instead of {chosen}",
                int(curves["run"].nunique()),
                lambda settings=settings: _enveloped(curves, settings, target_flops, family),  # type: ignore[misc]
            )


def _enveloped(
    curves: pd.DataFrame, settings: Mapping[str, Any], target_flops: float, family: str
) -> dict[str, Any]:
    fit = envelope.fit(
        curves, [target_flops], **settings, draws=0, family=family, with_variants=False
    )
    return {
        "params": fit.targets[0].values["params"].point,
        "a": fit.parameters["a"].point,
        "status": fit.status,
        "message": fit.message,
    }


def _at(estimators: Estimators, law: str, target_flops: float) -> pd.DataFrame:
    table = estimators.get(law)
    if table is None or table.empty:
        return pd.DataFrame()
    return table[np.isclose(table["budget_flops"], target_flops)]


def _others(estimators: Estimators, law: str, target_flops: float) -> Iterator[Change]:
    for row in _at(estimators, law, target_flops).to_dict("records"):
        if not row["main"]:
            said = {k: row[k] for k in ("params", "a", "status", "message")}
            yield Change(law, law, str(row["label"]), 0, lambda said=said: said)  # type: ignore[misc]


def _through(vertices: pd.DataFrame, label: str, weighted: bool, target_flops: float) -> Change:
    """The power law through `vertices`, by 1/se^2 as in the isoFLOP fit or with equal weights."""

    def refit() -> dict[str, Any]:
        se = vertices["params_se_ln"].to_numpy(dtype=float)
        weights = weights_from(se) if weighted else 1.0
        ln_c, ln_n = (np.log(vertices[c].to_numpy()) for c in ("budget_flops", "params"))
        law = fit_power_law(ln_c, ln_n, weights)
        params = float(np.exp(law.ln_at(np.log([target_flops]))[0]))
        return {"params": params, "a": float(law.p)}

    return Change("isoflop", "isoflop", label, int(vertices["n_runs"].sum()), refit)
