"""Approach 3: L(N, D) = E + A/N^alpha + B/D^beta fitted to all points at once.

Hoffmann et al. 2022 (arXiv 2203.15556v1), section 3.3 and App. D.2; what the optimiser must prove
follows Besiroglu et al. 2024 (arXiv 2404.10102), who trace the paper's estimate to an unfinished
one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NotRequired, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flopline import progress
from flopline.documents import MisfitJson
from flopline.errors import FloplineError
from flopline.laws.common.bootstrap import (
    PAIRS,
    WILD,
    Counts,
    chosen,
    new_run_errors,
    run_counts,
    run_weights,
)
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.counting import counted
from flopline.laws.common.fit_result import (
    CONVERGED,
    FAILED,
    FEWEST_DRAWS,
    WARNING,
    Estimate,
    Estimator,
    FitResult,
    estimator_table,
    targets_of,
)
from flopline.laws.parametric import form_variants, wild
from flopline.laws.parametric.misfit import Misfit, misfit
from flopline.laws.parametric.outlying import FarOffJson, Outlying, far_off
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.options import changed
from flopline.solvers import hoffmann_grid
from flopline.solvers.descent import Optimum
from flopline.solvers.form_fits import ResampleWeights
from flopline.solvers.minimisation import (
    ONCE,
    condition_number,
    minimise,
    minimise_resamples,
)
from flopline.solvers.objective_choice import OBJECTIVES, choose
from flopline.solvers.objectives import log_huber
from flopline.solvers.problem import Floats, Ints, Problem, blocks_of
from flopline.solvers.surface_family import CHINCHILLA, NO_TERM, UNKNOWNS, Form, unknowns_of
from flopline.surfaces.chinchilla import PARAMETERS, POWER, LossSurface

SOLVERS = {
    "varpro_newton": "variable projection and Newton",
    "hoffmann_grid": "L-BFGS from the 4,500 starts of Hoffmann et al. 2022",
}
DERIVED = ("a", "b", "G")
REPORTED = (*PARAMETERS, *DERIVED)
ALONE = ParametricOptions(variant_draws=None)
"""What a fit without options is: without its variants, which take four times as long."""

MIN_POINTS = 6
"""Distinct (N, D) points, and runs: one more than the parameters, so that a fit can be wrong."""
MIN_LEVELS = 3
"""Distinct sizes, and token counts: fewer cannot tell E from A and alpha, or from B and beta."""
RAY = 0.02
"""Standard deviation of ln D about its line on ln N below which N and D are one variable."""
NARROW = 0.35
"""The same spread below which N_opt is called poorly identified: around it the bootstrap sd of
ln N_opt(1e21) is 0.1 for losses known to 0.2 %, 0.45 for 0.5 % (simulated: 45 runs over two
decades of params on the surface of Besiroglu et al. 2024)."""
ILL_CONDITIONED = 1e5
"""Condition number of the scaled J'J above which parameters trade off freely: 1e3 for the
Chinchilla data, 2e5 to 5e5 for simulated runs within 5 % of a ray D = kN."""
TOP_SHARE = 1 / 6
"""Share of the runs, those of largest compute, at which the surface must hold to be extrapolated:
from there every forecast starts."""
MIN_TOP_RUNS = 5
TOO_EARLY = (0.005, 3.0)
"""Difference of early losses [ln loss], and that in standard errors, beyond which it is said."""
LEAST_SQUARES = 1e3
"""A delta beyond every log residual: Huber's loss is then half the square."""

MOST = 1.0 - FEWEST_DRAWS
"""Share of the draws above which those without a law leave no interval."""

MAIN_SHARE = 0.2
"""Share of a fit's time, about, before its variants: 64 or 2,500 runs, the default resamples."""
PILOT = 0.02
"""Share of a fit's time, about, that the choice of a delta takes."""

_COLUMNS = ("params", "tokens", "flops", "loss")
_OPTIONAL = ("unique_tokens",)


