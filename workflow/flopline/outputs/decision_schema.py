"""The JSON Schema of decision.json and its table in docs/outputs.md: `make generate` writes both.

They are made of the typed documents (flopline.documents): the type of each key and the sentence
below it. A test compares them with what is there.
"""

from __future__ import annotations

import ast
import inspect
import json
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NotRequired, Union, get_args, get_origin, get_type_hints

from flopline import documents
from flopline.documents import SCHEMA_VERSION, VerdictJson

SCHEMA: Final = Path("workflow/schemas/decision.schema.json")
DOCS: Final = Path("docs/outputs.md")
BEGIN: Final = "<!-- The table is made by `make generate` from flopline/documents.py. -->\n"
END: Final = "<!-- Here it ends. -->\n"
_PLAIN: Final = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    types.NoneType: "null",
}
_WORDS: Final = {
    "string": "text",
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "null": "null",
}


def schema() -> dict[str, Any]:
    """The schema of decision.json, with a definition for each document in it."""
    definitions: dict[str, Any] = {}
    top = _object(VerdictJson, definitions)
    top["properties"]["schema_version"]["const"] = SCHEMA_VERSION
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "decision.json of Flopline",
        **top,
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """The schema as the file holds it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def docs_text(page: str) -> str:
    """The page `page` with the table as the documents have it."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{_table()}\n{END}{after}"


def _object(document: type, definitions: dict[str, Any]) -> dict[str, Any]:
    """The rule of one document; those that it holds go into `definitions`."""
    sentences = _sentences()
    properties, required = {}, []
    for name, hint in get_type_hints(document, include_extras=True).items():
        optional = get_origin(hint) is NotRequired
        rule = _rule(get_args(hint)[0] if optional else hint, definitions)
        properties[name] = {**rule, "description": sentences[document.__name__][name]}
        required += [] if optional else [name]
    about = " ".join(inspect.cleandoc(document.__doc__ or "").split("; see")[0].split())
    return {
        "description": about if about.endswith(".") else f"{about}.",
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }


def _rule(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The rule of a value of the type `hint`."""
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        rules = [_rule(kind, definitions) for kind in arguments]
        if all(set(rule) == {"type"} for rule in rules):
            return {"type": [rule["type"] for rule in rules]}
        return {"anyOf": rules}
    if origin is list:
        return {"type": "array", "items": _rule(arguments[0], definitions)}
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _rule(arguments[1], definitions)}
    name = _name(hint)
    if name not in definitions:
        definitions[name] = {}  # before its parts, of which one may be of its own kind
        definitions[name] = _object(hint, definitions)
    return {"$ref": f"#/$defs/{name}"}


def _name(document: type) -> str:
    return document.__name__.removesuffix("Json")


def _sentences() -> dict[str, dict[str, str]]:
    """The sentence below each key, by document and key, as the source has them."""
    out: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(documents)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        own = out[node.name] = {}
        for base in node.bases:  # a document may go on from another one
            own |= out.get(base.id, {}) if isinstance(base, ast.Name) else {}
        for key, below in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(key, ast.AnnAssign)
                and isinstance(key.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                own[key.target.id] = str(below.value.value)
    return out


def _table() -> str:
    made = schema()
    rows = [("in", "key", "value", "meaning"), ("---",) * 4, *_rows("", made)]
    for name, rule in made["$defs"].items():
        rows += _rows(name, rule)
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _rows(name: str, rule: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for key, of_key in rule["properties"].items():
        value = _in_words(of_key) + ("" if key in rule["required"] else ", may be missing")
        yield name, f"`{key}`", value, of_key["description"].rstrip(".")


def _in_words(rule: Mapping[str, Any]) -> str:
    if "$ref" in rule:
        return str(rule["$ref"]).rpartition("/")[2]
    if "enum" in rule:
        return ", ".join(f"`{word}`" for word in rule["enum"])
    if "anyOf" in rule:
        return " or ".join(_in_words(kind) for kind in rule["anyOf"])
    if isinstance(rule["type"], list):
        return " or ".join(_WORDS[kind] for kind in rule["type"])
    if rule["type"] == "array":
        return f"list of {_in_words(rule['items'])}"
    if rule["type"] == "object":
        return f"{_in_words(rule['additionalProperties'])} by name"
    return _WORDS[rule["type"]]


def main() -> None:
    """Write the schema and the table, below the working directory."""
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    DOCS.write_text(docs_text(DOCS.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
