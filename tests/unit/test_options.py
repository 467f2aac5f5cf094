"""Options: typed, checked in one sentence, and written into every file that repeats them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import jsonschema
import numpy as np
import pytest

from flopline.audit.audit_options import AuditOptions
from flopline.errors import FloplineError
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.isoflop.isoflop_options import IsoflopOptions
from flopline.laws.parametric.parametric_options import ParametricOptions
from flopline.option_files import made
from flopline.option_groups import config_schema, groups, schema_of
from flopline.options import OptionGroup, StudyOptions, changed
from tests.conftest import ROOT

EVERY = [(model, name) for model in groups() for name in model.model_fields]


def test_what_is_made_of_the_options_is_up_to_date() -> None:
    stale = [str(p) for p, text in made(ROOT).items() if (ROOT / p).read_text() != text]
    assert stale == [], "make generate"


def test_a_readme_without_its_marks_is_refused(tmp_path: Any) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/README.md").write_text("# Configuration\n")
    with pytest.raises(FloplineError, match=r"config/README\.md lacks the line"):
        made(tmp_path)


@pytest.mark.parametrize(("model", "name"), EVERY, ids=[f"{m.group}.{n}" for m, n in EVERY])
def test_every_option_has_a_default_that_fits_and_a_sentence(
    model: type[OptionGroup], name: str
) -> None:
    field, rule = model.model_fields[name], schema_of(model)["properties"][name]
    value = model().plain()[name]
    jsonschema.validate(value, rule)
    assert rule["default"] == value
    assert model(**{name: value}) == model()
    assert field.description
    assert not field.description.endswith(".")


def test_no_two_groups_share_a_name() -> None:
    assert len({model.group for model in groups()}) == len(groups())


@pytest.mark.parametrize("model", groups())
def test_a_fit_can_take_any_option_by_its_name_alone(model: type[OptionGroup]) -> None:
    if model is not BootstrapOptions:
        assert not set(model.model_fields) & set(BootstrapOptions.model_fields)


def test_a_start_loads_the_options_without_numbers() -> None:
    code = (
        "import sys, flopline.option_groups as g; g.config_schema();"
        "print(*{'numpy', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT / "workflow")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("model", "values", "sentence"),
    [
        (IsoflopOptions, {"min_size": 5}, "'min_size' is no option of isoflop (did you mean 'min_"),
        (IsoflopOptions, {"quality": "good"}, "`isoflop.quality` is 'good' but must be 'flag' or"),
        (
            IsoflopOptions,
            {"budgets": []},
            "`isoflop.budgets` is [] but must be a list of 1 or more",
        ),
        (IsoflopOptions, {"budgets": [-1]}, "`isoflop.budgets` is -1 but must be greater than 0."),
        (IsoflopOptions, {"min_sizes": 4.5}, "`isoflop.min_sizes` is 4.5 but must be a whole"),
        (IsoflopOptions, {"min_sizes": "4"}, "`isoflop.min_sizes` is '4' but must be a whole numb"),
        (
            BootstrapOptions,
            {"draws": True},
            "`bootstrap.draws` is True but must be a whole number.",
        ),
        (AuditOptions, {"final_lr": np.nan}, "`audit.final_lr` is nan but must be a finite number"),
        (ParametricOptions, {"huber_delta": "x"}, "is 'x' but must be a number or 'auto'."),
        (ParametricOptions, {"huber_delta": 0}, "is 0 but must be greater than 0 or 'auto'."),
    ],
)
def test_mistakes_are_told_in_one_sentence(
    model: type[OptionGroup], values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(FloplineError) as error:
        model(**values)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(FloplineError) as error:
        model().but(**values)
    assert sentence in str(error.value)


def test_numbers_are_taken_as_notebooks_have_them() -> None:
    options = IsoflopOptions(min_sizes=np.int64(5), budgets=np.array([1e18, 2e18]))
    assert options == IsoflopOptions(min_sizes=5.0, budgets=[1e18, 2e18])
    assert (type(options.min_sizes), options.budgets) == (int, (1e18, 2e18))
    assert IsoflopOptions(budget_tolerance=np.float64(0.5)).budget_tolerance == 0.5


def test_options_are_written_as_a_person_writes_them() -> None:
    options = AuditOptions(inference_tokens=(1e12, 2e30), price_per_flop=3.0)
    plain = options.plain()
    assert (plain["inference_tokens"], plain["price_per_flop"]) == ([10**12, 2e30], 3)
    assert type(plain["price_per_flop"]) is int
    assert AuditOptions(**plain) == options


def test_single_options_find_their_group() -> None:
    law, bootstrap = changed(IsoflopOptions(), BootstrapOptions(), {"min_sizes": 5, "draws": 0})
    assert (law, bootstrap) == (IsoflopOptions(min_sizes=5), BootstrapOptions(draws=0))
    with pytest.raises(FloplineError, match=r"'drows' is no option of isoflop or bootstrap \(did"):
        changed(law, bootstrap, {"drows": 5})


def test_a_study_may_not_go_without_draws_as_a_fit_alone_may() -> None:
    study = {"study": "x", "bootstrap": {"draws": 0}}
    errors = [
        e.message for e in jsonschema.Draft202012Validator(config_schema()).iter_errors(study)
    ]
    assert errors == ["0 is less than the minimum of 100"]
    assert BootstrapOptions(draws=0).draws == 0


def test_groups_of_a_study_are_told_by_their_model() -> None:
    study = {"title": "x", "isoflop": {"min_sizes": 6}, "audit": {"final_lr": 0.5}}
    options = StudyOptions.read(study, (IsoflopOptions, BootstrapOptions))
    assert options.of(IsoflopOptions).min_sizes == 6
    assert options.of(BootstrapOptions) == BootstrapOptions()
    assert options.of(AuditOptions) == AuditOptions()
    other = options.but(IsoflopOptions(min_sizes=7))
    assert (other.of(IsoflopOptions).min_sizes, options.of(IsoflopOptions).min_sizes) == (7, 6)
