"""Reading a study: config and study file merged, checked, with every default filled in."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, cast

import yaml

from flopline import loss_units, param_counts
from flopline.decoders import Undecodable
from flopline.errors import FloplineError
from flopline.laws.registry import LAWS
from flopline.logs.formats import FORMATS, SPLIT_FOLDERS
from flopline.loss_units import unit_of_study
from flopline.option_groups import config_schema
from flopline.schema import split_label
from flopline.schema_sentences import did_you_mean, sentence_of
from flopline.sources import (
    fact_names,
    format_of,
    pattern_mistakes,
    why_no_file,
)
from flopline.study_document import ROW_COLUMNS, ColumnMap, SourceDocument, StudyDocument
from flopline.study_names import MOST_TARGETS, family_mistakes, why_no_folder
from flopline.surfaces import published_entries
from flopline.twins import MOST_YAML, yaml_once
from flopline.units import misread_targets, unsaid_units
from flopline.written_numbers import as_float

TODO = "TODO"
"""What a drafted study file says where a person must decide."""

LISTED = 10
"""Studies that a sentence lists."""

MOST_VALUES = 1_000_000
"""Values that a YAML file may hold once its aliases are followed."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def _waiting(document: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The keys of a study file that still say TODO, those within others by dots."""
    for key, value in document.items():
        if value == TODO:
            yield f"{above}{key}"
        elif isinstance(value, dict):
            yield from _waiting(value, f"{above}{key}.")


def study_name(folder: Path) -> str:
    """The name of a study that is called after a folder."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.resolve().name)


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_IN_KEYS = re.compile(rf"[\t\n]|{_CONTROL.pattern}")
_FLOAT = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)[eE][-+]?\d+")


def load_study(config: Mapping[str, object], root: Path, schemas: Path) -> StudyDocument:
    """The study that `config` names, merged with the run-wide options, defaults filled in.

    Adds the keys `name` (letters, digits, `_`, `.`, `-`) and `file` (its path). Paths in a study
    file are relative to `root`. Raises FloplineError for a missing file, a key that does not
    exist or a value that does not fit.
    """
    options, of_options = _numbers(dict(config)), config_schema()
    if isinstance(options.get("study"), bool | int | float):
        raise FloplineError(
            f"config `study` came as {options['study']}, since Snakemake takes a name of digits "
            "for a number: give the path, as in --config study=config/studies/NAME.yaml."
        )
    _check(options, of_options, "config/config.yaml")
    path = _study_path(str(options["study"]), root)
    if not NAME.fullmatch(path.stem):
        raise FloplineError(
            f"{path}: a study's file name becomes a folder of results, so it may only hold "
            "letters, digits, `_`, `.` and `-`, 100 at most: rename it."
        )
    if why := why_no_folder(path.stem):
        raise FloplineError(f"{path}: the study's name {why}.")
    study = read_yaml(root / path, str(path))
    if not isinstance(study, dict):
        what = "is empty" if study is None else "does not consist of `key: value` lines"
        raise FloplineError(f"{path} {what}: a study needs a title, a source, families, targets.")
    waiting = list(_waiting(study))
    if waiting:
        raise FloplineError(
            f"{path}: {' and '.join(f'`{key}`' for key in waiting)} still "
            f"{'says' if len(waiting) == 1 else 'say'} {TODO}: fill in what the comment above "
            "asks for."
        )
    study_schema = _study_schema(schemas / "study.schema.yaml")
    # A study file may override every group, and not the choice of the study.
    groups = {name: rule for name, rule in of_options["properties"].items() if name != "study"}
    study_schema["properties"] |= groups
    if is_simulated(cast("StudyDocument", study)):
        study_schema["properties"]["source"] = study_schema["$defs"]["simulate"]
    for group in groups:
        own = study.get(group, {})
        study[group] = {**options[group], **own} if isinstance(own, dict) else own
    _check(study, study_schema, str(path))
    _check_meaning(cast("StudyDocument", study), path)
    study["loss_label"] = study["loss_label"] or split_label(study["loss_split"])
    study["loss_unit"] = unit_of_study(cast("StudyDocument", study))
    return cast("StudyDocument", {"name": path.stem, "file": str(path), **study})


def _yaml_mend(reason: str) -> str:
    """What mends the mistakes that people make in YAML, by the parser's own reason."""
    if "'\\t'" in reason:
        return "indent with blanks, since YAML takes no tabs"
    if "mapping values" in reason:
        return (
            "a key stands in another column than its neighbours, or a text holds a colon: indent "
            "keys of one group alike, and put such a text in quotes"
        )
    return (
        "indent keys of one group alike, close what is opened ([ ], { }, quotes), and put texts "
        "that hold : or # in quotes"
    )