class ParametricCertificate(TypedDict):
    """What certifies the optimum; `count` and `far_off` stand there if there is something."""

    converged: bool
    objective: float
    scaled_gradient: float
    iterations: int
    starts: int
    starts_agree: int
    bounds: list[str]
    condition: float
    token_spread: float
    huber_delta: float
    residual_sd: float
    top_runs_residual: float
    top_runs_residual_z: float
    flops_over_6nd: float
    misfit: NotRequired[MisfitJson]
    draws_unconverged: int
    draws_disagreed: int
    draws_without_optimum: int
    draws: NotRequired[int]
    draws_left_out: NotRequired[int]
    count: NotRequired[str]
    far_off: NotRequired[FarOffJson]
    early_residual: NotRequired[float]
    early_residual_z: NotRequired[float]


@dataclass(frozen=True, slots=True)
class _Fit:
    """The optimum of all points and of the resamples, before it is judged."""

    best: Optimum
    starts: int
    starts_agree: int
    draws: Optimum
    disagreed: int


def fit(
    points: pd.DataFrame,
    targets_flops: Sequence[float],
    options: ParametricOptions | None = None,
    *,
    bootstrap: BootstrapOptions | None = None,
    family: str = "",
    judged: bool = False,
    form: Form[Any] = CHINCHILLA,
    **changes: Any,
) -> FitResult:
    """Fit the surface to `points`, with a bootstrap over runs, and state it at target budgets.

    `points` has columns run, params [weights], tokens, flops, loss [nats per token] and maybe
    unique_tokens, for the variant of repeated data; several rows of one run are resampled together.
    `targets_flops` are budgets C [FLOPs], spent as C = 6ND or, where the runs' FLOPs are a few
    percent off that, by their own law of C / 6ND (laws/common/counting.py).
    `options` are ALONE if not given. The solver hoffmann_grid takes minutes; its resamples start
    from the optimum of all points only. The bootstrap draws runs, pairs by name, unless it is told
    otherwise; wild takes an objective on log loss. The table `estimators` has each other objective
    and form (form_variants.variants) with `variant_draws` resamples, always by pairs; if `judged`
    only the forms on the held-out ladder, without resamples.
    Another `form` than Chinchilla's is fitted with the same care and stated by the same names, and
    k where it has one; it has no table of other objectives and forms.
    `changes` are single options of either group, as `objective="log_lad"` or `draws=200`.
    Resamples that leave too few distinct points, do not converge or lack an optimum hold NaN and
    are counted in the certificate.

    Raises FloplineError for unusable points, and for options that there are not, that do not fit
    or that do not go together.
    """
    options, bootstrap = changed(options or ALONE, bootstrap or BootstrapOptions(), changes)
    table = _checked(points, family, form)
    solver, variant_draws = options.solver, options.variant_draws
    if form is not CHINCHILLA:
        solver, variant_draws = "varpro_newton", None
    draws, seed = bootstrap.draws, bootstrap.seed
    params, tokens, _, loss = (table[c].to_numpy(float) for c in _COLUMNS)
    count = counted(table, draws, seed, "parametric", family)
    with progress.part(PILOT, "main fit"):
        problem = problem_of(table, options)
    minimised = problem.objective
    if solver == "hoffmann_grid" and minimised.name != "log_huber":
        raise FloplineError(
            f"solver hoffmann_grid minimises log_huber, not {minimised.name}: set "
            "parametric.solver to varpro_newton."
        )
    method, runs = chosen(bootstrap.method, PAIRS), table["run"].tolist()
    if method != PAIRS and minimised.scale != "log":
        raise FloplineError(
            f"bootstrap.method {method} resamples log residuals, but parametric.objective is "
            f"{minimised.name}: choose pairs or an objective on log loss."
        )
    counts = run_counts(runs, draws, seed) if method == PAIRS else _once(draws, len(table))
    several = token_spread(params, tokens) >= RAY
    solved = _thick_enough(params, tokens, counts, form) & several

    checks: list[Misfit] = []

    def redrawn(best: Floats) -> _Resamples:
        """The resamples that are solved, from the optimum `best` of all points."""
        if not checks:
            residual = -wild.residuals_of(problem, best, form)
            law, held = form.law(problem, best), form.on_bounds(best)
            checks.append(misfit(law, table.assign(log_residual=residual), held))
        flipped = None
        if method != PAIRS:
            flipped = wild.resampled_losses(problem, best, runs, draws, seed, form)
        # On the ladder what the law misses beyond its draws is what is looked for.
        widened = not judged and minimised.scale == "log"
        moved = partial(checks[0].errors, draws, seed) if widened else None
        return _Resamples(problem, counts, np.flatnonzero(solved), flipped, moved)

    stand_in = ""
    with progress.part(1.0 if variant_draws is None else MAIN_SHARE, "main fit"):
        optima = _solve(problem, form, int(solved.sum()), solver, redrawn)
        surfaces = _surfaces(problem, form, optima.draws, solved, solver)
        lost = _lost(surfaces)
        if method == PAIRS and minimised.scale == "log" and several and lost > MOST * draws:
            # Those that are left hold other studies than the one at hand: keep every run.
            method, counts = WILD, _once(draws, len(table))
            solved = np.ones(draws, dtype=bool)
            optima = _drawn_again(optima, redrawn(optima.best.unknowns[0]), form, solver)
            surfaces = _surfaces(problem, form, optima.draws, solved, solver)
            stand_in = (
                f"{lost} of {draws} resamples of {table['run'].nunique()} runs had too few points "
                "or no optimum, so every run is kept and residuals are resampled instead"
            )

    surface = form.as_stated(problem, optima.best.unknowns[0])
    if count is not None:
        surface = replace(surface, count=count.point)
        surfaces = replace(surfaces, count=count.drawn)
    bounds = form.on_bounds(optima.best.unknowns[0])
    at_point, values = (_stated(s, targets_flops) for s in (surface, surfaces))
    parameters = {
        name: Estimate.of(float(at_point[name]), values[name], name in bounds) for name in values
    }
    predicted = surface.loss(params, tokens)
    table = table.assign(predicted=predicted, log_residual=np.log(loss) - np.log(predicted))
    at_ends = table["log_residual"].to_numpy()[np.append(_run_starts(table)[1:], len(table)) - 1]
    checked = checks[0]
    targets, columns = targets_of(
        targets_flops,
        _at(surface, targets_flops),
        _at(surfaces, targets_flops),
        new_run_errors(at_ends, len(form.free), draws, seed) + checked.of_new_run(draws, seed),
    )
    left_out = int(np.isnan(values["a"] * values["G"]).sum())
    certificate = _certificate(problem, form, optima, table, bounds)
    certificate["objective"] = minimised.value(minimised.residual(predicted, loss))
    certificate["misfit"] = checked.to_json()
    certificate["draws"] = draws
    certificate["draws_left_out"] = left_out
    if count is not None:
        certificate["count"] = count.sentence
    outlying = _outlying(problem, form, table, surface, targets_flops)
    if outlying is not None:
        certificate["far_off"] = outlying.to_json()
    early = _early_residual(table)
    if np.isfinite(early).all():
        certificate["early_residual"], certificate["early_residual_z"] = early
    status, message = _verdict(certificate, solver, stand_in, outlying, checked)
    if count is not None:
        message += f" {count.sentence[0].upper()}{count.sentence[1:]}."
    label = f"{OBJECTIVES[minimised.name]}, {SOLVERS[solver]}"
    name = minimised.name
    if form is not CHINCHILLA:
        name, label = form.name, f"{form.label}; {label}"
    main = Estimator(name, label, status, message, parameters, targets)
    others: list[form_variants.Variant] = []
    if variant_draws is not None and status != FAILED:
        again = run_weights(table["run"].tolist(), 0 if judged else variant_draws, seed)
        recounted = count and counted(table, len(again), seed, "parametric", family)
        resamples = ResampleWeights(again, _thick_enough(params, tokens, again))
        others = form_variants.variants(
            problem,
            targets_flops,
            surface,
            resamples,
            lambda law, residual, held, covariates: [
                *_poor_design(certificate["token_spread"]),
                *misfit(law, table.assign(log_residual=residual), held, **covariates).clauses(),
            ],
            table["unique_tokens"].to_numpy() if "unique_tokens" in table else None,
            count=recounted,
            judged=judged,
        )
    settings = options.plain() | bootstrap.plain() | {"method": method, "form": form.name}
    if form is not CHINCHILLA:
        settings |= {"solver": solver, "variant_draws": None}
    if "huber" in minimised.name:
        settings["huber_delta"] = minimised.delta
    else:
        del settings["huber_delta"]
    return FitResult(
        law="parametric",
        estimator=label,
        status=status,
        message=message,
        n_runs=table["run"].nunique(),
        n_points=len(table),
        settings=settings,
        parameters=parameters,
        targets=targets,
        certificate=certificate,
        draws=pd.DataFrame({"draw": np.arange(draws), **values, **columns}),
        tables={
            "estimators": estimator_table([main, *(other.estimator for other in others)]),
            "points": table,
            "variants": form_variants.variant_table(others),
        },
    )


