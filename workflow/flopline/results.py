"""What a study left in its folder of results, read by name and not before it is asked for.

Of each family these are the files `fits/<family>/<law>.json`, `<law>.draws.parquet` and
`<law>.<table>.parquet`, and `audit/<family>/findings.json` with its `tables/`; files of a law in
`audit/<family>/`, of the form that the audits chose, stand for those of its fit. Of the study
`clean/runs.parquet`, `clean/dropped.parquet`, `clean/notes.json`, `clean/curves/`, `decision.json`
and `decision.parquet`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from flopline.documents import FindingJson, FitJson, VerdictJson
from flopline.errors import FloplineError

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
View = Callable[[Path, Any], Any]
"""Takes a file of results and what it holds to what is to be seen of it."""


class PartsView:
    """A View that is told which findings are asked for, of all that a file holds."""

    def __call__(self, path: Path, content: Any) -> Any:
        """What is to be seen of a file."""
        raise NotImplementedError

    def note(self, path: Path, name: str | None) -> None:
        """Hear that the part `name` of a file was asked for, or with None which there are."""
        raise NotImplementedError


class Fitted(Protocol):
    """A fit as a law returns it: laws.common.fit_result.FitResult."""

    @property
    def draws(self) -> pd.DataFrame:
        """The bootstrap draws."""
        ...

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The law's own tables by name."""
        ...

    def to_json(self) -> FitJson:
        """All else."""
        ...


class ByName(Mapping[str, T]):
    """Results by name, each read by the call `readers[name]()` when it is first asked for."""

    def __init__(self, readers: Mapping[str, Callable[[], T]]) -> None:
        self._readers = dict(readers)
        self._read: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._read:
            self._read[name] = self._readers[name]()
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


class Findings(Mapping[str, FindingJson]):
    """The findings of one family's audit by name, each with its `tables` by name.

    `path` is their JSON, which is read when the first is asked for; so is each table.
    """

    def __init__(self, path: Path, view: View | None = None) -> None:
        self.path, self.view = path, view

    def __getitem__(self, audit: str) -> FindingJson:
        self._note(audit)
        return self._all[audit]

    def __iter__(self) -> Iterator[str]:
        self._note(None)
        return iter(self._all)

    def __len__(self) -> int:
        self._note(None)
        return len(self._all)

    def _note(self, audit: str | None) -> None:
        if isinstance(self.view, PartsView):
            self.view.note(self.path, audit)

    @cached_property
    def _all(self) -> dict[str, FindingJson]:
        findings: list[FindingJson] = _reader(self.path, self.view)()
        folder = self.path.parent / "tables"
        return {
            f["audit"]: {
                **f,
                "tables": ByName(
                    {
                        n: _reader(folder / f"{f['audit']}.{n}.parquet", self.view)
                        for n in f["tables"]
                    }
                ),
            }
            for f in findings
        }


@dataclass(frozen=True, slots=True)
class LawResults:
    """What the fit of one law left: FitResult.to_json(), its draws, its tables by name."""

    content: FitJson
    draws: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]

    @classmethod
    def of(cls, fit: Fitted) -> LawResults:
        """What the files of `fit` would hold."""
        return cls(fit.to_json(), fit.draws, fit.tables)


@dataclass(frozen=True, slots=True)
class FamilyResults:
    """What was found for one family; laws that the study does not fit are in none of these.

    `fits` are FitResult.to_json() by law, `draws` the bootstrap draws by law, `tables` those of
    each fit by law and name; `findings` are Finding.to_json() by audit, each with its `tables`.
    """

    fits: Mapping[str, FitJson] = field(default_factory=dict)
    draws: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, pd.DataFrame]] = field(default_factory=dict)
    findings: Mapping[str, FindingJson] = field(default_factory=dict)

    @classmethod
    def of(
        cls, fits: Mapping[str, Fitted], findings: Mapping[str, FindingJson] | None = None
    ) -> FamilyResults:
        """What the files of these fits by law, and of these findings by audit, would hold."""
        return cls(
            {law: fit.to_json() for law, fit in fits.items()},
            {law: fit.draws for law, fit in fits.items()},
            {law: fit.tables for law, fit in fits.items()},
            findings or {},
        )

    def of_law(self, law: str) -> LawResults:
        """What the fit of `law` left; it must be there."""
        return LawResults(self.fits[law], self.draws[law], self.tables[law])

    def table(self, law: str, name: str) -> pd.DataFrame | None:
        """The table `name` of the fit of `law`; None where that is not there."""
        return self.tables[law].get(name) if law in self.tables else None

    def of_each(self, name: str) -> dict[str, pd.DataFrame]:
        """The tables that are called `name` by law, such as the estimators of each."""
        return {law: tables[name] for law, tables in self.tables.items() if name in tables}


