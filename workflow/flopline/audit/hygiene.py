"""How the runs were trained: schedules, warm-up, learning rate, batch, and the noise of seeds.

A law of N and D takes every run for one trained as well as it could be. Warm-up too long for small
models alone moved the exponent of N_opt from .71 to .60, untuned rates and batches from .57 to .50
(Porian et al. 2024, arXiv 2406.19146); a schedule that does not end where the run does, by more
(Hoffmann et al. 2022, arXiv 2203.15556v1, App. B).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy.special import fdtrc, stdtrit

from flopline.audit.audit_options import AuditOptions
from flopline.audit.finding import Finding
from flopline.audit.hygiene_facts import (
    APART,
    VARIES,
    dependence,
    described,
    log_residuals,
    repeats,
    run_facts,
    seed_noise,
    trend,
)
from flopline.cleaning_options import CleaningOptions
from flopline.loss_units import NATS, short
from flopline.numbers import count, significant
from flopline.options import StudyOptions
from flopline.schema import KEPT, QUARANTINED
from flopline.surfaces.chinchilla import PARAMETERS, LossSurface
from flopline.verdict_scale import Verdict, warned_if, worst

SIGNIFICANT: Final = 0.05
"""Probability, over all settings tried (Bonferroni), from which residuals depend on one."""
WIDE_SIZES: Final = 4.0
"""Ratio of the largest to the smallest params from which one learning rate cannot suit all."""
STEEP: Final = 0.1
"""Exponent in params from which a warm-up share or a batch is said to move with size."""
MISFIT: Final = 1.5
"""Residuals of the law over the noise of seeds from which the law is said to miss something."""
NOT_LOGGED, CANNOT_TELL = "not logged", "runs cannot tell"
"""Why a check is not made: the logs do not hold what it needs, or the runs do not differ in it."""
SETTINGS: Final = {
    "lr_peak": "the peak learning rate",
    "batch_tokens": "the batch",
    "warmup_share": "the warm-up share",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its verdict, number and sentence, and `why_not` where it was not made."""

    check: str
    verdict: Verdict
    value: float
    limit: float
    sentence: str
    why_not: str = ""


def audit(
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    surface: LossSurface | None,
    study: StudyOptions | None = None,
    *,
    loss_unit: str = NATS,
) -> Finding:
    """Every check that the logs of one family allow; what they do not hold is said to be missing.

    `runs` are all runs of the family, with run, params, tokens, horizon_tokens, loss, seed, status
    and reason; `curves` the rows of the kept ones with run, step, tokens, lr; `surface` their
    parametric fit, None if there is none; the limits are options of the cleaning and the audit in
    `study`, and their losses in `loss_unit`. Tables: checks (check, verdict,
    value, limit, sentence, why_not), runs (what was read per run), trends (exponents of rate, batch
    and warm-up in params and tokens), dependence (t values of the residuals) and seeds (repeats).

    Returns the worst verdict of the checks that were made; `not checked` if none was.
    """
    study = study or StudyOptions()
    limits = study.of(AuditOptions)
    facts = run_facts(runs[runs["status"] == KEPT], curves)
    trends = {name: trend(facts, name) for name in SETTINGS}
    moved = {name: dependence(surface, facts, name) for name in SETTINGS} if surface else {}
    groups = repeats(facts)
    if surface is not None:
        facts["log_residual"] = log_residuals(surface, facts)
    checks = [
        _schedule(runs, facts, study.of(CleaningOptions).unfinished),
        _warmup(facts, limits.warmup_share),
        _warmup_trend(facts, trends["warmup_share"]),
        _decay(facts, limits.final_lr),
        _rate(facts, trends["lr_peak"]),
        _batch(facts, trends["batch_tokens"]),
        *_residuals(moved),
        _seeds(facts, groups, loss_unit),
    ]
    table = pd.DataFrame(checks)
    tables = {"checks": table, "runs": facts, "trends": _table(trends)}
    if moved:
        tables["dependence"] = _table(moved)
    if len(groups):
        tables["seeds"] = groups
    made = [check.verdict for check in checks]
    numbers = {"checks": len(checks)} | {
        verdict.replace(" ", "_"): made.count(verdict) for verdict in Verdict
    }
    return Finding("hygiene", worst(made), _sentence(checks), numbers, tables)