def read_yaml(path: Path, called: str | None = None) -> Any:
    """The content of a YAML file, where numbers such as 1e21 are numbers.

    YAML 1.1 reads 1e21 as text and only 1.0e+21 as a number, which nobody expects. Raises
    FloplineError, which calls the file `called`, when it is missing or not YAML.
    """
    name = called or str(path)
    try:
        with path.open("rb") as stream:
            text = stream.read(4 * MOST_YAML + 4).decode("utf-8").replace("\r\n", "\n")
        content = yaml_once(text, name)
        _refuse_bomb(content, name)
    except FileNotFoundError:
        raise FloplineError(f"{name} does not exist.") from None
    except UnicodeDecodeError:
        raise FloplineError(f"{name} is not UTF-8 text: save it as UTF-8.") from None
    except Undecodable as error:
        where = f", line {error.line}" if error.line else ""
        mend = "" if ";" in str(error) else f"; {_yaml_mend(str(error))}"
        raise FloplineError(f"{name}{where} is not valid YAML: {error}{mend}.") from None
    for key in _keys([content]):
        if match := _IN_KEYS.search(key):
            raise FloplineError(
                f"{name}: the key '{key}' holds the character U+{ord(match[0]):04X}, which stands "
                "in no name: take it out."
            )
    for place, value in _leaves(content):
        if isinstance(value, int | float) and not math.isfinite(as_float(value)):
            raise FloplineError(f"{name}: `{place}` is {as_float(value)}: give a finite number.")
        if value is not None and not isinstance(value, str | int | float):
            raise FloplineError(
                f"{name}: `{place}` is a {type(value).__name__} to YAML, which no option is: put "
                "it in quotes if it is text."
            )
        if isinstance(value, str) and (match := _CONTROL.search(value)):
            raise FloplineError(
                f"{name}: `{place}` holds the control character U+{ord(match[0]):04X}, which a "
                "terminal might obey: take it out."
            )
    return content


def _refuse_bomb(content: Any, name: str) -> None:
    """Stop at aliases that make a small file endless or immense."""
    todo, seen = [content], 0
    while todo:
        value = todo.pop()
        seen += 1
        if seen > MOST_VALUES:
            raise FloplineError(
                f"{name} holds more than {MOST_VALUES:,} values, mostly by its aliases (*name): "
                "write out what they stand for."
            )
        if isinstance(value, dict):
            todo += value.values()
        elif isinstance(value, list):
            todo += value


def is_simulated(study: StudyDocument) -> bool:
    """Whether the study's runs are simulated and not read from files of the user."""
    source = study.get("source")
    return isinstance(source, dict) and source.get("kind") == "simulate"


def raw_source(study: StudyDocument) -> SourceDocument:
    """The study's source as files to read; simulated runs leave a run table and logs like a lab's.

    These lie below results/<study>/simulated.
    """
    source: SourceDocument = study["source"]
    if not is_simulated(study):
        return source
    # NumPy comes along, which a start without simulated runs need not load.
    from flopline.simulation import LOG_COLUMNS, RUN_COLUMNS

    return {
        "kind": "logs",
        "format": "jsonl",
        "paths": f"{simulated_folder(study)}/logs/*.jsonl",
        "columns": {name: name for name in LOG_COLUMNS},
        "runs": {
            "table": f"{simulated_folder(study)}/runs.csv",
            "columns": {name: name for name in RUN_COLUMNS},
        },
        "shards": source["shards"],
    }


def simulated_folder(study: StudyDocument) -> str:
    """Where a study's simulated runs lie, as files like a lab's."""
    return f"results/{study['name']}/simulated"


def _study_path(name: str, root: Path) -> Path:
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if why := why_no_file(root / path):
            named = [path.name for path in _studies(root)]
            meant = did_you_mean(name, [f"config/studies/{one}" for one in named])
            if path.name in named:
                meant = f"; name it {path.stem} or config/studies/{path.name}"
            raise FloplineError(f"config `study`: the study file {name} {why}{meant}.")
        return path
    path = Path("config/studies") / f"{name}.yaml"
    why = why_no_file(root / path)
    if not why:
        return path
    if why != "does not exist":
        raise FloplineError(f"config `study`: {path} {why}: put the study file there.")
    known = [path.stem for path in _studies(root)]
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    raise FloplineError(
        f"config `study`: {path} does not exist{did_you_mean(name, known)}; "
        f"the studies there are: {', '.join(known[:LISTED]) or 'none'}{more}."
    )


