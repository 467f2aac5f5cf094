"""All groups of options that there are, and the JSON schema that a study is checked against.

It is made from the models at every start, so that a new option counts at once; what `make generate`
writes of it to workflow/schemas is for editors and readers.
"""

from __future__ import annotations

from typing import Any, Final

from flopline.audit.audit_options import AuditOptions
from flopline.cleaning_options import CleaningOptions
from flopline.figures.figure_options import FigureOptions
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.laws.registry import LAWS
from flopline.laws.spec import spec_of
from flopline.options import OptionGroup
from flopline.question_options import QuestionOptions

STUDY: Final = {
    "type": "string",
    "description": "a file in `config/studies/` without its ending, or a path to a study file",
    "default": "tinylm",
}
"""The one option that is of no group: which study to run."""


def groups() -> tuple[type[OptionGroup], ...]:
    """The models of all groups, in the order in which readers meet them."""
    laws = (spec_of(law).model for law in LAWS)
    return (BootstrapOptions, CleaningOptions, *laws, AuditOptions, QuestionOptions, FigureOptions)


def config_schema() -> dict[str, Any]:
    """The JSON schema of config/config.yaml, defaults included."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["study"],
        "properties": {"study": STUDY} | {model.group: schema_of(model) for model in groups()},
    }


def schema_of(model: type[OptionGroup]) -> dict[str, Any]:
    """The JSON schema of one group, as a person would write it."""
    fields = model.model_json_schema()["properties"]
    return {
        "type": "object",
        "additionalProperties": False,
        "default": {},
        "properties": {name: _tidied(rule) for name, rule in fields.items()},
    }


_ORDER: Final = ("description", "type", "enum", "anyOf", "items")
"""What comes first of a rule."""


def _tidied(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule without titles, with one `type` for a value or null, and words in an `enum` alone."""
    merged = {key: value for key, value in rule.items() if key not in ("title", "anyOf")}
    kinds = [_tidied(kind) for kind in rule.get("anyOf", ())]
    null = {"type": "null"}
    if len(kinds) == 2 and null in kinds and "enum" not in kinds[0]:
        merged |= {**kinds[0], "type": [kinds[0]["type"], "null"], **merged}
    elif kinds:
        merged["anyOf"] = kinds
    if "const" in merged:
        merged["enum"] = [merged.pop("const")]
    if "enum" in merged:
        merged.pop("type", None)
    if "items" in merged:
        merged["items"] = _tidied(merged["items"])
    if isinstance(merged.get("default"), float) and merged["default"].is_integer():
        merged["default"] = int(merged["default"])
    keys = [*(key for key in _ORDER if key in merged), *(k for k in merged if k not in _ORDER)]
    return {key: merged[key] for key in keys if key != "default"} | {
        key: merged[key] for key in keys if key == "default"
    }