def _sentence(checks: Sequence[Check]) -> str:
    made = [check for check in checks if check.verdict is not Verdict.NOT_CHECKED]
    warned = [check for check in made if check.verdict is not Verdict.GOOD]
    sentence = (
        f"{len(made) - len(warned)} of {count(len(made), 'check')} of how the runs were trained "
        f"{'is' if len(made) - len(warned) == 1 else 'are'} good."
        if made
        else "How the runs were trained could not be checked."
    )
    if warned:
        sentence += f" Warned: {' '.join(check.sentence for check in warned)}"
    for why, words in (
        (CANNOT_TELL, "These runs cannot tell"),
        (NOT_LOGGED, "Not logged, so not checked"),
    ):
        names = [check.check for check in checks if check.why_not == why]
        sentence += f" {words}: {', '.join(names)}." if names else ""
    return sentence


def _schedule(runs: pd.DataFrame, facts: pd.DataFrame, unfinished: float) -> Check:
    share = described(facts, "horizon_share")
    set_aside = runs[runs["status"] == QUARANTINED]
    aside = int((set_aside["tokens"] / set_aside["horizon_tokens"] < unfinished).sum())
    which = "stops before is" if aside == 1 else "stop before are"
    apart = f"; {count(aside, 'run')} that {which} set aside" if aside else ""
    if not share["n"]:
        sentence = "No run states where its schedule ends, so whether it got there is not known."
        return Check("schedule", Verdict.NOT_CHECKED, np.nan, unfinished, sentence, NOT_LOGGED)
    short = int((facts["horizon_share"] < unfinished).sum())
    there = _runs(share["n"], "reach", "reaches")
    sentence = f"{there} {_percent(share['min'])} or more of the schedule{apart}."
    if short:
        sentence = (
            f"{_runs(short, 'stop', 'stops')} before {_percent(unfinished)} of the schedule, the "
            f"shortest ({share['run_of_min']}) at {_percent(share['min'])}{apart}."
        )
    return Check("schedule", warned_if(short), share["min"], unfinished, sentence)


def _warmup(facts: pd.DataFrame, limit: float) -> Check:
    share = described(facts, "warmup_share")
    if not share["n"]:
        return _no_schedule("warm-up", facts)
    long = int((facts["warmup_share"] > limit).sum())
    sentence = (
        f"Warm-up takes {_percent(share['median'])} of a run's tokens at the median, at most "
        f"{_percent(share['max'])} ({share['run_of_max']})."
    )
    if long:
        over = f"up over more than {_percent(limit)} of the tokens"
        sentence = f"{_runs(long, 'warm', 'warms')} {over}. {sentence}"
    return Check("warm-up", warned_if(long), share["max"], limit, sentence)


def _warmup_trend(facts: pd.DataFrame, slopes: Mapping[str, float]) -> Check:
    name = "warm-up against size"
    if not slopes["n"]:
        return _no_schedule(name, facts)
    slope, error = slopes["params"], slopes["params_se"]
    if slopes["spread"] <= VARIES:
        sentence = "The warm-up share is the same in all runs."
        return Check(name, Verdict.GOOD, 0.0, -STEEP, sentence)
    if not np.isfinite(slope):
        sentence = (
            "Too few runs, or sizes and tokens too much of one piece, for a trend of warm-up."
        )
        return Check(name, Verdict.NOT_CHECKED, np.nan, -STEEP, sentence, CANNOT_TELL)
    falls = slope < -STEEP and slope < -3 * error
    sentence = f"The warm-up share goes as N^{significant(slope, 2)} ± {significant(error, 1)}"
    sentence += ": it is longer for small models, which flatters large ones." if falls else "."
    return Check(name, warned_if(falls), slope, -STEEP, sentence)