def problem_of(points: pd.DataFrame, options: ParametricOptions) -> Problem:
    """The points as the solvers take them, with what the options minimise over them.

    `points` has columns params [weights], tokens, loss [nats per token]. Raises FloplineError for
    a delta that is not positive and finite.
    """
    params, tokens, loss = (points[c].to_numpy(float) for c in ("params", "tokens", "loss"))
    problem = Problem.of(params, tokens, loss, log_huber())
    return replace(problem, objective=choose(options.objective, options.huber_delta, problem))


def refitted(
    problem: Problem, weights: Floats, surface: LossSurface, form: Form[Any] = CHINCHILLA
) -> Optimum:
    """The optima for the rows of `weights` (rows, points), from that of all points on."""
    return minimise_resamples(problem, form, weights, unknowns_of(problem, surface))[0]


def fewest_points(form: Form[Any]) -> int:
    """Distinct (N, D) points, and runs, that a form needs: so that its fit can be wrong."""
    return max(MIN_POINTS, len(form.free) + 1)


def _checked(points: pd.DataFrame, family: str, form: Form[Any] = CHINCHILLA) -> pd.DataFrame:
    """The columns of the fit in their fixed order of rows, or FloplineError."""
    where = f"parametric fit of family {family!r}" if family else "parametric fit"
    columns = (*_COLUMNS, *(c for c in _OPTIONAL if c in points))
    values_of = {c: points[c].to_numpy(dtype=float, na_value=np.nan) for c in columns}
    names = points["run"].astype(str)
    number = pd.factorize(names, sort=True)[0]
    order = ("tokens", "params", "loss", "flops", *columns[len(_COLUMNS) :])
    rows = np.lexsort([number, *(values_of[c] for c in order)][::-1])
    values_of = {c: values[rows] for c, values in values_of.items()}
    table = pd.DataFrame({"run": names.array.take(rows), **values_of})
    for column, values in values_of.items():
        bad = ~(np.isfinite(values) & (values > 0))
        if bad.any():
            row = table[bad].iloc[0]
            raise FloplineError(
                f"{where}: run {row['run']!r} has {column} = {row[column]}, which is not a "
                f"positive finite number: correct it or quarantine the run."
            )
    runs = int(number.max(initial=-1)) + 1
    distinct = np.unique(values_of["params"] + 1j * values_of["tokens"]).size
    least = fewest_points(form)
    if runs < least or distinct < least:
        raise FloplineError(
            f"{where} needs at least {least} runs at {least} distinct (params, tokens), "
            f"but has {runs} runs at {distinct}: add runs or take parametric out of `laws` in the "
            f"study file."
        )
    for column in ("params", "tokens"):
        levels = np.unique(values_of[column]).size
        if levels < MIN_LEVELS:
            raise FloplineError(
                f"{where} needs at least {MIN_LEVELS} different values of {column}, but has "
                f"{levels} ({', '.join(f'{v:.4g}' for v in sorted(set(table[column])))}): add runs "
                f"with other {column} or take parametric out of `laws` in the study file."
            )
    return table