def _studies(root: Path) -> list[Path]:
    return sorted((root / "config/studies").glob("*.yaml"))


def _study_schema(path: Path) -> dict[str, Any]:
    """The schema in a file, with the laws and the log formats that there are."""
    # PyYAML's own loader in C, where it was built with it, is ten times as fast.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    schema: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506
    schema["properties"]["laws"] |= {"items": {"enum": list(LAWS)}, "default": list(LAWS)}
    schema["properties"]["source"]["properties"]["format"]["enum"] = sorted(FORMATS)
    return schema


def _check(data: dict[str, Any], schema: dict[str, Any], file: str) -> None:
    """Fill the schema's defaults into `data`, then raise FloplineError at the first misfit."""
    import jsonschema

    _fill(data, schema)
    errors = sorted(
        jsonschema.Draft202012Validator(schema).iter_errors(data),
        # A wrong word, such as the kind of a source, makes right keys look wrong.
        key=lambda e: (e.validator != "enum", list(map(str, e.path))),
    )
    if errors:
        raise FloplineError(f"{file}: {sentence_of(errors[0])}.")


def _fill(data: dict[str, Any], schema: Mapping[str, Any]) -> None:
    for key, rule in schema.get("properties", {}).items():
        if "default" in rule and key not in data:
            default = rule["default"]
            data[key] = dict(default) if isinstance(default, dict) else default
        value, kinds = data.get(key), rule.get("type")
        if isinstance(value, float) and value.is_integer() and "integer" in (kinds or ()):
            data[key] = int(value)  # written as 2e3, which is a float to YAML
        if rule.get("type") == "object" and isinstance(data.get(key), dict):
            _fill(data[key], rule)


def _check_meaning(study: StudyDocument, path: Path) -> None:
    """What a schema cannot say: which keys need which others."""
    # One after the other: what is wrong in one place may keep the next from being asked.
    for sentence in chain(
        _too_many(study),
        misread_targets(study["targets"]),
        family_mistakes(list(study["families"])),
        _unknown_laws(study),
        _unknown_family(study),
        _budgets_twice(study),
        _misfits(study),
    ):
        raise FloplineError(f"{path}: {sentence}")


def _too_many(study: StudyDocument) -> Iterator[str]:
    if len(study["targets"]) > MOST_TARGETS:
        yield (
            f"`targets` lists {len(study['targets']):,}, more than {MOST_TARGETS:,}: leave some "
            "out."
        )


def _unknown_laws(study: StudyDocument) -> Iterator[str]:
    for name in study["audit"]["compare"]:
        if name not in (known := published_entries.names()):
            yield (
                f"`audit.compare` names '{name}', which is no published law"
                f"{did_you_mean(name, list(known))}; there are: {', '.join(known)}."
            )


def _unknown_family(study: StudyDocument) -> Iterator[str]:
    named, known = study["headline_family"], list(study["families"])
    if named is not None and named not in known:
        yield (
            f"`headline_family` names '{named}', which is none of the study's families"
            f"{did_you_mean(named, known)}; there are: {', '.join(known)}."
        )


def _budgets_twice(study: StudyDocument) -> Iterator[str]:
    budgets = cast("dict[str, Any]", study)["isoflop"]["budgets"] or []
    twice = next((one for place, one in enumerate(budgets) if one in budgets[:place]), None)
    if twice is not None:
        yield f"`isoflop.budgets` names {twice:g} twice: keep one."


def _misfits(study: StudyDocument) -> Iterator[str]:
    return _simulated_misfits(study) if is_simulated(study) else _read_misfits(study)


def _simulated_misfits(study: StudyDocument) -> Iterator[str]:
    simulated = study["source"]["families"]
    for family in sorted(set(simulated) ^ set(study["families"])):
        where, other = ("source.families", "families")
        if family in study["families"]:
            where, other = other, where
        yield f"`{where}` has '{family}' and `{other}` has not: name the same families in both."
    if study["flops_convention"] != "six_nd":
        yield (
            f"flops_convention is {study['flops_convention']}, but simulated runs cost C = 6 N D: "
            "set it to six_nd."
        )


