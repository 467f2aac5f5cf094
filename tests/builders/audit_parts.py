"""What the figures of the audit take: findings, fits, draws and runs of a family, made up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.laws.registry import LAWS
from flopline.schema import target_column
from tests.builders.designs import GOPHER, HOFFMANN_BUDGETS, isoflop_runs
from tests.builders.fit_json import about, ends, fit_json
from tests.builders.surfaces import BESIROGLU, constants_of

Floats = NDArray[np.float64]

SIZES = {
    "chinchilla": (np.geomspace(HOFFMANN_BUDGETS[0], HOFFMANN_BUDGETS[-1], 9), GOPHER),
    "tiny": (np.geomspace(4e10, 4e12, 6), 1e14),
    "two steps": (np.geomspace(1e18, 3e18, 3), 1e19),
}
"""Budgets of the runs and the target [FLOPs] of studies of three sizes."""


def residual_runs(budgets: Floats) -> pd.DataFrame:
    """Seven runs of each budget, and by how much ln loss is off the law."""
    runs = isoflop_runs(BESIROGLU, budgets, noise=0.004, seed=3)
    law = BESIROGLU.loss(runs["params"], runs["tokens"])
    return runs.assign(log_residual=np.log(runs["loss"] / law))


def made_up(name: str, laws: tuple[str, ...] = LAWS) -> dict[str, Any]:
    """Findings, fits and draws such as a study of this size leaves; all numbers are made up."""
    budgets, target = SIZES[name]
    points, rng = residual_runs(budgets), np.random.default_rng(4)
    best = float(BESIROGLU.params_opt(target))
    fits, draws = {}, {}
    for i, law in enumerate(laws):
        size = best * (0.6, 1.3, 1.0)[LAWS.index(law) % 3]
        a = 0.5 + 0.02 * i
        parameters = {"a": ends(a, a - 0.03, a + 0.03, a - 0.05, a + 0.05)}
        if law == "parametric":
            parameters |= {n: about(x) for n, x in constants_of(BESIROGLU).items()}
        loss = float(BESIROGLU.loss_opt(target)) + 0.01 * i
        stated = {"params": size, "tokens": target / 6 / size, "loss": loss}
        at = {"budget_flops": target, **{name: about(x) for name, x in stated.items()}}
        fits[law] = fit_json(law, parameters, targets=[at])
        turn = rng.standard_normal((600, 3)) * [0.2, 0.005, 0.02]
        draws[law] = pd.DataFrame(
            {
                target_column("params", target): size * np.exp(turn[:, 0]),
                target_column("tokens", target): target / 6 / size * np.exp(-turn[:, 0]),
                target_column("loss", target): loss + turn[:, 1],
                "a": a + turn[:, 2],
            }
        )
    choice = {"family": "ash", "budget_flops": target, "law": "isoflop"}
    return {
        "findings": findings(budgets, points, best),
        "fits": fits,
        "draws": draws,
        "runs": points.drop(columns="log_residual"),
        "residuals": points,
        "verdict": {"choices": [choice]},
        "target_flops": target,
    }


def findings(budgets: Floats, points: pd.DataFrame, best: float) -> list[dict[str, Any]]:
    """The findings that have panels of their own; the best N at the target is `best` [weights]."""
    steps, predictions = [], []
    for k, c in enumerate(budgets[:-1]):
        for law, name, n in (
            ("parametric", "log_huber", best * 1.5 ** (len(budgets) - k)),
            ("parametric", "tied", 99 * best),
            ("isoflop", "parabola", np.nan if k == 0 else best * 1.2 ** (len(budgets) - k)),
            ("baseline", "best_run", 0.7 * best),
            ("baseline", "loss_compute", np.nan),
        ):
            steps.append(
                {
                    "law": law,
                    "estimator": name,
                    "largest_flops": c,
                    "wasted_percent": 9.0 / (k + 1) if np.isfinite(n) else np.nan,
                    "target_params": n,
                    "target_params_lo80": n / 1.3 if law == "parametric" else np.nan,
                    "target_params_hi80": n * 1.3 if law == "parametric" else np.nan,
                }
            )
        held = points[points["flops"] > c * 1.01]
        predicted = held["loss"] * 1.01
        predictions.append(
            held.assign(
                largest_flops=c,
                predicted=predicted,
                log_error=0.01,
                predicted_lo95=predicted * 0.98,
                predicted_hi95=predicted * 1.02,
            )
        )
    optima = pd.DataFrame(
        [
            {
                "law": law,
                "estimator": name,
                "largest_flops": c,
                "budget_flops": above,
                "loss_predicted": off * 2.5,
                "loss_seen": 2.5,
                "loss_lo95": 2.4,
                "loss_hi95": 2.6,
            }
            for c in budgets[:-1]
            for above in budgets[budgets > c]
            for law, name, off in (("parametric", "log_huber", 1.01), ("isoflop", "parabola", 0.98))
        ]
    )
    e = np.linspace(1.6, 2.0, 41)
    profile = pd.DataFrame(
        {
            "E": e,
            "rise": 4 * (e - BESIROGLU.E) ** 2,
            "params": best * np.exp(BESIROGLU.E - e),
            "converged": True,
        }
    )
    flops, ratio = (v.ravel() for v in np.meshgrid(budgets, [1 / 8, 1 / 2, 1.0, 2.0, 8.0]))
    size = ratio * BESIROGLU.params_opt(flops)
    offers = pd.DataFrame(
        {"params": size, "tokens": flops / 6 / size, "flops": flops,
         "removed_percent": 9 * np.log(ratio) ** 2 / 4.3}
    )  # fmt: skip
    factors = np.exp(np.linspace(-0.6, 0.5, 30))
    changes = pd.DataFrame(
        {
            "law": ["parametric", "isoflop", "envelope"] * 10,
            "change": [f"without the {i} largest residuals of all the runs" for i in range(30)],
            "params": best * factors,
            "ratio": factors,
        }
    )

    def made(audit: str, **tables: pd.DataFrame) -> dict[str, Any]:
        return {"audit": audit, "verdict": "good", "sentence": f"{audit} said.", "tables": tables}

    return [
        made(
            "ladder", steps=pd.DataFrame(steps), predictions=pd.concat(predictions), optima=optima
        ),
        made("identifiability", profile=profile),
        made("regret"),
        made("sensitivity", changes=changes),
        made("next_run", runs=offers),
    ]