def _thick_enough(
    params: Floats, tokens: Floats, weights: Floats | Counts, form: Form[Any] = CHINCHILLA
) -> NDArray[np.bool_]:
    """Resamples that keep enough distinct points, sizes and token counts to be fitted."""
    points = np.unique(params + 1j * tokens, return_inverse=True)[1]
    enough = np.ones(weights.shape[0], dtype=bool)
    for labels, least in (
        (points, fewest_points(form)),
        (params, MIN_LEVELS),
        (tokens, MIN_LEVELS),
    ):
        codes = np.unique(labels, return_inverse=True)[1].ravel()
        order = np.argsort(codes, kind="stable")
        first = np.flatnonzero(np.diff(codes[order], prepend=-1))
        kept = np.maximum.reduceat(weights[:, order], first, axis=1) > 0
        enough &= kept.sum(axis=1) >= least
    return enough


def _once(draws: int, points: int) -> Counts:
    """Every point once in every draw, in no memory."""
    return np.broadcast_to(np.uint8(1), (draws, points))


@dataclass(frozen=True, slots=True)
class _Resamples:
    """Resamples that are solved, as numbers only block by block: how often each point counts in
    each, `counts` (draws, points), and which of them, `solved`.

    Residuals of the wild bootstrap are `flipped`. Where the form does not fit, each draw is
    `moved`: every stretch of compute by an error of its own, as large as those that it misses them
    by.
    """

    problem: Problem
    counts: Counts
    solved: Ints
    flipped: wild.Flipped | None
    moved: Callable[[Ints], Floats | None] | None

    def blocks(self) -> list[Ints]:
        """The draws that are solved, block by block; there is one at least."""
        blocks = blocks_of(self.solved.size, self.problem.x.size) or [slice(0)]
        return [self.solved[block] for block in blocks]

    def of(self, draws: Ints) -> tuple[Problem, Floats]:
        """The problem of some draws, and their weights."""
        problem = self.problem if self.flipped is None else self.flipped.of(draws)
        moved = None if self.moved is None else self.moved(draws)
        if moved is not None:
            problem = replace(problem, target=problem.target + moved)
        return problem, self.counts[draws].astype(float)