def _read_misfits(study: StudyDocument) -> Iterator[str]:
    source = study["source"]
    yield from pattern_mistakes(source)
    yield from unsaid_units(source)
    yield from param_counts.misfits(study)
    yield from loss_units.misfits(study)
    columns = source.get("columns", {})
    table, declared = source["kind"] == "table", format_of(source)
    entry = FORMATS[declared] if declared else None
    facts = set(columns) if table else fact_names(source)
    if table and entry and not entry.is_table:
        yield f"source.format {declared} holds curves, no table of runs: set source.kind to logs."
    if table or (entry and not entry.columns.of_format) or columns:
        if "loss" not in columns:
            yield "source.columns must name the column that holds the loss."
        yield from _tokens_misfits(study, set(columns), facts)
    if not table:
        yield from _facts_as_rows(columns)
    yield from _params_misfits(study, facts)
    split = study["loss_split"]
    if table and split.lower() not in SPLIT_FOLDERS:
        yield (
            f"`loss_split` is '{split}', which is no split of a table, whose loss is that of one "
            f"column{did_you_mean(split, list(SPLIT_FOLDERS))}: write val, or train if it is a "
            "training loss."
        )
    if len(study["families"]) > 1 and "family" not in facts:
        yield "several families are listed but no `family` column is named."
    if isinstance(columns.get("loss"), dict) and "split" in columns:
        yield "source.columns has both a `split` column and one loss column per split: keep one."
    convention = study["flops_convention"]
    if convention != "six_nd":
        # NumPy comes along, which a start under six_nd need not load.
        from flopline.flops import convention_named

        for need in convention_named(convention).lacks({*columns, *facts}):
            yield f"flops_convention {convention} needs a `{need}` column."
    optional = source.get("optional", [])
    if optional and table:
        yield "source.optional is for logs: a table has all the columns that are named."
    for name in sorted(set(optional) - set(columns)):
        yield f"source.optional names '{name}', which source.columns does not map: take it out."
    if source.get("pieces"):
        yield from _pattern_misfits(source["pieces"])


def _facts_as_rows(columns: ColumnMap) -> Iterator[str]:
    """A sentence on each fact of runs that is mapped as if rows of a log had it."""
    for name, column in columns.items():
        if name not in ROW_COLUMNS:
            line = f"source.runs.from_log: {{{name}: {json.dumps(column, ensure_ascii=False)}}}"
            yield (
                f"source.columns maps `{name}`, which under `kind: logs` is a fact of a run and no "
                "column of its rows: take it out, and name it in source.runs.columns where the run "
                f"table says it, or write `{line}` where the log does."
            )


def _params_misfits(study: StudyDocument, facts: set[str]) -> Iterator[str]:
    source = study["source"]
    if source["kind"] == "table":
        if "params" not in facts:
            yield "source.columns must name the column that holds params."
        return
    declared = format_of(source)
    may_say = declared is None or "params" in FORMATS[declared].says
    from_log = may_say and source.get("runs", {}).get("from_log", True)
    counted = {"total": "params_total", "non_embedding": "params_nonembedding"}
    if not ({"params", counted.get(study["params_convention"])} & facts or from_log):
        yield (
            "params of the runs are not given: name them in a run table (source.runs.table), a "
            "sidecar (source.runs.sidecar), the file name (source.runs.from_name) or the log "
            "itself (source.runs.from_log)."
        )


def _tokens_misfits(study: StudyDocument, columns: set[str], facts: set[str]) -> Iterator[str]:
    source = study["source"]
    declared = format_of(source)
    may_say = declared is not None and "tokens" in FORMATS[declared].says
    may_be_logged = source["kind"] == "logs" and may_say
    of_flops = study["flops_convention"] == "six_nd" and "flops" in columns
    if not ("tokens" in columns or "batch_tokens" in facts or may_be_logged or of_flops):
        yield (
            "tokens are not given: name a `tokens` column, or `batch_tokens` of each run, or with "
            "flops_convention six_nd a `flops` column from which tokens = flops / (6 params)."
        )


def _pattern_misfits(pattern: str) -> Iterator[str]:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        yield f"source.pieces '{pattern}' is no regular expression: {error}."
    else:
        if groups != 1:
            yield (
                f"source.pieces '{pattern}' has {groups} groups: put the part of a file's name "
                "that names the run in parentheses, as in (.+)-part[0-9]+."
            )


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no list and no mapping, with where it stands, as `targets.0`."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from _leaves(inner, f"{place}.{key}" if place else str(key))
    else:
        yield place, value


def _keys(value: Any) -> Iterator[str]:
    """Every key, of what lies within, too."""
    if isinstance(value, dict):
        yield from map(str, value)
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from _keys(inner)


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _numbers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    if isinstance(value, str) and _FLOAT.fullmatch(value):
        return float(value)
    return value
