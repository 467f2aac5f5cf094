"""All audits of one family, from what its fits left behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pandas as pd

from flopline import progress
from flopline.audit import (
    bias,
    form_choice,
    held_out,
    hygiene,
    identifiability,
    inference,
    ladder,
    next_run,
    published_comparison,
    regret,
    sensitivity,
)
from flopline.audit.audit_options import AuditOptions
from flopline.audit.finding import Finding, draws_of, surface_of
from flopline.audit.judges import SURFACE, VALLEYS
from flopline.audit.law_of_study import law_of_study
from flopline.errors import FloplineError
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.common.fit_result import FAILED
from flopline.laws.parametric import parametric_fit
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.laws.parametric.stated_form import form_of, form_sentence
from flopline.laws.spec import ESTIMATORS, surface_law
from flopline.loss_units import NATS
from flopline.options import StudyOptions
from flopline.results import FamilyResults, LawResults
from flopline.schema import HELD_OUT
from flopline.solvers.surface_family import CHINCHILLA, Form
from flopline.surfaces.chinchilla import LossSurface
from flopline.verdict_scale import Verdict

AUDITS: Final = (
    "ladder",
    "form",
    "held_out",
    "identifiability",
    "regret",
    "bias",
    "sensitivity",
    "next_run",
    "inference",
    "hygiene",
    "published",
)
"""The audits in the order in which a reader wants them."""
OF_FORM: Final = {*AUDITS} - {"ladder", "form", "held_out", "hygiene"}
"""The audits that are of the surface of the study's form, and say which that is."""
WORK: Final = {"ladder": 80.0, "sensitivity": 5.0}
"""Time of the audits that take longer than the others, in that of one of these: for 64 runs the
ladder takes 0.9 of all, for 2,500 more."""
OWN_FIT: Final = 0.05
"""Share of the time, about, of the parametric fit that the audits make where the study has none."""