def _solve(
    problem: Problem,
    form: Form[Any],
    draws: int,
    solver: str,
    redrawn: Callable[[Floats], _Resamples],
) -> _Fit:
    """The optimum of all points and of every resample, by the study's solver.

    Returns:
        The fit of all points with its starts, how many of them agree, and the fits of the draws.
    """
    equal = np.ones(problem.x.size)
    if solver == "hoffmann_grid":
        grid = hoffmann_grid.grid()
        with progress.part(len(grid) / (len(grid) + draws)):
            best, starts, agreeing = hoffmann_grid.minimise(problem, equal, grid)
    else:
        with progress.part(ONCE):
            best, starts, agreeing = minimise(problem, form, equal)
    near = best.unknowns[0]
    return _Fit(best, starts, agreeing, *_of_resamples(redrawn(near), form, near, solver))


def _of_resamples(
    resamples: _Resamples, form: Form[Any], near: Floats, solver: str
) -> tuple[Optimum, int]:
    """The optima of the resamples, and of how many the starts end apart."""
    parts, disagreed = [], 0
    for draws in progress.over(resamples.blocks()):
        problem, weights = resamples.of(draws)
        if solver == "hoffmann_grid":
            parts.append(hoffmann_grid.minimise_resamples(problem, weights, near))
        else:
            optima, apart = minimise_resamples(problem, form, weights, near)
            parts.append(optima)
            disagreed += int(apart.sum())
    return Optimum.joined(parts), disagreed


