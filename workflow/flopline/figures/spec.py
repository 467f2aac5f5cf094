"""What a figure is to all that draw it, show it and speak of it: one `FigureSpec` each.

The spec of a figure `x` is FIGURE in `flopline/figures/x_figure.py`, and `registry.py` lists it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

from flopline.errors import FloplineError
from flopline.loss_units import stated_unit, with_unit
from flopline.plugins import home_of
from flopline.results import FamilyResults, StudyResults
from flopline.study_document import StudyDocument

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EVERY_LAW: Final = ("*",)
"""In `Needs`: of each law that the study fits."""
SYNTHETIC: Final = "Synthetic data. "
"""What the words of every figure of simulated runs begin with."""


class Section(Enum):
    """Where a figure stands on the page, in this order, and its category in Snakemake's report."""

    LAWS = "laws"
    AUDIT = "audit"
    DATA = "data"

    @property
    def category(self) -> str:
        """As Snakemake's report writes it."""
        return self.value.capitalize()


@dataclass(frozen=True, slots=True)
class Needs:
    """The results that a figure is made of, by name; it is handed these and no others.

    `fits` and `draws` name laws, `tables` a law's table as `isoflop.vertices`; EVERY_LAW and
    `*.estimators` name those of each law. What is of a law that the study does not fit is left
    out. `frontiers` are the tables that the L(C) of each law is held against; `findings` are the
    audit's, `runs` and `dropped` the tables of cleaning, `curves` the
    cleaned curves themselves, `decision` is the verdict. `unseen` are findings and verdict for the
    marks of the forecast and of runs held out, which a notebook's figures do without.
    """

    fits: tuple[str, ...] = ()
    draws: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    frontiers: bool = False
    findings: bool = False
    runs: bool = False
    dropped: bool = False
    curves: bool = False
    decision: bool = False
    unseen: bool = False

    @property
    def of_audit(self) -> bool:
        """Whether it takes findings, for itself or for the marks of what no fit has seen."""
        return self.findings or self.unseen

    @property
    def of_decision(self) -> bool:
        """Whether it takes the verdict, for itself or for those marks."""
        return self.decision or self.unseen

    @property
    def every_law(self) -> bool:
        """Whether it is of each law that the study fits, so that it asks what all are called."""
        laws = [*self.fits, *self.draws, *(table.partition(".")[0] for table in self.tables)]
        return self.frontiers or not {*EVERY_LAW}.isdisjoint(laws)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a figure is drawn for: a study's words and targets, one of its families, a width.

    `study` holds the groups of the study that the figure's `options` name, among them families
    {id: label}; `family` is an id, empty for a figure of the study. `formulas` says that what
    stands between two dollar signs in a label is one, as in a notebook. `refused` says why the
    decision has no answer at the study's target, and `largest` [FLOPs] is then drawn for it.
    """

    study: StudyDocument
    family: str = ""
    width: str = "page"
    synthetic: bool = False
    formulas: bool = False
    refused: str = ""
    largest: float = math.nan

    @property
    def label(self) -> str:
        """The family's label, to be written on the page; empty for a figure of the study."""
        return str(self.study["families"][self.family]) if self.family else ""

    @property
    def labels(self) -> Mapping[str, str]:
        """The families' labels by id, to be written on the page."""
        labels: Mapping[str, str] = self.study["families"]
        return labels

    @property
    def family_label(self) -> str:
        """The family's label, to be drawn."""
        return self.drawn(self.label)

    @property
    def family_labels(self) -> dict[str, str]:
        """The families' labels by id, to be drawn."""
        return {family: self.drawn(label) for family, label in self.labels.items()}

    @property
    def loss_label(self) -> str:
        """What the study calls its loss, with its unit, to be drawn."""
        return self.of_loss(self.study["loss_label"])

    @property
    def loss_unit(self) -> str:
        """The unit of the study's losses, one of loss_units.UNITS."""
        return stated_unit(self.study)

    def of_loss(self, label: str) -> str:
        """What a loss of the study is called, with its unit, to be drawn.

        In a notebook the label is the caller's own, to be drawn as it stands.
        """
        return self.drawn(label if self.formulas else with_unit(label, self.loss_unit))

    @property
    def target(self) -> float:
        """The first target budget [FLOPs]; the largest run's where that one is refused."""
        return self.largest if self.refused else float(self.study["targets"][0])

    @property
    def target_name(self) -> str:
        """What the budget is that `target` gives, on a figure."""
        return "largest run" if self.refused else "target"

    def drawn(self, words: str) -> str:
        """Words of the study as they are to be drawn."""
        from flopline.figures.style import literal

        return words if self.formulas else literal(words)

    def of(self, results: StudyResults) -> FamilyResults:
        """What was found for the family."""
        return results.families[self.family]


_PLAIN: Final = (
    *(("needs", name) for name in ("fits", "draws", "tables")),
    *(("spec", name) for name in ("laws", "options")),
)
"""Fields that are tuples of strings."""