@dataclass(frozen=True, slots=True)
class FamilyRuns:
    """What is audited of one family beside its fits; what a study does not have is None or empty.

    `points` are the study's: run, params, tokens, flops, loss, and budget_flops, params_total,
    params_nonembedding where known. `runs` are all runs of the family and `curves` the logged rows
    of the kept ones, as clean/ holds them. `fitted_to` is what the laws were fitted to, and the
    JUDGES would be, where that is not `points`.
    """

    family: str
    points: pd.DataFrame
    runs: pd.DataFrame | None = None
    curves: pd.DataFrame | None = None
    fitted_to: Mapping[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Audited:
    """The findings about a family, and the law that says its surface, of the form that was chosen.

    `law` is None where no law of the study says a surface.
    """

    findings: list[Finding]
    law: LawResults | None


def audit_family(
    family_runs: FamilyRuns,
    results: FamilyResults,
    study: StudyOptions,
    targets_flops: Sequence[float],
    *,
    params_convention: str,
    flops_convention: str,
    loss_unit: str = NATS,
) -> Audited:
    """Every audit that the family's data supports; one that cannot be made says why.

    `results` are the fits of the study's laws, and `study` holds all groups of options, those of
    the laws among them; the conventions are the study's.

    The ladder comes first: by what it shows the form of the surface is chosen, and the audits after
    it, and all that reads the law that is returned, are of that form. Where no law of the study
    says a surface the audits fit one for themselves, with as many draws as a step of the ladder.

    Returns one finding for each of AUDITS that the data allow, in that order; one that raised
    FloplineError has the verdict `not checked` and its sentence.
    """
    target, family, points = targets_flops[0], family_runs.family, family_runs.points
    fits = {law: results.of_law(law) for law in results.fits}
    law = _Law.of(family_runs, fits, study, targets_flops)
    made: list[Finding] = []

    def estimators() -> dict[str, pd.DataFrame]:
        """The tables of estimators by law, that of the surface as the choice has left it."""
        tables = results.of_each(ESTIMATORS)
        name = surface_law(fits)
        return tables if name is None else {**tables, name: law.fit().tables[ESTIMATORS]}

    def if_any() -> LossSurface | None:
        try:
            return law.surface()
        except FloplineError:
            return None

    makers: dict[str, Callable[[], Finding]] = {
        "ladder": lambda: law.settled_by(
            ladder.build(
                points,
                target,
                study,
                fitted_to=family_runs.fitted_to,
                fits=fits,
                more_targets=targets_flops[1:],
                family=family,
            )
        ),
        "form": law.choice,
        "identifiability": lambda: identifiability.audit(
            points,
            if_any(),
            target,
            study,
            form=law.form,
            estimators=estimators(),
            family=family,
            loss_unit=loss_unit,
        ),
        "regret": lambda: regret.audit(
            law.surface(),
            draws_of(law.fit().draws),
            targets_flops,
            study,
            estimators=estimators(),
        ),
        "sensitivity": lambda: sensitivity.audit(
            points,
            target,
            study,
            vertices=results.table(VALLEYS.name, "vertices"),
            estimators=estimators(),
            form=law.form,
            family=family,
        ),
        "next_run": lambda: next_run.audit(
            points,
            law.surface(),
            law.fit().content["certificate"]["residual_sd"],
            target,
            study,
            draws=draws_of(law.fit().draws),
            form=law.form,
            family=family,
        ),
        "published": lambda: published_comparison.audit(
            points,
            law.surface(),
            targets_flops,
            study,
            params_convention=params_convention,
            flops_convention=flops_convention,
            loss_unit=loss_unit,
        ),
    }
    if VALLEYS.name in fits:
        tables = fits[VALLEYS.name].tables
        makers["bias"] = lambda: bias.audit(
            law.surface(), tables["vertices"], tables["profiles"], targets_flops
        )
    if study.of(AuditOptions).inference_tokens:
        makers["inference"] = lambda: inference.audit(law.surface(), target, study)
    runs, curves = family_runs.runs, family_runs.curves
    held = None if runs is None else runs[runs["status"] == HELD_OUT]
    if held is not None and len(held):
        makers["held_out"] = lambda: held_out.audit(
            held, points, {**fits, surface_law(fits) or SURFACE.name: law.fit()}, study
        )
    if runs is not None and curves is not None:
        makers["hygiene"] = lambda: hygiene.audit(
            runs, curves, if_any(), study, loss_unit=loss_unit
        )
    there = [name for name in AUDITS if name in makers]
    for name in progress.named(there, WORK):
        made.append(_made(name, makers[name], law))
    return Audited(made, law.known if surface_law(fits) else None)


@dataclass(slots=True)
class _Law:
    """The fit of a surface that the audits ask, or the reason why there is none.

    It is of Chinchilla's form until another one is chosen.
    """

    family_runs: FamilyRuns
    targets_flops: Sequence[float]
    study: StudyOptions
    draws: int
    known: LawResults | None
    refusal: str = ""
    chosen: Finding | None = None

    @classmethod
    def of(
        cls,
        family_runs: FamilyRuns,
        fits: Mapping[str, LawResults],
        study: StudyOptions,
        targets_flops: Sequence[float],
    ) -> _Law:
        """The study's own fit of a surface; one made here where it has none."""
        name = surface_law(fits)
        if name is not None:
            draws = study.of(BootstrapOptions).draws
            return cls(family_runs, targets_flops, study, draws, fits[name])
        draws = study.of(AuditOptions).ladder_draws
        made = cls(family_runs, targets_flops, study, draws, None)
        try:
            with progress.part(OWN_FIT):
                fit = parametric_fit.fit(
                    family_runs.points,
                    targets_flops,
                    study.of(ParametricOptions),
                    bootstrap=made.bootstrap,
                    family=family_runs.family,
                    judged=True,
                )
        except FloplineError as error:
            made.refusal = str(error)
            return made
        if fit.status == FAILED:
            made.refusal = fit.message
        else:
            made.known = LawResults.of(fit)
        return made

    @property
    def bootstrap(self) -> BootstrapOptions:
        return self.study.of(BootstrapOptions).but(draws=self.draws)

    @property
    def form(self) -> Form[Any]:
        return CHINCHILLA if self.known is None else form_of(self.known.content)

    def fit(self) -> LawResults:
        """The fit; FloplineError where there is none."""
        if self.known is None:
            raise FloplineError(self.refusal)
        return self.known

    def surface(self) -> LossSurface:
        """The surface that it states; FloplineError where there is none."""
        return surface_of(self.fit().content)

    def settled_by(self, made: ladder.Ladder) -> Finding:
        """What a ladder shows of the form that it prefers, which is the law from then on."""
        self._choose(made.tables["steps"])
        return made.of_form(self.form).finding()

    def choice(self) -> Finding:
        """Why the law is of its form; FloplineError where there is none."""
        if self.chosen is None:
            self._choose(None)
        assert self.chosen is not None
        return self.chosen

    def _choose(self, steps: pd.DataFrame | None) -> None:
        choice = form_choice.choose(self.fit(), steps)
        runs = self.family_runs
        self.known = law_of_study(
            self.fit(),
            choice.form,
            runs.fitted_to.get(SURFACE.name, runs.points),
            self.targets_flops,
            self.study.of(ParametricOptions),
            self.bootstrap,
            runs.family,
        )
        if self.form is choice.form:
            self.chosen = choice.finding()
            return
        sentence = (
            f"{choice.sentence} It could not be fitted with resamples, so that "
            f"{self.form.title} stands in for it."
        )
        self.chosen = replace(choice.finding(Verdict.WARNED), sentence=sentence)


def _made(name: str, make: Callable[[], Finding], law: _Law) -> Finding:
    """A finding, with the form of the surface that it is about."""
    try:
        finding = make()
    except FloplineError as refusal:
        return Finding(name, Verdict.NOT_CHECKED, f"Not made: {refusal}", {})
    if name not in OF_FORM or finding.verdict == Verdict.REFUTED:
        return finding
    sentence = f"{finding.sentence} {form_sentence(law.form)}"
    numbers = {**finding.numbers, "form": law.form.name}
    return replace(finding, sentence=sentence, numbers=numbers)