def _drawn_again(fit: _Fit, resamples: _Resamples, form: Form[Any], solver: str) -> _Fit:
    """The same optimum of all points, with the draws of other `resamples`.

    Returns:
        The fit with new draws; the optimum, its starts and their agreement are kept.
    """
    draws, disagreed = _of_resamples(resamples, form, fit.best.unknowns[0], solver)
    return replace(fit, draws=draws, disagreed=disagreed)


def _lost(surfaces: LossSurface) -> int:
    """How many draws have no law."""
    return int(np.isnan(np.asarray(surfaces.a) * np.asarray(surfaces.G)).sum())


def _surfaces(
    problem: Problem, form: Form[Any], optima: Optimum, solved: NDArray[np.bool_], solver: str
) -> LossSurface:
    """One surface per draw, NaN where none can be trusted.

    L-BFGS with SciPy's tolerances never converges by our measure; its draws stand as they are.

    Returns:
        The surface with one entry a draw in the form's published unknowns.
    """
    trusted = optima.converged | (solver == "hoffmann_grid")
    unknowns = np.full((solved.size, len(UNKNOWNS)), np.nan)
    unknowns[solved] = np.where(trusted[:, None], optima.unknowns, np.nan)
    return form.as_stated(problem, unknowns)


def _stated(surface: LossSurface, targets_flops: Sequence[float]) -> dict[str, Floats]:
    """The parameters as they are reported; a and b of a count are those at the first target."""
    power = () if surface.straight else (POWER,)
    names = (*PARAMETERS, *power, *DERIVED)
    values = {name: np.asarray(getattr(surface, name), float) for name in names}
    if surface.count is None:
        return values
    a, b = surface.exponents_at(targets_flops[0])
    count = {name: np.asarray(v, float) for name, v in surface.count.parameters().items()}
    return values | {"a": a, "b": b} | count


def _at(surface: LossSurface, flops: Sequence[float]) -> dict[str, Floats]:
    budgets = np.asarray(flops, dtype=float)
    return {
        "params": surface.params_opt(budgets),
        "tokens": surface.tokens_opt(budgets),
        "loss": surface.loss_opt(budgets),
    }


def token_spread(params: Floats, tokens: Floats) -> float:
    """Standard deviation of ln D about its least-squares line on ln N; 0 for one ray D = k N^p."""
    x, y = np.log(params) - np.log(params).mean(), np.log(tokens) - np.log(tokens).mean()
    slope = (x @ y) / (x @ x) if x.any() else 0.0
    return float(np.std(y - slope * x))


def _run_starts(table: pd.DataFrame) -> NDArray[np.intp]:
    """Where the rows of each run begin in `table`, which is sorted by run."""
    return np.flatnonzero(np.diff(pd.factorize(table["run"])[0], prepend=-1))


def _top_residual(table: pd.DataFrame) -> tuple[float, float]:
    """Mean log residual of the runs of largest compute, one value per run, and its z score."""
    starts = _run_starts(table)
    flops = np.maximum.reduceat(table["flops"].to_numpy(), starts)
    rows = np.diff(starts, append=len(table))
    residual = np.add.reduceat(table["log_residual"].to_numpy(), starts) / rows
    count = max(MIN_TOP_RUNS, round(TOP_SHARE * flops.size))
    top = residual[np.argsort(flops, kind="stable")][-count:]
    mean, error = float(top.mean()), float(top.std(ddof=1) / np.sqrt(top.size))
    return mean, mean / error if error > 0 else 0.0


