"""Published laws beside the study: what each would train at its budgets, and what that would cost.

The cost is `regret.wasted_share`, exact on the study's own surface and so under the premise that it
is right. Laws of different sources count parameters and compute differently, and their losses hang
on tokenizer and data: both are said next to the numbers, and losses are compared after one constant
is taken out as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline.audit.audit_options import AuditOptions
from flopline.audit.finding import Finding
from flopline.audit.waste import wasted_share
from flopline.errors import FloplineError
from flopline.loss_units import NATS, words
from flopline.numbers import count, flops_label, humanise, significant
from flopline.options import StudyOptions
from flopline.surfaces import published
from flopline.surfaces.chinchilla import LossSurface
from flopline.surfaces.compute_laws import ComputePowerLaw
from flopline.surfaces.published import PublishedLaw
from flopline.surfaces.surface import Law, exponents_of
from flopline.verdict_scale import Verdict

Floats = NDArray[np.float64]

OURS: Final = "this study"
SAME: Final = "as here"
OTHER: Final = "otherwise"
UNSTATED: Final = "not stated"


def audit(
    points: pd.DataFrame,
    surface: LossSurface,
    targets_flops: Sequence[float],
    study: StudyOptions | None = None,
    *,
    params_convention: str,
    flops_convention: str,
    loss_unit: str = NATS,
) -> Finding:
    """The published laws of the options at the targets [FLOPs], all that name a size if none.

    `points` has columns params [weights], tokens, loss [nats per token]; `surface` is the study's
    own. Tables: laws (one row per law and target: N, D, loss, exponents, N over the study's, the
    compute wasted by it, and whether it counts N and C as the study does), losses (one row per
    law with a loss surface: log residuals of the study's runs, also with a constant taken out) and
    sources. There is no verdict: other people's laws do not judge a fit. Raises FloplineError for
    an unknown name.
    """
    names = (study or StudyOptions()).of(AuditOptions).compare
    budgets = np.asarray(targets_flops, float)
    chosen = [published.load(name) for name in (names or published.names())]
    entries = [law for law in chosen if names or np.isfinite(advice(law, budgets)[0]).all()]
    conventions = (params_convention, flops_convention)
    rows = [_ours(surface, budgets, conventions, words(loss_unit))]
    rows += [_law(law, surface, budgets, conventions) for law in entries]
    laws = pd.concat(rows, ignore_index=True).sort_values(
        "budget_flops", key=lambda c: c.map({b: i for i, b in enumerate(budgets)}), kind="stable"
    )
    tables = {
        "laws": laws.reset_index(drop=True),
        "losses": _losses(points, surface, entries, words(loss_unit)),
        "sources": pd.DataFrame([_source(law) for law in entries]),
    }
    return _finding(tables, targets_flops[0])


def advice(entry: PublishedLaw, flops: Floats) -> tuple[Floats, Floats]:
    """N [weights] and D [tokens] of a published law at budgets `flops`, NaN where it names none.

    What the source leaves out follows from C = 6ND; so does N of one that counts no weights.
    """
    none = np.full(flops.shape, np.nan)
    params, tokens = none, none
    law = entry.law
    if not isinstance(law, ComputePowerLaw):
        params, tokens = law.params_opt(flops), law.tokens_opt(flops)
    else:
        if np.isfinite(law.ln_K_N) and entry.params_convention != "flops_per_token":
            params = law.params_opt(flops)
        if np.isfinite(law.ln_K_D):
            tokens = law.tokens_opt(flops)
    params = np.where(np.isnan(params), flops / (6 * tokens), params)
    return params, np.where(np.isnan(tokens), flops / (6 * params), tokens)


def _exponents(law: Law | ComputePowerLaw) -> tuple[float, float]:
    """a and b of N ~ C^a, D ~ C^b."""
    if isinstance(law, ComputePowerLaw):
        return law.a, law.b
    a = float(exponents_of(law, 1e21)[0])
    return a, 1.0 - a


def _ours(
    surface: LossSurface, budgets: Floats, conventions: tuple[str, str], own_unit: str
) -> pd.DataFrame:
    params, tokens = surface.params_opt(budgets), surface.tokens_opt(budgets)
    return pd.DataFrame(
        {
            "law": OURS,
            "budget_flops": budgets,
            "a": float(surface.a),
            "b": float(surface.b),
            "params": params,
            "tokens": tokens,
            "tokens_per_param": tokens / params,
            "loss": surface.loss_opt(budgets),
            "loss_unit": own_unit,
            "params_over_ours": 1.0,
            "wasted_percent": 0.0,
            "wasted_flops": 0.0,
            "counts_params": conventions[0],
            "params_counted": SAME,
            "counts_flops": conventions[1],
            "flops_counted": SAME,
            "over_its_largest_budget": np.nan,
        }
    )


def _law(
    entry: PublishedLaw, surface: LossSurface, budgets: Floats, conventions: tuple[str, str]
) -> pd.DataFrame:
    params, tokens = advice(entry, budgets)
    a, b = _exponents(entry.law)
    ratio = params / surface.params_opt(budgets)
    share = wasted_share(surface.alpha, surface.beta, np.log(ratio))
    ours_n, ours_c = conventions
    surfaced = not isinstance(entry.law, ComputePowerLaw)
    return pd.DataFrame(
        {
            "law": entry.name,
            "budget_flops": budgets,
            "a": a,
            "b": b,
            "params": params,
            "tokens": tokens,
            "tokens_per_param": tokens / params,
            "loss": entry.surface().loss(params, tokens) if surfaced else np.nan,
            "loss_unit": entry.loss_unit if surfaced else "",
            "params_over_ours": ratio,
            "wasted_percent": 100 * share,
            "wasted_flops": share * budgets,
            "counts_params": entry.params_convention,
            "params_counted": _same(entry.params_convention, ours_n),
            "counts_flops": entry.flops_convention,
            "flops_counted": _same(entry.flops_convention, ours_c),
            "over_its_largest_budget": budgets / entry.fitted_flops[1],
        }
    )


def _same(theirs: str, ours: str) -> str:
    if theirs == published.UNSTATED:
        return UNSTATED
    return SAME if theirs == ours else OTHER


def _losses(
    points: pd.DataFrame, surface: LossSurface, entries: Sequence[PublishedLaw], own_unit: str
) -> pd.DataFrame:
    """Log residuals of the study's runs under each loss surface.

    `sd` is what a factor on the loss, such as another tokenizer makes, leaves of them;
    `sd_after_constant` what one constant on it leaves, such as other data make. Levels of losses in
    another unit than `own_unit` are not compared: there only `sd` stands.
    """
    n, d, seen = (points[c].to_numpy(float) for c in ("params", "tokens", "loss"))
    laws: list[tuple[str, str, Law]] = [(OURS, own_unit, surface)]
    laws += [
        (e.name, e.loss_unit, e.surface())
        for e in entries
        if not isinstance(e.law, ComputePowerLaw)
    ]
    rows: list[dict[str, object]] = []
    for name, unit, law in laws:
        fitted = law.loss(n, d)
        residual = np.log(seen) - np.log(fitted)
        level = fitted if unit.startswith(own_unit) else np.full(n.shape, np.nan)
        constant = float(np.mean(seen - level))
        moved = level + constant
        after = np.std(np.log(seen) - np.log(moved)) if (moved > 0).all() else np.nan
        rows.append(
            {
                "law": name,
                "loss_unit": unit,
                "mean_log_residual": float((np.log(seen) - np.log(level)).mean()),
                "sd_log_residual": float(residual.std()),
                "constant": constant,
                "sd_after_constant": float(after),
            }
        )
    return pd.DataFrame(rows)


def _source(entry: PublishedLaw) -> dict[str, str]:
    return {
        "law": entry.name,
        "title": entry.title,
        "source": entry.source,
        "read_in": f"{entry.evidence} source",
        "params_are": entry.params,
        "tokens_are": entry.tokens,
        "flops_are": entry.flops,
        "note": entry.note,
    }


def _finding(tables: dict[str, pd.DataFrame], headline: float) -> Finding:
    laws = tables["laws"]
    at = laws[(laws["budget_flops"] == headline) & (laws["law"] != OURS)]
    ours = laws.loc[(laws["budget_flops"] == headline) & (laws["law"] == OURS), "params"].iloc[0]
    sized = at[np.isfinite(at["params"])]
    if sized.empty:
        raise FloplineError(
            "none of the published laws in `audit.compare` names a size at a budget: choose "
            "others, or leave the list empty for all that do."
        )
    nearest = sized.loc[sized["wasted_percent"].idxmin()]
    farthest = sized.loc[sized["wasted_percent"].idxmax()]
    alike = sized[(sized["params_counted"] == SAME) & (sized["flops_counted"] == SAME)]
    sentence = (
        f"At {flops_label(headline)} FLOPs {count(len(sized), 'published law')} put N between "
        f"{humanise(sized['params'].min())} and {humanise(sized['params'].max())}, this study at "
        f"{humanise(ours)}; if it is right, {_followed(nearest)} of that compute and "
        f"{_followed(farthest)}. "
        f"{len(alike)} of them count N and compute as this study does; levels of loss are not "
        "comparable between tokenizers and data, only their shape is."
    )
    numbers = {
        "laws": len(sized),
        "same_conventions": len(alike),
        "least_params": float(sized["params"].min()),
        "most_params": float(sized["params"].max()),
        "nearest": nearest["law"],
        "nearest_wasted_percent": float(nearest["wasted_percent"]),
        "farthest": farthest["law"],
        "farthest_wasted_percent": float(farthest["wasted_percent"]),
    }
    return Finding("published", Verdict.NOT_CHECKED, sentence, numbers, tables)


def _followed(row: pd.Series[Any]) -> str:
    wasted = significant(row["wasted_percent"], 2)
    return f"following {published.load(row['law']).title} wastes {wasted} %"