def _decay(facts: pd.DataFrame, limit: float) -> Check:
    share = described(facts, "lr_final_share")
    if not share["n"]:
        return _no_schedule("decay", facts)
    high = int((facts["lr_final_share"] > limit).sum())
    if share["min"] > 0.95:
        sentence = (
            "The learning rate never falls: losses are those before a decay, in all runs alike."
        )
    elif high:
        ends = f"{count(high, 'run')} of {share['n']} end{'s' if high == 1 else ''}"
        sentence = (
            f"{ends} with a learning rate above {_percent(limit)} of the peak (the highest "
            f"{_percent(share['max'])}, {share['run_of_max']}), so that their loss is not that of "
            "a finished schedule."
        )
    else:
        sentence = f"Every learning rate falls to {_percent(share['max'])} of its peak or less."
    return Check("decay", warned_if(high), share["max"], limit, sentence)


def _rate(facts: pd.DataFrame, slopes: Mapping[str, float]) -> Check:
    name = "learning rate against size"
    if not slopes["n"]:
        return _no_rate(name)
    sizes = float(facts["params"].max() / facts["params"].min())
    if slopes["spread"] <= VARIES:
        wide = sizes > WIDE_SIZES
        sentence = (
            f"All runs have one peak learning rate, over sizes {significant(sizes, 2)} times apart"
        )
        sentence += ", so it is not tuned to each." if wide else "."
        return Check(name, warned_if(wide), 0.0, 0.0, sentence)
    return _moving(name, "The peak learning rate", slopes, rises_only=True)


def _batch(facts: pd.DataFrame, slopes: Mapping[str, float]) -> Check:
    name = "batch against size"
    if not slopes["n"]:
        sentence = "The logs hold no steps, so the batch is not known."
        return Check(name, Verdict.NOT_CHECKED, np.nan, STEEP, sentence, NOT_LOGGED)
    if slopes["spread"] <= VARIES:
        return Check(name, Verdict.GOOD, 0.0, STEEP, "All runs have one batch size.")
    return _moving(name, "The batch", slopes, rises_only=False)


def _moving(name: str, what: str, slopes: Mapping[str, float], rises_only: bool) -> Check:
    """A setting that differs between runs: how it goes with params and tokens."""
    slope, error = slopes["params"], slopes["params_se"]
    if not np.isfinite(slope):
        sentence = f"{what} differs between runs by a factor of {np.exp(slopes['spread']):.3g}."
        return Check(name, Verdict.NOT_CHECKED, np.nan, STEEP, sentence, CANNOT_TELL)
    size = slope if rises_only else abs(slope)
    steep = size > STEEP and size > 3 * error
    sentence = (
        f"{what} goes as N^{significant(slope, 2)} D^{significant(slopes['tokens'], 2)} "
        f"(R² {significant(slopes['r2'], 3)})"
    )
    if steep:
        sentence += ", so that its effect is counted as one of size"
        sentence += "; larger models want lower rates, not higher." if rises_only else "."
    else:
        sentence += "."
    return Check(name, warned_if(steep), slope, STEEP, sentence)


def residuals_against(words: str) -> str:
    """The name of the check whether the loss moves with a setting, which SETTINGS calls `words`."""
    return f"residuals against {words.removeprefix('the ')}"


def effect_percent(slope: float) -> str:
    """What doubling a setting does to the loss, where ln loss moves by `slope` per ln of it."""
    return significant(100 * float(np.expm1(slope * np.log(2))), 2)


