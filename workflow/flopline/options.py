"""What a study may set, as typed models: the one place of each option's type, default and meaning.

A group is a model with a field for each option; the group of a law lies in the law's folder.
`make generate` writes from the models what stands elsewhere: the schema of config.yaml, config.yaml
itself, the table in config/README.md.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import ErrorDetails

from flopline.errors import FloplineError

Group = TypeVar("Group", bound="OptionGroup")
First = TypeVar("First", bound="OptionGroup")
Second = TypeVar("Second", bound="OptionGroup")

EXACT: Final = 1e15
"""Whole numbers below this are written without a point: a float holds every one of them."""


class OptionGroup(BaseModel):
    """A group of options, as `isoflop:` in a study file; each field has a sentence of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    group: ClassVar[str]
    """The group's name in a study file."""

    def __init__(self, **values: Any) -> None:
        """Options by name, those not given by default.

        Raises FloplineError for an option that there is not, or a value that does not fit.
        """
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise FloplineError(self._sentence(error)) from None

    @field_validator("*", mode="before")
    @classmethod
    def _taken(cls, value: Any) -> Any:
        """Lists as well as tuples, arrays and numbers of NumPy, 2e3 where a whole number is due."""
        if hasattr(value, "tolist"):
            value = value.tolist()
        if isinstance(value, list):
            return tuple(value)
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return value

    def but(self, **changes: Any) -> Self:
        """The same options with some changed. Raises FloplineError as the group itself does."""
        return type(self)(**{**dict(self), **changes}) if changes else self

    def parts_that_count(self) -> dict[str, object]:
        """All that may decide about what is made by them, see flopline.remembered."""
        return dict(self)

    def plain(self) -> dict[str, object]:
        """The options as JSON has them, numbers as a person writes them: 10 and not 10.0."""
        return {name: _plain(value) for name, value in self}

    @classmethod
    def _sentence(cls, error: ValidationError) -> str:
        """One sentence on the first option that does not fit."""
        first, *others = error.errors(include_url=False)
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            return f"'{name}' is no option of {cls.group}{_did_you_mean(name, cls.model_fields)}."
        # A union has an error for each of its types.
        same = [first, *(other for other in others if other["input"] is first["input"])]
        value = list(first["input"]) if isinstance(first["input"], tuple) else first["input"]
        wanted = " or ".join(dict.fromkeys(map(_wanted, same)))
        return f"`{cls.group}.{name}` is {value!r} but must be {wanted}."


class StudyOptions:
    """Groups of options of a study, told by their models; one that is not there has its defaults.

    As StudyOptions(BootstrapOptions(draws=200), IsoflopOptions(min_sizes=5)).
    """

    def __init__(self, *groups: OptionGroup) -> None:
        self._groups = {type(group): group for group in groups}

    @classmethod
    def read(cls, study: Mapping[str, Any], models: Iterable[type[OptionGroup]]) -> StudyOptions:
        """The groups of these models that stand in `study`, a study as JSON has it."""
        return cls(*(model(**study[model.group]) for model in models if model.group in study))

    def of(self, model: type[Group]) -> Group:
        """The group of this model."""
        group = self._groups.get(model)
        return group if isinstance(group, model) else model()

    def parts_that_count(self) -> list[OptionGroup]:
        """All that may decide about what is made by them, see flopline.remembered."""
        return list(self._groups.values())

    def but(self, *groups: OptionGroup) -> StudyOptions:
        """The same with these groups in place of those of their models."""
        return StudyOptions(*(self._groups | {type(group): group for group in groups}).values())


def changed(first: First, second: Second, changes: Mapping[str, object]) -> tuple[First, Second]:
    """Two groups with some options of either changed, by their names alone.

    Raises FloplineError for a name that is an option of neither, or a value that does not fit.
    """
    for name in changes:
        known = [*type(first).model_fields, *type(second).model_fields]
        if name not in known:
            raise FloplineError(
                f"'{name}' is no option of {first.group} or {second.group}"
                f"{_did_you_mean(name, known)}."
            )
    mine, theirs = (
        {name: value for name, value in changes.items() if name in type(group).model_fields}
        for group in (first, second)
    )
    return first.but(**mine), second.but(**theirs)


WORDS: Final = {
    "bool_type": "True or False",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "greater than or equal to {ge:g}",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "less_than": "less than {lt:g}",
    "less_than_equal": "less than or equal to {le:g}",
    "literal_error": "{expected}",
    "string_type": "text",
    "too_short": "a list of {min_length} or more",
    "tuple_type": "a list",
}
"""What an option must be, by the type of pydantic's error; in braces what the error knows."""


def _wanted(error: ErrorDetails) -> str:
    """What an option must be, by one of pydantic's errors, to follow upon `but must be`."""
    words = WORDS.get(error["type"])
    return words.format(**error.get("ctx", {})) if words else error["msg"]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return int(value)
    return value


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f" (did you mean '{close[0]}'?)" if close else ""
