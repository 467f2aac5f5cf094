"""Files that are made of the models of the options: `make generate`, or `python -m` this module.

These are the schema for editors, config.yaml with every default, and the table in config/README.md.
A test compares them with what is there, so that none of them is ever edited by hand.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from flopline.errors import FloplineError
from flopline.option_groups import STUDY, config_schema, groups, schema_of

SCHEMA: Final = Path("workflow/schemas/config.schema.yaml")
CONFIG: Final = Path("config/config.yaml")
README: Final = Path("config/README.md")
BEGIN: Final = "<!-- The table is made by `make generate` from the models of the options. -->\n"
END: Final = "<!-- Here it ends. -->\n"
WIDTH: Final = 100
LONG: Final = 3
"""Values of a list that a table shows; of a longer one it says how many there are."""


def made(root: Path) -> dict[Path, str]:
    """What every file is to hold, by its path below `root`, the folder of the project.

    Raises FloplineError where README.md has lost its marks.
    """
    readme = (root / README).read_text(encoding="utf-8")
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise FloplineError(
            f"{README} lacks the line {BEGIN.strip()} or {END.strip()}, between which its table "
            "stands: put them back."
        )
    return {
        SCHEMA: schema_text(),
        CONFIG: config_text(),
        README: before + begin + "\n" + table_text() + "\n" + end + after,
    }


def schema_text() -> str:
    """The JSON schema of config.yaml, as YAML."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "description": "Run-wide options (config/config.yaml); a study file may override each of "
        "them but `study`. Made by `make generate`.",
        **config_schema(),
    }
    return yaml.dump(schema, sort_keys=False, allow_unicode=True, width=WIDTH)


def config_text() -> str:
    """config.yaml with every option at its default, each with its sentence."""
    lines = [
        "# Run-wide options; `make generate` writes them with their defaults. A study file may",
        "# override each group. On the command line: snakemake --config study=tinylm",
        "",
        *_explained("study", STUDY["default"], STUDY["description"], ""),
    ]
    for model in groups():
        lines += ["", f"{model.group}:"]
        values = model().plain()
        for name, field in model.model_fields.items():
            lines += _explained(name, values[name], field.description or "", "  ")
    return "\n".join(lines) + "\n"


def table_text() -> str:
    """The table of all options: key, default, what it may be, meaning."""
    rows = [("key", "default", "values", "meaning"), ("---",) * 4]
    meaning = _linked(STUDY["description"])
    rows.append(("`study`", f"`{STUDY['default']}`", "text", meaning))
    for model in groups():
        rules = schema_of(model)["properties"]
        for name, field in model.model_fields.items():
            key, rule = f"`{model.group}.{name}`", rules[name]
            meaning = _linked(field.description or "")
            rows.append((key, _default(rule["default"]), _values(rule), meaning))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _explained(name: str, value: Any, sentence: str, indent: str) -> Iterator[str]:
    """A key of YAML with its value, below its sentence as a comment."""
    prefix = f"{indent}# "
    yield from textwrap.wrap(
        sentence, WIDTH, initial_indent=prefix, subsequent_indent=prefix, break_on_hyphens=False
    )
    if isinstance(value, list) and len(value) > LONG:
        yield f"{indent}{name}:"
        yield from (f"{indent}  - {_scalar(item)}" for item in value)
    else:
        yield f"{indent}{name}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=WIDTH)
    return text.removesuffix("\n").removesuffix("\n...")


def _linked(sentence: str) -> str:
    """The sentence with `docs/x.md` as a link from the folder config/."""
    return re.sub(
        r"docs/([a-z-]+)\.md(#[a-z-]+)?",
        lambda match: f"[docs/{match[1]}.md](../docs/{match[1]}.md{match[2] or ''})",
        sentence,
    ).replace("|", r"\|")


def _default(value: Any) -> str:
    if isinstance(value, list) and len(value) > LONG:
        return f"{len(value)} names"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _scalar(value)
    return f"`{_scalar(value)}`"


_KINDS: Final = {
    "array": "list",
    "boolean": "`true` or `false`",
    "integer": "whole number",
    "null": "`null`",
    "number": "number",
    "string": "text",
}


def _values(rule: Mapping[str, Any]) -> str:
    """What an option may be, by the rule of its schema."""
    if "anyOf" in rule:
        return " or ".join(_values(kind) for kind in rule["anyOf"])
    if "enum" in rule:
        return ", ".join(f"`{word}`" for word in rule["enum"])
    kind, *others = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
    first = _KINDS[kind] + _range(rule)
    if "items" in rule:
        least = f"{rule['minItems']} or more " if "minItems" in rule else ""
        first += f" of {least}{_values(rule['items']).replace('number', 'numbers')}"
    return ", or ".join([first, *(_KINDS[other] for other in others)])


def _range(rule: Mapping[str, Any]) -> str:
    low, high = rule.get("minimum"), rule.get("maximum")
    parts = [f"above {rule['exclusiveMinimum']:g}"] if "exclusiveMinimum" in rule else []
    parts += [f"from {low:,}"] if low is not None else []
    parts += [f"to {high:,}"] if high is not None else []
    return "".join(f" {part}" for part in parts)


def main() -> None:
    """Write every file that is not as it should be, below the working directory."""
    for path, text in made(Path()).items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"{path} is renewed.")


if __name__ == "__main__":
    main()