def _residuals(moved: Mapping[str, Mapping[str, float]]) -> Iterator[Check]:
    """Whether the loss at given N and D moves with a setting; the limit is that of |t|."""
    tried = sum(np.isfinite(slopes["p"]) for slopes in moved.values())
    for setting, words in SETTINGS.items():
        name = residuals_against(words)
        slopes = moved.get(setting, {"n": 0})
        if not slopes["n"]:
            sentence = f"Without a parametric fit, or {words} in the logs, nothing can be said."
            yield Check(name, Verdict.NOT_CHECKED, np.nan, np.nan, sentence, NOT_LOGGED)
        elif np.isfinite(slopes["t"]):
            freedom = slopes["n"] - len(PARAMETERS) - 1
            limit = -float(stdtrit(freedom, SIGNIFICANT / tried / 2))
            depends = abs(slopes["t"]) > limit
            sentence = (
                f"At given N and D the loss moves by {effect_percent(slopes['slope'])} % per "
                f"doubling of {words} (t = {significant(slopes['t'], 2)})"
            )
            sentence += (
                ": the law takes what that costs for an effect of N or D." if depends else "."
            )
            yield Check(name, warned_if(depends), slopes["t"], limit, sentence)
        elif slopes["left"] < APART:
            sentence = (
                f"Params and tokens fix {words} (to {_percent(1 - slopes['left'], 3)} of its "
                "variance), so what it does to the loss cannot be told from what they do."
            )
            yield Check(name, Verdict.NOT_CHECKED, np.nan, np.nan, sentence, CANNOT_TELL)
        elif slopes["spread"] <= VARIES:
            sentence = f"{words.capitalize()} is the same in all runs."
            yield Check(name, Verdict.GOOD, np.nan, np.nan, sentence)
        else:
            sentence = f"Too few runs state {words} to tell what it does to the loss."
            yield Check(name, Verdict.NOT_CHECKED, np.nan, np.nan, sentence, CANNOT_TELL)


def _seeds(facts: pd.DataFrame, groups: pd.DataFrame, unit: str) -> Check:
    noise, freedom = seed_noise(groups)
    if not freedom:
        sentence = (
            "No run is repeated with another seed, so the noise under the residuals is unknown."
        )
        return Check("seeds", Verdict.NOT_CHECKED, np.nan, MISFIT, sentence, NOT_LOGGED)
    repeated = f"{count(int(groups['runs'].sum()), 'run')} in {count(len(groups), 'group')}"
    sentence = f"Seeds alone scatter the loss by {_percent(noise)} ({repeated} of repeats"
    sentence += (
        f", {_percent(groups['sd_ln_loss'].min())} to {_percent(groups['sd_ln_loss'].max())}"
    )
    low, high = (significant(f(groups["range_loss"]), 2) for f in (min, max))
    sentence += f"; the losses of a group lie {low} to {high} {short(unit)} apart)"
    left = len(facts) - len(PARAMETERS)
    if "log_residual" not in facts or left < 1:
        return Check("seeds", Verdict.GOOD, np.nan, MISFIT, f"{sentence}.")
    residual = facts["log_residual"].to_numpy()
    sd = float(np.sqrt(residual @ residual / left))
    ratio = sd / noise if noise > 0 else np.inf
    chance = float(fdtrc(left, freedom, ratio**2))
    misses = ratio > MISFIT and chance < SIGNIFICANT
    sentence += (
        f", the residuals of the parametric law {_percent(sd)}, {significant(ratio, 2)} times"
    )
    sentence += (
        " as much: the law, or the way runs were trained, misses something." if misses else "."
    )
    return Check("seeds", warned_if(misses), ratio, MISFIT, sentence)


def _no_rate(name: str) -> Check:
    sentence = "The logs hold no learning rate."
    return Check(name, Verdict.NOT_CHECKED, np.nan, np.nan, sentence, NOT_LOGGED)


def _no_schedule(name: str, facts: pd.DataFrame) -> Check:
    """As `_no_rate`, where the logs may hold a rate that is no schedule."""
    if not facts["lr_peak"].notna().any():
        return _no_rate(name)
    sentence = "The logs hold too few learning rates of a run to show its schedule."
    return Check(name, Verdict.NOT_CHECKED, np.nan, np.nan, sentence, NOT_LOGGED)


def _runs(n: int, several: str, one: str) -> str:
    return f"{count(n, 'run')} {one if n == 1 else several}"


def _percent(share: float, digits: int = 2) -> str:
    percent = 100 * share
    no_digits = abs(percent) >= 10**digits - 0.5
    return f"{percent:.0f} %" if no_digits else f"{significant(percent, digits)} %"


def _table(rows: Mapping[str, Mapping[str, object]]) -> pd.DataFrame:
    return pd.DataFrame([{"setting": name, **row} for name, row in rows.items()])
