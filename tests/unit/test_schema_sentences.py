"""What is wrong with a study file is said in plain words, for all that its schema may ask."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from flopline.errors import FloplineError
from flopline.option_groups import config_schema, groups
from flopline.options import WORDS, OptionGroup
from flopline.schema_sentences import VALIDATORS, place_of
from tests.builders.studies import SCHEMAS, loaded, study_of, write_study_file

FILE = "config/studies/toy.yaml"
TABLE = {"kind": "table", "paths": "sweep.csv"}
COLUMNS = {"run": "run", "loss": "loss", "params": "n", "tokens": "d"}
JARGON = re.compile(
    r"of type|does not fit|schema|instance|propert|validat|NoneType|\bdict\b|\barray\b|\bstring\b"
    r"|\bobject\b|Input should"
)


def said_of(folder: Path, **changes: Any) -> str:
    """The sentence on a study that is right but for `changes`, without the name of its file."""
    study = study_of({**TABLE, "columns": dict(COLUMNS)}) | changes
    write_study_file(folder, "toy", study)
    with pytest.raises(FloplineError) as raised:
        loaded(folder)
    sentence = str(raised.value).removeprefix(f"{FILE}: ")
    assert sentence != str(raised.value)
    assert not JARGON.search(sentence), sentence
    return sentence


def source(**changes: Any) -> dict[str, Any]:
    return {"source": {**TABLE, "columns": dict(COLUMNS), **changes}}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"targets": 1e21}, "`targets` is 1e+21 but must be a list: write targets: [1e+21]."),
        ({"targets": "1e21"}, "`targets` is 1e+21 but must be a list: write targets: [1e+21]."),
        ({"targets": []}, "`targets` is an empty list: give 1 or more."),
        ({"targets": None}, "`targets` is empty: give a list, or take the line out."),
        ({"targets": ["1,5e21"]}, "entry 1 of `targets` is '1,5e21' but must be a number: write a "
         "decimal point, as 1.5e21."),
        ({"targets": ["1e21 FLOPs"]}, "entry 1 of `targets` is '1e21 FLOPs' but must be a number: "
         "write it in figures, without a unit."),
        ({"targets": [1e21, 1e21]}, "`targets` names 1e+21 twice: keep one."),
        ({"targets": [1e21, 0]}, "entry 2 of `targets` is 0 but must be above 0."),
        ({"title": 7}, "`title` is 7 but must be text: put it in quotes as it stands."),
        ({"title": ""}, "`title` is empty: give text, or take the line out."),
        ({"title": "  "}, "`title` is blank: give text."),
        ({"title": ["a"]}, "`title` is ['a'] but must be text: write it in one piece, in quotes."),
        ({"families": {"ash": "  "}}, "`families.ash` is blank: give text."),
        ({"families": {"ash": None}}, "`families.ash` is empty: give text, or take the line out."),
        ({"families": {"": "Ash"}}, "`families` has a blank name: a name becomes a folder of "
         "results, so it begins with a letter or digit and holds letters, digits, `_`, `.` and "
         "`-`, 100 at most; what figures show stands behind the colon."),
        ({"families": ["ash"]}, "`families` is ['ash'] but must be `key: value` lines: write a "
         "`name: value` line for each, below it and further in."),
        ({"families": {}}, "`families` is empty: write a `name: value` line for each, below it and "
         "further in."),
        ({"comparable_losses": "yes"}, "`comparable_losses` is 'yes' but must be true or false, "
         "without quotes."),
        ({"points": "finale"}, "`points` is 'finale' but must be one of: final, checkpoints (did "
         "you mean 'final'?)."),
        ({"source": None}, "`source` is empty: write below it, further in, a line `key: value` for "
         "kind, paths."),
        ({"bootstrap": 200}, "`bootstrap` is 200 but must be `key: value` lines: write below it, "
         "further in, a line `key: value` for draws, seed, method."),
        ({"bootstrap": {"draws": 1.5}}, "`bootstrap.draws` is 1.5 but must be a whole number."),
        ({"bootstrap": {"draws": -1}}, "`bootstrap.draws` is -1 but must be at least 100."),
        ({"bootstrap": {"draws": "200"}}, "`bootstrap.draws` is '200' but must be a whole number: "
         "write it without quotes, as 200."),
        ({"cleaning": {"final_window": 3}}, "`cleaning.final_window` is 3 but must be at most "
         "0.5."),
        (source(paths=[]), "`source.paths` is an empty list: give 1 or more."),
        (source(paths=7), "`source.paths` is 7 but must be text or a list."),
        (source(paths=["a", 7]), "entry 2 of `source.paths` is 7 but must be text: put it in "
         "quotes as it stands."),
        (source(columns={**COLUMNS, "loss": {"column": "loss", "times": 0}}),
         "`source.columns.loss.times` is 0 but must be above 0."),
        (source(columns={**COLUMNS, "params": {"column": "n"}}), "the key 'times' is missing in "
         "`source.columns.params`."),
        (source(columns={**COLUMNS, "run": ["a"]}), "`source.columns.run` has 1 of 2 entries: give "
         "2 or more."),
        (source(runs={"table": "runs.csv"}), "`source.runs` has `table`, which needs `columns` "
         "beside it."),
        (source(phase={}), "`source.phase` is empty: write below it, further in, a line `key: "
         "value` for from, to."),
        ({"exclude": [{"reason": "bad"}]}, "entry 1 of `exclude` needs `runs`, or `column` with "
         "`below` or `above`."),
        ({"exclude": [{"reason": "bad", "runs": ["a"], "column": "loss", "below": 1}]},
         "entry 1 of `exclude` mixes `runs` and `column`: keep one of them."),
        ({"exclude": "run-1"}, "`exclude` is 'run-1' but must be a list: write each entry on a "
         "line of its own that begins with a dash."),
        ({"exclude": ["r1"]}, "entry 1 of `exclude` is 'r1' but must be `key: value` lines: write "
         "the entry as {runs: [r1], reason: ...}, with your own words for the dots."),
        ({"targets": "1e20 FLOPs"}, "`targets` is '1e20 FLOPs' but must be a list: write it in a "
         "list, in figures and without a unit, as in targets: [1e21]."),
        ({"isoflop": {"budgets": [1e18, 2e18, 1e18]}}, "`isoflop.budgets` names 1e+18 twice: keep "
         "one."),
        ({"loss_split": "vall"}, "`loss_split` is 'vall', which is no split of a table, whose loss "
         "is that of one column (did you mean 'val'?): write val, or train if it is a training "
         "loss."),
        ({"laws": "isoflop"}, "`laws` is 'isoflop' but must be a list: write laws: [isoflop]."),
        (source(loss_unit="bits"), "`source.loss_unit` is 'bits' but must be one of "
         "nats_per_token, bits_per_token, bits_per_byte, nats_per_byte, perplexity or `key: value` "
         "lines."),
        ({"future_runs": [{"name": "n" * 101, "params": 1, "tokens": 1}]}, "`name` in entry 1 of "
         "`future_runs` has 101 letters and may have 100: shorten it."),
        ({"figures": {"formats": ["svg", "gif"]}}, None),
    ],
)  # fmt: skip
def test_each_mistake_has_a_plain_sentence(
    tmp_path: Path, changes: dict[str, Any], sentence: str | None
) -> None:
    found = said_of(tmp_path, **changes)
    assert sentence in (found, None)


def test_the_mend_for_a_single_target_works(tmp_path: Path) -> None:
    mend = said_of(tmp_path, targets=1e21).partition("write ")[2].rstrip(".")
    study = study_of({**TABLE, "columns": dict(COLUMNS)}) | yaml.safe_load(mend)
    write_study_file(tmp_path, "toy", study)
    assert loaded(tmp_path)["targets"] == [1e21]


def validators(rule: object, within: str = "") -> set[str]:
    """The names of all that a schema asks of values."""
    if isinstance(rule, list):
        return set().union(*(validators(item, within) for item in rule)) if rule else set()
    if not isinstance(rule, dict):
        return set()
    names = set() if within in ("properties", "$defs") else set(rule)
    return names.union(*(validators(value, key) for key, value in rule.items() if key not in
                         ("default", "enum", "required", "dependentRequired")))  # fmt: skip


def test_all_that_the_schemas_ask_has_a_sentence() -> None:
    study = yaml.safe_load((SCHEMAS / "study.schema.yaml").read_text("utf-8"))
    asked = validators(study) | validators(config_schema())
    silent = {"$schema", "$defs", "$ref", "description", "default", "properties", "items"}
    silent |= {"examples"}
    # Of these two the errors are those of what is inside.
    assert asked - silent - {"propertyNames"} <= VALIDATORS


WRONG = [
    None, "x", "", 1.5, -1, 0, 2, 7, 1e9, -1e9, 10**30, True, [], ["a", "a"], [1.0, 1.0], [-1],
    {}, {"a": 1}, float("nan"), float("inf"), b"x",
]  # fmt: skip


def test_every_error_of_pydantic_that_an_option_can_have_has_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kinds: set[str] = set()
    told = OptionGroup._sentence.__func__  # type: ignore[attr-defined]

    def counted(model: type[OptionGroup], error: Any) -> str:
        kinds.update(entry["type"] for entry in error.errors(include_url=False))
        return str(told(model, error))

    monkeypatch.setattr(OptionGroup, "_sentence", classmethod(counted))
    for model in groups():
        for name in model.model_fields:
            for value in WRONG:
                try:
                    model(**{name: value})
                except FloplineError as sentence:
                    assert not JARGON.search(str(sentence)), sentence
    assert {"int_type", "literal_error", "greater_than", "tuple_type", "too_short"} <= kinds
    assert kinds <= set(WORDS)


def test_places_are_counted_from_one() -> None:
    assert place_of([]) == ""
    assert place_of(["source", "paths"]) == "`source.paths`"
    assert place_of(["exclude", 0, "runs", 2]) == "entry 3 of `runs` in entry 1 of `exclude`"