EARLY = 0.2
"""Share of a run's tokens before which its losses are early: warm-up and the fall from that of a
guess end before it, where the rate is constant afterwards."""


def _early_residual(table: pd.DataFrame) -> tuple[float, float]:
    """By how much early losses of a run lie above its later ones, over the law, and the z score.

    One value per run, the difference of mean log residuals; NaN where runs have no early losses.
    """
    starts, tokens = _run_starts(table), table["tokens"].to_numpy()
    number = np.repeat(np.arange(starts.size), np.diff(starts, append=len(table)))
    early = tokens < EARLY * np.maximum.reduceat(tokens, starts)[number]
    if not early.any():
        return np.nan, np.nan
    first, later = (
        table["log_residual"][rows].groupby(number[rows]).mean() for rows in (early, ~early)
    )
    above = (first - later).dropna().to_numpy()
    if above.size < MIN_TOP_RUNS:
        return np.nan, np.nan
    error = float(above.std(ddof=1) / np.sqrt(above.size))
    return float(above.mean()), float(above.mean()) / error if error > 0 else 0.0


def _too_early(mean: float, z: float) -> list[str]:
    """A warning about the difference of early losses and its z score."""
    if not (mean > TOO_EARLY[0] and z > TOO_EARLY[1]):
        return []
    return [
        f"losses of the first {EARLY:.0%} of the runs' tokens lie {mean:.1%} farther above the "
        f"fitted surface than later ones ({z:.1f} standard errors), as in warm-up, and draw it up: "
        f"leave them out by `parametric: {{checkpoints_from: {EARLY:g}}}`"
    ]


def _poor_design(spread: float) -> list[str]:
    """A warning about the design of the runs, told by `token_spread`."""
    if spread >= NARROW:
        return []
    return [
        "tokens follow from params in nearly every run (ln D leaves its line on ln N by "
        f"{spread:.2g}), so N_opt is poorly identified"
    ]


def _outlying(
    problem: Problem,
    form: Form[Any],
    table: pd.DataFrame,
    surface: LossSurface,
    targets_flops: Sequence[float],
) -> Outlying | None:
    """The runs far off the surface with N at the first target without them, None without any.

    Returns:
        The outlying runs and both sizes, or None.
    """
    far = far_off(table, len(form.free))
    kept = ~table["run"].isin(far.index).to_numpy()
    params, tokens = (table[c].to_numpy() for c in ("params", "tokens"))
    weights = kept[None].astype(float)
    thick = _thick_enough(params, tokens, weights, form)[0]
    if far.empty or not len(targets_flops) or not thick:
        return None
    refit = refitted(problem, weights, surface, form)
    again = replace(form.as_stated(problem, refit.unknowns[0]), count=surface.count)
    flops = float(targets_flops[0])
    best, without = (float(np.ravel(s.params_opt([flops]))[0]) for s in (surface, again))
    if not (refit.converged[0] and np.isfinite([best, without]).all()):
        return None
    return Outlying([str(run) for run in far.index], float(far.iloc[0]), flops, best, without)