@dataclass(frozen=True, slots=True)
class StudyResults:
    """What was found for each family, and what concerns all of them.

    `of_all` holds, as far as they are there, the tables `runs` and `dropped` (schema.RUNS,
    schema.DROPPED), `notes` on the cleaning, and `decision` with its table `lines`, the verdict
    and the table of decision.decide; `curves` are the files of the cleaned curves.
    """

    families: Mapping[str, FamilyResults] = field(default_factory=dict)
    of_all: Mapping[str, Any] = field(default_factory=dict)
    curves: tuple[Path, ...] = ()

    @property
    def runs(self) -> pd.DataFrame:
        """The table of runs, of every family and status."""
        table: pd.DataFrame = self.of_all["runs"]
        return table

    @property
    def dropped(self) -> pd.DataFrame:
        """The table of dropped rows."""
        table: pd.DataFrame = self.of_all["dropped"]
        return table

    @property
    def notes(self) -> list[str]:
        """What the cleaning has to say."""
        notes: list[str] = self.of_all["notes"]
        return notes

    @property
    def decision(self) -> VerdictJson:
        """The verdict: headline, rule, choices, agreement and families."""
        verdict: VerdictJson = self.of_all["decision"]
        return verdict

    @property
    def lines(self) -> pd.DataFrame:
        """The table of the decision: one row per family, target, law and estimator."""
        table: pd.DataFrame = self.of_all["lines"]
        return table


def read_results(folder: Path, files: Iterable[Path], view: View | None = None) -> StudyResults:
    """The results in `files`, which lie in `folder`, the results of one study.

    No other file is read, and of these only what is asked for. Families, laws and tables have the
    order of their files. With a `view` what it makes of each is there instead. Raises FloplineError
    for a file that is none of the results named above,
    and, when it is asked for, for one that is damaged.
    """
    fits: dict[str, dict[str, dict[str, Callable[[], Any]]]] = {}
    chosen: dict[str, dict[str, dict[str, Callable[[], Any]]]] = {}
    findings: dict[str, Findings] = {}
    of_all: dict[str, Callable[[], Any]] = {}
    curves: list[Path] = []
    for path in files:
        match place_in(folder, path).parts:
            case ("fits", family, name):
                law, *table, _ = name.split(".")
                of_law = fits.setdefault(family, {}).setdefault(law, {})
                of_law[table[0] if table else "fit"] = _reader(path, view)
            case ("audit", family, "findings.json"):
                findings[family] = Findings(path, view)
            case ("audit", _, "tables"):
                continue  # read by the names that the findings give
            case ("audit", family, name):
                law, *table, _ = name.split(".")
                fits.setdefault(family, {}).setdefault(law, {})
                of_law = chosen.setdefault(family, {}).setdefault(law, {})
                of_law[table[0] if table else "fit"] = _reader(path, view)
            case ("clean", "curves", _):
                curves.append(path)
            case ("clean", ("runs.parquet" | "dropped.parquet" | "notes.json")):
                of_all[path.stem] = _reader(path, view)
            case (("decision.json" | "decision.parquet"),):
                of_all["decision" if path.suffix == ".json" else "lines"] = _reader(path, view)
            case _:
                raise FloplineError(
                    f"{path} is none of the results that flopline.results reads by name: hand it "
                    "to its script in another way."
                )
    families = {}
    for family in {**fits, **findings}:
        audited = chosen.get(family, {})
        of_laws = {law: f | audited.get(law, {}) for law, f in fits.get(family, {}).items()}
        families[family] = FamilyResults(
            _of_kind(of_laws, "fit"),
            _of_kind(of_laws, "draws"),
            {
                law: ByName({n: read for n, read in files.items() if n not in ("fit", "draws")})
                for law, files in of_laws.items()
            },
            findings.get(family, {}),
        )
    return StudyResults(families, ByName(of_all), tuple(curves))


def place_in(folder: Path, path: Path) -> Path:
    """The path of a result within the folder of its study.

    Where jobs share no files, results come to them through a storage plugin, below a folder of its
    own. Raises FloplineError for a path that is not of this study.
    """
    if path.is_relative_to(folder):
        return path.relative_to(folder)
    length = len(folder.parts)
    # The last one, since the place of the storage may hold the same words.
    for at in range(len(path.parts) - length, -1, -1):
        if path.parts[at : at + length] == folder.parts:
            return Path(*path.parts[at + length :])
    raise FloplineError(f"{path} is no file of {folder}: hand it to its script in another way.")


def _of_kind(files: Mapping[str, Mapping[str, Callable[[], T]]], kind: str) -> Mapping[str, T]:
    return ByName({law: readers[kind] for law, readers in files.items() if kind in readers})


def _reader(path: Path, view: View | None = None) -> Callable[[], Any]:
    """What reads a file of results, a table or JSON, as a view shows it."""

    def read() -> Any:
        from flopline.storage import read_json, read_parquet

        content = read_parquet(path) if path.suffix == ".parquet" else read_json(path)
        return content if view is None else view(path, content)

    return read