@dataclass(frozen=True, slots=True)
class FigureSpec:
    """One figure: what it draws, from which results, when and where, and the words beside it.

    `draw(results, setting)` makes the figure, `caption` what stands below it, `alt` what it shows
    for those who cannot see it: its finding, not its parts. `about` is one sentence for Snakemake's
    report, which is written before anything is found; `{target}` in it is the first target budget.
    The figure is drawn for each family, or once for the study; where all of `laws` are fitted, and
    where the study has `families` families or more. `options` are the groups of the study that it
    uses. Where `instead` gives a sentence, it stands on the page and the figure is left out, since
    it would show nothing; so it is with a figure `of_target`, which says nothing but what stands at
    the target, where the decision refuses that. One of the `first_target` shows none but that, and
    is handed what results say there alone (first_target.py): another target does not draw it again.
    Raises FloplineError for one whose words are missing or whose fields are of another kind.
    """

    name: str
    title: str
    about: str
    section: Section
    needs: Needs
    draw: Callable[[StudyResults, Setting], Figure]
    caption: Callable[[StudyResults, Setting], str]
    alt: Callable[[StudyResults, Setting], str]
    per_family: bool = True
    laws: tuple[str, ...] = ()
    families: int = 1
    options: tuple[str, ...] = ("families", "targets", "loss_label", "loss_unit")
    instead: Callable[[StudyResults, Setting], str] | None = None
    of_target: bool = False
    first_target: bool = False

    def __post_init__(self) -> None:
        where = f"FIGURE in flopline/figures/{self.name}_figure.py"
        for name in ("name", "title", "about"):
            if not (isinstance(getattr(self, name), str) and getattr(self, name).strip()):
                raise FloplineError(f"{where} has no {name}: give it one.")
        for name in ("draw", "caption", "alt"):
            if not callable(getattr(self, name)):
                raise FloplineError(f"{where} has no {name}: give it a function for that.")
        for name, kind in (("section", Section), ("needs", Needs)):
            if not isinstance(getattr(self, name), kind):
                raise FloplineError(f"{where} has a {name} that is no {kind.__name__}: correct it.")
        if "{" in self.about.replace("{target}", ""):
            raise FloplineError(f"{where} has braces in about, beside {{target}}: take them out.")
        for owner, name in _PLAIN:
            value = getattr(self.needs if owner == "needs" else self, name)
            if isinstance(value, tuple) and all(isinstance(item, str) for item in value):
                continue
            raise FloplineError(f"{where} has {name} that are no tuple of strings: write them out.")

    def is_drawn(self, laws: Sequence[str], families: Sequence[str]) -> bool:
        """Whether a study that fits `laws` to `families` has this figure."""
        return set(self.laws) <= set(laws) and len(families) >= self.families

    def words(self, results: StudyResults, setting: Setting) -> dict[str, str]:
        """What stands beside the figure: name, family (a label), section, title, caption, alt, and
        instead, the sentence that takes its place on the page (empty where it is shown).
        """
        before = SYNTHETIC if setting.synthetic else ""
        caption = self.caption(results, setting)
        # What an audit found may say so itself.
        after = "".join(
            f" {words}" for words in self._forms(results, setting) if words not in caption
        )
        return {
            "name": self.name,
            "family": setting.label,
            "section": self.section.value,
            "title": self.title,
            "caption": before + caption + after,
            "alt": before + self.alt(results, setting),
            "instead": self.instead(results, setting) if self.instead is not None else "",
        } | (self._refused_words(setting) if self.is_refused(setting) else {})

    def is_refused(self, setting: Setting) -> bool:
        """Whether nothing may be drawn, since all of it stands at a target without an answer."""
        return bool(self.of_target and setting.refused)

    def _refused_words(self, setting: Setting) -> dict[str, str]:
        sentence = f"Nothing is drawn. {setting.refused}"
        return dict.fromkeys(("caption", "alt", "instead"), sentence)

    def drawn(self, results: StudyResults, setting: Setting) -> Figure:
        """The figure; of a target without an answer the reason alone."""
        if not self.is_refused(setting):
            return self.draw(results, setting)
        from flopline.figures.panels import reason_alone

        title = f"{setting.family_label}: {self.title[0].lower()}{self.title[1:]}"
        return reason_alone(title, setting.drawn(setting.refused), width=setting.width)

    def _forms(self, results: StudyResults, setting: Setting) -> list[str]:
        """Sentences on which form the parametric law is of, for figures that show it."""
        from flopline.laws.common.fit_result import FAILED
        from flopline.laws.parametric.parametric_law import LAW

        needs = self.needs
        asked = [*needs.fits, *needs.draws, *(table.partition(".")[0] for table in needs.tables)]
        if not needs.every_law and LAW.name not in asked:
            return []
        from flopline.laws.parametric.stated_form import form_of, form_sentence

        sentences = {
            family: form_sentence(form_of(of_family.fits[LAW.name]))
            for family, of_family in results.families.items()
            if setting.family in ("", family)
            and LAW.name in of_family.fits
            and of_family.fits[LAW.name]["status"] != FAILED
        }
        if len(set(sentences.values())) < 2:
            return [*{*sentences.values()}]
        return [f"{setting.labels[family]}: {words}" for family, words in sentences.items()]


@cache
def figure_spec(name: str) -> FigureSpec:
    """The spec of the figure called `name`; ModuleNotFoundError where there is none."""
    spec: FigureSpec = import_module(figure_module(name)).FIGURE
    return spec


def figure_module(name: str) -> str:
    """The module that holds the figure called `name`."""
    return home_of("figures", name, f"flopline.figures.{name}_figure")


def chosen(names: Sequence[str], laws: Sequence[str]) -> list[str]:
    """The laws that `names`, of `Needs`, mean among the `laws` of a study."""
    return [law for law in laws if law in names or "*" in names]