def _certificate(
    problem: Problem, form: Form[Any], fit: _Fit, table: pd.DataFrame, bounds: list[str]
) -> ParametricCertificate:
    """What shows that a fit has converged and what it leaves.

    Returns:
        Gradient, iterations, starts, bounds, residuals; see ParametricCertificate.
    """
    residual = table["log_residual"].to_numpy(float)
    top_mean, top_z = _top_residual(table)
    ratio = table["flops"] / (6.0 * table["params"] * table["tokens"])
    amplitudes = fit.draws.unknowns[:, 1:3]
    return {
        "converged": bool(fit.best.converged[0]),
        "objective": float(fit.best.objective[0]),
        "scaled_gradient": float(fit.best.scaled_gradient[0]),
        "iterations": int(fit.best.iterations[0]),
        "starts": fit.starts,
        "starts_agree": fit.starts_agree,
        "bounds": bounds,
        "condition": condition_number(problem, form, np.ones_like(residual), fit.best.unknowns[0]),
        "token_spread": token_spread(table["params"].to_numpy(), table["tokens"].to_numpy()),
        "huber_delta": min(problem.delta, LEAST_SQUARES),
        "residual_sd": float(1.4826 * np.median(np.abs(residual - np.median(residual)))),
        "top_runs_residual": top_mean,
        "top_runs_residual_z": top_z,
        "flops_over_6nd": float(ratio.median()),
        "draws_unconverged": int((~fit.draws.converged).sum()),
        "draws_disagreed": fit.disagreed,
        "draws_without_optimum": int((amplitudes <= NO_TERM).any(axis=1).sum()),
    }


def _verdict(
    certificate: ParametricCertificate,
    solver: str,
    stand_in: str,
    outlying: Outlying | None,
    checked: Misfit,
) -> tuple[str, str]:
    """Status and a plain message: what forbids use first, then all warnings.

    `stand_in` says why the draws are not of the kind that was asked for, empty if they are.

    Returns:
        CONVERGED, WARNING or FAILED, and one message.
    """
    c = certificate
    gradient = f"the scaled gradient is {c['scaled_gradient']:.1e}"
    if not c["converged"] and solver == "varpro_newton":
        return FAILED, f"The optimiser did not reach an optimum ({gradient})."
    if c["token_spread"] < RAY:
        return FAILED, (
            "Tokens follow from params in every run (ln D leaves its line on ln N by "
            f"{c['token_spread']:.2g}), so the two terms cannot be told apart and N_opt is not "
            "identified: add runs that train the same params on other token counts."
        )
    vanished = [name for name in ("A", "B") if name in c["bounds"]]
    if len(vanished) == 2:
        return FAILED, (
            "A and B are 0: these losses fall with neither params nor tokens, so there is no best "
            "split: check the losses."
        )
    if vanished:
        axis, way, sizes = {
            "A": ("params", "rises", "smaller"),
            "B": ("tokens", "falls", "larger"),
        }[vanished[0]]
        return FAILED, (
            f"{vanished[0]} is 0: these losses do not fall with {axis}, so at every budget the "
            f"loss {way} with size and there is no best split: check the losses, or add runs of "
            f"{sizes} sizes."
        )
    cautions = []
    if not c["converged"]:
        cautions.append(f"L-BFGS stopped short of the optimum ({gradient})")
    if c["starts_agree"] < 2:
        cautions.append(f"only one of {c['starts']} starts reached the lowest objective")
    if c["bounds"]:
        cautions.append(f"{' and '.join(c['bounds'])} on the bound of the search")
    cautions += _poor_design(c["token_spread"])
    if c["condition"] > ILL_CONDITIONED:
        cautions.append(f"parameters trade off freely (condition number {c['condition']:.1e})")
    cautions += _too_early(c.get("early_residual", np.nan), c.get("early_residual_z", np.nan))
    cautions += checked.clauses()
    if outlying is not None and outlying.matters:
        cautions.append(outlying.sentence())
    cautions += [stand_in] * bool(stand_in)
    if c["draws_left_out"] > form_variants.MAX_LEFT_OUT * c["draws"]:
        lost = f"{c['draws_left_out']} of {c['draws']} resamples had "
        lost += "no optimum" if stand_in else "too few points or no optimum"
        few = c["draws_left_out"] > MOST * c["draws"]
        cautions.append(
            f"{lost}, so there are no intervals"
            if few
            else f"{lost} and are left out of the intervals"
        )
    if cautions:
        return WARNING, "Warning: " + "; ".join(cautions) + "."
    return CONVERGED, f"{c['starts_agree']} of {c['starts']} starts reach the same optimum."
