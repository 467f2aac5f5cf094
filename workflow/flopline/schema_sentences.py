"""What a schema says is wrong with a value, as a sentence of plain words with a mend that works."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

Rule = Mapping[str, Any]

_KINDS: Final = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "`key: value` lines",
    "string": "text",
}
_LONGEST: Final = 60
"""Letters of a value that a sentence shows."""
_COMMA: Final = re.compile(r"[-+]?\d+,\d+(?:[eE][-+]?\d+)?")
_NUMBER: Final = re.compile(r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def sentence_of(error: Any) -> str:
    """The sentence for one error of jsonschema, without the point at its end."""
    say = _SENTENCES.get(error.validator)
    return say(error) if say else f"{_at(error)} does not fit: {error.message}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The word that was meant, in brackets; empty where none is near."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def place_of(path: Sequence[str | int]) -> str:
    """A place in a file: `a.b`, entry 2 of `a`, `c` in entry 2 of `a`; empty for the whole file."""
    entries = [i for i, part in enumerate(path) if isinstance(part, int)]
    if not entries:
        return f"`{'.'.join(map(str, path))}`" if path else ""
    last = entries[-1]
    of = f"entry {int(path[last]) + 1} of {place_of(path[:last])}"
    below = path[last + 1 :]
    return f"{place_of(below)} in {of}" if below else of


def _at(error: Any) -> str:
    return place_of(list(error.absolute_path)) or "the file"


def _inside(error: Any) -> str:
    place = place_of(list(error.absolute_path))
    return f" in {place}" if place else ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _unknown_key(error: Any) -> str:
    known = list(error.schema.get("properties", {}))
    unknown = str(next(key for key in error.instance if key not in known))
    meant = did_you_mean(unknown, known)
    there = "" if meant else f"; there are: {', '.join(known)}"
    return f"unknown key '{unknown}'{_inside(error)}{meant}{there}"


def _missing(error: Any) -> str:
    missing = next(key for key in error.validator_value if key not in error.instance)
    return f"the key '{missing}' is missing{_inside(error)}"


def _none_of(error: Any) -> str:
    allowed = ", ".join(_word(v) for v in error.validator_value)
    meant = did_you_mean(str(error.instance), [str(v) for v in error.validator_value])
    return f"{_at(error)} is {_shown(error.instance)} but must be one of: {allowed}{meant}"


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wrong_type(error: Any) -> str:
    kinds = error.validator_value
    kinds = kinds if isinstance(kinds, list) else [kinds]
    value, at = error.instance, _at(error)
    wanted = [kind for kind in kinds if kind != "null"] or kinds
    if value is None:
        if set(wanted) == {"object"}:
            return f"{at} is empty: {_lines_to_write(error.schema)}"
        return f"{at} is empty: give {_or(wanted)}, or take the line out"
    must = f"{at} is {_shown(value)} but must be {_or(kinds)}"
    return f"{must}{_mend(value, wanted, error)}"


def _or(kinds: Sequence[str]) -> str:
    return " or ".join(_KINDS[kind] for kind in kinds)


def _mend(value: object, kinds: Sequence[str], error: Any) -> str:
    """What to write instead of a value of another type; empty where nothing better is known."""
    scalar = not isinstance(value, list | dict)
    if "string" in kinds and isinstance(value, bool | int | float):
        return ": put it in quotes as it stands"
    if "string" in kinds:
        return ": write it in one piece, in quotes"
    if "array" in kinds and scalar and _is_entry(value, error.schema):
        return f": write {_yaml(error.absolute_path)}[{_plain(value)}]"
    if (
        "array" in kinds
        and isinstance(value, str)
        and error.schema["items"].get("type") == "number"
    ):
        return (
            f": write it in a list, in figures and without a unit, as in "
            f"{_yaml(error.absolute_path)}[1e21]"
        )
    if "array" in kinds:
        return ": write each entry on a line of its own that begins with a dash"
    if "object" in kinds and error.absolute_path and isinstance(error.absolute_path[-1], int):
        return f": {_entry_to_write(value, error.schema)}"
    if "object" in kinds:
        return f": {_lines_to_write(error.schema)}"
    if isinstance(value, str) and ("number" in kinds or "integer" in kinds):
        text = value.strip()
        if _COMMA.fullmatch(text):
            return f": write a decimal point, as {text.replace(',', '.')}"
        if _NUMBER.fullmatch(text):
            return f": write it without quotes, as {text}"
        return ": write it in figures, without a unit"
    if "boolean" in kinds:
        return ", without quotes"
    return ""


def _is_entry(value: object, rule: Rule) -> bool:
    """Whether a value could stand in a list of this rule; not where that is told elsewhere."""
    from jsonschema import Draft202012Validator

    items = rule.get("items", {})
    return "$ref" not in items and bool(Draft202012Validator(items).is_valid(value))


def _yaml(path: Sequence[str | int]) -> str:
    key = path[-1] if path else ""
    return f"{key}: " if isinstance(key, str) and key else ""


def _plain(value: object) -> str:
    return (
        str(value)
        if isinstance(value, int | float) and not isinstance(value, bool)
        else (f"'{value}'" if re.search(r"[:#,\[\]{}]", str(value)) else str(value))
    )


def _lines_to_write(rule: Rule) -> str:
    """How to write what is a mapping, with the keys that it needs or may have."""
    known = list(rule.get("required") or rule.get("properties") or ())
    if not known:
        return "write a `name: value` line for each, below it and further in"
    return f"write below it, further in, a line `key: value` for {', '.join(known)}"


def _entry_to_write(value: object, rule: Rule) -> str:
    """How to write a mapping in a list; with the value where a key of it takes a list."""
    first = next((forms["required"][0] for forms in rule.get("oneOf", ())), None)
    keys = [key for key in (first, *rule.get("required", ())) if key]
    shown = f"[{_plain(value)}]" if not isinstance(value, list | dict) else "[...]"
    of_lists = [
        key for key in keys if rule.get("properties", {}).get(key, {}).get("type") == "array"
    ]
    pairs = [f"{key}: {shown if key in of_lists[:1] else '...'}" for key in dict.fromkeys(keys)]
    return f"write the entry as {{{', '.join(pairs)}}}, with your own words for the dots"


def _too_short(error: Any) -> str:
    return f"{_at(error)} is empty: give text, or take the line out"


def _too_long(error: Any) -> str:
    most = error.validator_value
    return f"{_at(error)} has {len(error.instance)} letters and may have {most}: shorten it"


def _pattern(error: Any) -> str:
    if "propertyNames" in error.absolute_schema_path:
        return _bad_name(error)
    if not str(error.instance).strip():
        return f"{_at(error)} is blank: give text"
    return f"{_at(error)} is {_shown(error.instance)}, which does not match {error.validator_value}"


def _bad_name(error: Any) -> str:
    name = str(error.instance)  # which stands in no path
    blank = "a blank name" if not name.strip() else f"the name {_shown(name)}"
    return (
        f"{_at(error)} has {blank}: a name becomes a folder of results, so it begins with a letter "
        "or digit and holds letters, digits, `_`, `.` and `-`, 100 at most; what figures show "
        "stands behind the colon"
    )


def _few_entries(error: Any) -> str:
    least, there = error.validator_value, len(error.instance)
    what = "is an empty list" if not there else f"has {there} of {least} entries"
    return f"{_at(error)} {what}: give {least} or more"


def _few_keys(error: Any) -> str:
    return f"{_at(error)} is empty: {_lines_to_write(error.schema)}"


def _twice(error: Any) -> str:
    values = error.instance
    again = next(v for i, v in enumerate(values) if v in values[:i])
    return f"{_at(error)} names {_shown(again)} twice: keep one"


def _bound(words: str) -> Callable[[Any], str]:
    def say(error: Any) -> str:
        value, end = _shown(error.instance), f"{error.validator_value:g}"
        return f"{_at(error)} is {value} but must be {words} {end}"

    return say


def _both(error: Any) -> str:
    for key, needed in error.validator_value.items():
        missing = [name for name in needed if key in error.instance and name not in error.instance]
        if missing:
            return f"{_at(error)} has `{key}`, which needs `{missing[0]}` beside it"
    return f"{_at(error)} lacks a key that another one needs"


def _not(error: Any) -> str:
    keys = [f"`{key}`" for key in error.validator_value.get("required", ())]
    return f"{_at(error)} may not have {' and '.join(keys) or 'this'} here"


def _no_form(error: Any) -> str:
    """None of several forms, or more than one: the form that was meant tells what is wrong."""
    if not error.context:
        keys = [f"`{key}`" for key in _needed(error.validator_value)]
        return f"{_at(error)} mixes {' and '.join(keys) or 'several forms'}: keep one of them"
    if all(set(rule) <= {"required", "anyOf"} for rule in error.validator_value):
        forms = [_form_of_keys(rule) for rule in error.validator_value]
        return f"{_at(error)} needs {', or '.join(forms)}"
    by_form: dict[int, list[Any]] = {}
    for inner in error.context:
        by_form.setdefault(int(inner.schema_path[0]), []).append(inner)
    depth = len(error.absolute_path)
    meant = [
        errors
        for errors in by_form.values()
        if not any(
            e.validator in ("type", "enum") and len(e.absolute_path) == depth for e in errors
        )
    ]
    if meant:
        return sentence_of(meant[0][0])
    forms = list(dict.fromkeys(filter(None, map(_form, _resolved(by_form)))))
    must = f"{_at(error)} is {_shown(error.instance)} but must be {' or '.join(forms)}"
    examples = [one for inner in error.context for one in inner.schema.get("examples", ())]
    return f"{must}, as {_yaml(error.absolute_path)}{examples[0]}" if examples else must


def _resolved(by_form: Mapping[int, Sequence[Any]]) -> list[tuple[str, object]]:
    """Of each form what its own error asks of the value: its type or its words."""
    asked = []
    for errors in by_form.values():
        error = errors[0]
        inner = error
        while inner.validator in ("oneOf", "anyOf") and inner.context:
            inner = inner.context[0]
        asked.append((str(inner.validator), inner.validator_value))
    return asked


def _form(asked: tuple[str, object]) -> str:
    validator, value = asked
    if validator == "type":
        return _or(value if isinstance(value, list) else [str(value)])
    if validator == "enum" and isinstance(value, list):
        return "one of " + ", ".join(map(_word, value)) if len(value) > 1 else _word(value[0])
    return ""


def _needed(rules: Sequence[Rule]) -> list[str]:
    return list(dict.fromkeys(key for rule in rules for key in rule.get("required", ())))


def _form_of_keys(rule: Rule) -> str:
    keys = " and ".join(f"`{key}`" for key in rule.get("required", ()))
    others = " or ".join(f"`{key}`" for key in _needed(rule.get("anyOf", ())))
    return f"{keys} with {others}" if others else keys


_SENTENCES: Final[dict[str, Callable[[Any], str]]] = {
    "additionalProperties": _unknown_key,
    "anyOf": _no_form,
    "dependentRequired": _both,
    "enum": _none_of,
    "exclusiveMaximum": _bound("below"),
    "exclusiveMinimum": _bound("above"),
    "maxLength": _too_long,
    "maximum": _bound("at most"),
    "minItems": _few_entries,
    "minLength": _too_short,
    "minProperties": _few_keys,
    "minimum": _bound("at least"),
    "not": _not,
    "oneOf": _no_form,
    "pattern": _pattern,
    "required": _missing,
    "type": _wrong_type,
    "uniqueItems": _twice,
}
VALIDATORS: Final = frozenset(_SENTENCES)
"""What a schema may ask that has a sentence."""
