"""Reading studies: defaults, overrides, and mistakes told in one sentence."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from flopline.errors import FloplineError
from flopline.laws.isoflop.isoflop_options import IsoflopOptions
from flopline.laws.registry import LAWS
from flopline.sources import run_name
from flopline.study import read_yaml
from running.log_search import log_files
from running.shards import shard_of
from tests.builders.studies import SCHEMAS, loaded, write_study
from tests.conftest import ROOT


def change(folder: Path, **changes: Any) -> None:
    path = folder / "config/studies/toy.yaml"
    study = yaml.safe_load(path.read_text()) | changes
    path.write_text(yaml.safe_dump({k: v for k, v in study.items() if v is not None}))


def test_defaults_config_and_study_are_layered(tmp_path: Path) -> None:
    write_study(tmp_path, isoflop={"min_sizes": 5})
    study = loaded(tmp_path, isoflop={"min_sizes": 3, "budget_tolerance": 0.2})
    own = {"min_sizes": 5, "budget_tolerance": 0.2}
    assert study["isoflop"] == {**IsoflopOptions().plain(), **own}
    assert study["parametric"]["huber_delta"] == 1e-3
    assert study["laws"] == list(LAWS)
    assert study["name"] == "toy"


def test_numbers_in_scientific_notation_are_numbers(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a: 1e21\nb: [5.76e23, 2E-3]\nc: e21\nd: 1.0.2\n")
    assert read_yaml(file) == {"a": 1e21, "b": [5.76e23, 2e-3], "c": "e21", "d": "1.0.2"}


def test_whole_numbers_may_be_written_with_an_exponent(tmp_path: Path) -> None:
    write_study(tmp_path, bootstrap={"draws": "2e3"}, audit={"next_run_cap": "1e20"})
    study = loaded(tmp_path)
    assert (study["bootstrap"]["draws"], type(study["bootstrap"]["draws"])) == (2000, int)
    assert type(study["audit"]["next_run_cap"]) is float


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """YAML alone takes the last and drops the first without a word."""
    file = tmp_path / "a.yaml"
    file.write_text("a: {x: 1}\nb: [{x: 1}, {x: 2}]\n")
    assert read_yaml(file) == {"a": {"x": 1}, "b": [{"x": 1}, {"x": 2}]}
    file.write_text("a:\n  x: 1\nb:\n- c: &n {x: 1}\n  d: *n\n  c: 2\n")
    with pytest.raises(FloplineError, match=r"'c' stands in line 4 and again in line 6"):
        read_yaml(file)


def test_shipped_config_fits_its_schema_and_states_the_defaults() -> None:
    config = read_yaml(ROOT / "config/config.yaml")
    schema = yaml.safe_load((SCHEMAS / "config.schema.yaml").read_text())
    for group, rule in schema["properties"].items():
        if "properties" in rule:
            defaults = {key: value["default"] for key, value in rule["properties"].items()}
            assert config[group] == defaults, group


def test_every_option_and_study_key_is_explained() -> None:
    text = (ROOT / "config/README.md").read_text()
    config = yaml.safe_load((SCHEMAS / "config.schema.yaml").read_text())["properties"]
    study = yaml.safe_load((SCHEMAS / "study.schema.yaml").read_text())["properties"]
    options = [f"`{g}.{k}`" for g, rule in config.items() for k in rule.get("properties", {})]
    columns = [f"`{c}`" for c in study["source"]["properties"]["columns"]["properties"]]
    conventions = [f"`{c}`" for c in study["flops_convention"]["enum"]]
    keys = [f"`{k}`" for k in study]
    missing = [k for k in [*options, *columns, *conventions, *keys] if k not in text]
    assert missing == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"title": None}, "the key 'title' is missing"),
        ({"targets": []}, "`targets`"),
        ({"targets": [-1.0]}, "entry 1 of `targets` is -1.0 but must be above 0"),
        # A decimal comma: YAML reads two targets.
        ({"targets": [3, 5e21]}, "the target 3 FLOPs is fewer than 1,000,000"),
        ({"points": "all"}, "`points` is 'all' but must be one of: final, checkpoints"),
        ({"flops_convention": "supplied"}, "needs a `flops` column"),
        ({"flops_convention": "gemstones"}, "needs a `width` column"),
        (
            {"bootstrap": {"draws": "many"}},
            "`bootstrap.draws` is 'many' but must be a whole number",
        ),
        ({"reporting": {"optimizer": "x"}}, "unknown key 'optimizer' in `reporting` (did you mean"),
        ({"bootstrap": {"drows": 200}}, "unknown key 'drows' in `bootstrap` (did you mean 'draws'"),
        (
            {"audit": {"compare": ["besiroglu"]}},
            "law (did you mean 'besiroglu_2024'?); there are: ",
        ),
        ({"parametric": {"objective": "mse"}}, "must be one of: log_huber, linear_huber"),
        ({"parametric": {"huber_delta": "much"}}, "is 'much' but must be a number or auto"),
        ({"families": {"../up": "Up"}}, "families"),
        (
            {"held_out": [{"column": "params"}]},
            "entry 1 of `held_out` needs `runs`, or `column` with `below` or `above`",
        ),
        (
            {"held_out": [{"column": "size", "above": 1}]},
            "`column` in entry 1 of `held_out` is 'size'",
        ),
    ],
)
def test_mistakes_name_the_file_and_the_key(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    write_study(tmp_path)
    change(tmp_path, **changes)
    with pytest.raises(FloplineError) as error:
        loaded(tmp_path)
    assert str(error.value).startswith("config/studies/toy.yaml: ")
    assert words in str(error.value)


def test_unknown_study_suggests_a_known_one(tmp_path: Path) -> None:
    write_study(tmp_path)
    with pytest.raises(FloplineError, match=r"did you mean 'toy'.*studies there are: toy"):
        loaded(tmp_path, study="tyo")


@pytest.mark.parametrize("name", ["my study.yaml", "-x.yaml", ".yaml.yaml", "a$b.yaml"])
def test_study_file_names_that_are_no_folder_names_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(write_study(tmp_path).read_text())
    with pytest.raises(FloplineError, match="rename it"):
        loaded(tmp_path, study=name)


def test_tokens_must_follow_from_something(tmp_path: Path) -> None:
    write_study(tmp_path)
    source = loaded(tmp_path)["source"]
    change(tmp_path, source=source | {"columns": {"loss": "loss", "step": "step"}})
    with pytest.raises(FloplineError, match="tokens are not given"):
        loaded(tmp_path)


def test_log_files_are_named_by_the_run_table(tmp_path: Path) -> None:
    write_study(tmp_path)
    files = log_files(loaded(tmp_path), tmp_path)
    assert len(files) == 70
    assert files == sorted(files, key=lambda f: f["run"])
    assert files[0]["path"] == f"data/toy/logs/{files[0]['run']}.jsonl"


def test_folders_are_no_logs(tmp_path: Path) -> None:
    write_study(tmp_path)
    study = loaded(tmp_path)
    study["source"]["paths"] = "data/toy/**"
    (tmp_path / "data/toy/runs.csv").rename(tmp_path / "data/runs.csv")
    study["source"]["runs"] = {"table": "data/runs.csv", "columns": {"run": "run"}}
    assert len(log_files(study, tmp_path)) == 70
    study["source"]["paths"] = "data/to*"
    with pytest.raises(FloplineError, match="matches no file"):
        log_files(study, tmp_path)


def test_unnamed_rows_of_two_tables_of_one_name_are_refused(tmp_path: Path) -> None:
    columns = {"params": "n", "tokens": "d", "loss": "y"}
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "runs.csv").write_text("name,n,d,y\nx,1,2,3\n")
    source = {"kind": "table", "paths": ["a/runs.csv", "b/runs.csv"], "columns": columns}
    with pytest.raises(FloplineError, match=r"a/runs\.csv and b/runs\.csv share a name"):
        log_files({"file": "s.yaml", "source": source}, tmp_path)
    source["columns"] = columns | {"run": "name"}
    assert len(log_files({"file": "s.yaml", "source": source}, tmp_path)) == 2


def test_two_files_of_one_run_are_refused(tmp_path: Path) -> None:
    write_study(tmp_path)
    study = loaded(tmp_path)
    del study["source"]["runs"]["columns"]["log"]
    study["source"]["paths"] = "data/toy/logs/*"
    logs = tmp_path / "data/toy/logs"
    (logs / "ash-1e+15-0.jsonl.gz").write_bytes(b"")
    with pytest.raises(FloplineError, match="both hold run 'ash-1e\\+15-0'"):
        log_files(study, tmp_path)


@pytest.mark.parametrize(
    ("path", "run"),
    [("a/b.jsonl.gz", "b"), ("x.2.jsonl", "x.2"), ("run.v1.csv.xz", "run.v1"), ("plain", "plain")],
)
def test_run_name(path: str, run: str) -> None:
    assert run_name(path) == run


def test_shard_of_a_run_stays() -> None:
    assert [shard_of(f"run-{i}", 4) for i in range(6)] == [
        shard_of(f"run-{i}", 4) for i in range(6)
    ]
    assert {shard_of(f"run-{i}", 4) for i in range(64)} == {0, 1, 2, 3}


LOGS = {"kind": "logs", "paths": "data/toy/logs/*.jsonl"}
BY_NAME = {"from_name": "(?P<family>[a-z]+)-(?P<params>[0-9]+)"}
COLUMNS = {"tokens": "tokens", "loss": "loss"}
FACTS = {"params": "n", "family": "f"}
ONE_RUN = COLUMNS | FACTS
GIGA = {"column": "g", "times": 1e9}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"format": "csv", "runs": BY_NAME}, "source.columns must name the column that holds the"),
        ({"format": "llmc", "runs": {"from_name": "(?P<family>.)"}}, "params of the runs are not"),
        ({"columns": COLUMNS, "runs": {"from_name": "(?P<params>"}}, "no regular expression"),
        ({"columns": COLUMNS, "runs": {"from_name": "[0-9]+"}}, "names no group"),
        ({"columns": COLUMNS, "runs": {"table": "runs.csv"}}, "source.runs"),
        (
            {"columns": COLUMNS, "runs": {"from_log": True}},
            "is True but must be false or `key: value` lines, as from_log: {params: n_params}",
        ),
        ({"columns": COLUMNS, "runs": {}}, "source.runs"),
        # A fact of a run was taken in and ignored without a word.
        (
            {"columns": COLUMNS | {"params": "n"}},
            'where the run table says it, or write `source.runs.from_log: {params: "n"}`',
        ),
        ({"columns": COLUMNS | {"family": "f"}, "runs": BY_NAME}, "maps `family`, which under"),
        ({"pattern": "(?P<loss>", "runs": BY_NAME}, "source.pattern '(?P<loss>' is no regular"),
        ({"pattern": "loss (.*)", "runs": BY_NAME}, "source.pattern has no group (?P<loss>"),
        ({"pattern": "x", "format": "llmc", "runs": BY_NAME}, "go together"),
        ({"format": "pattern", "runs": BY_NAME}, "go together"),
        ({"format": "word", "runs": BY_NAME}, "`source.format` is 'word' but must be one of: csv"),
        ({"columns": {"loss": {"column": "x", "by": 2}}, "runs": BY_NAME}, "`source.columns.loss`"),
        ({"kind": "table", "format": "megatron", "columns": COLUMNS}, "set source.kind to logs"),
        (
            {"columns": COLUMNS, "optional": ["split"], "runs": BY_NAME},
            "entry 1 of `source.optional` is",
        ),
        ({"columns": COLUMNS, "optional": ["step"], "runs": BY_NAME}, "names 'step', which source"),
        ({"kind": "table", "columns": ONE_RUN, "optional": ["tokens"]}, "optional is for logs"),
        ({"kind": "table"}, "source.columns must name the column that holds the loss"),
    ],
)
def test_mistakes_in_a_source_are_told(tmp_path: Path, source: dict[str, Any], words: str) -> None:
    write_study(tmp_path)
    change(tmp_path, source=LOGS | source)
    with pytest.raises(FloplineError) as error:
        loaded(tmp_path)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "source",
    [
        {"runs": BY_NAME},
        {"format": "megatron", "runs": {"from_name": "(?P<family>.)"}},
        {"format": "llmc", "runs": {"from_name": "(?P<family>.)(?P<params>.)(?P<batch_tokens>.)"}},
        {"pattern": "(?P<step>.) (?P<tokens>.) (?P<loss>.)", "runs": BY_NAME},
        {"pattern": [{"pattern": "(?P<loss>.)", "split": "val"}], "runs": BY_NAME},
        {"columns": COLUMNS, "runs": {"sidecar": {"path": "{stem}.json", "columns": FACTS}}},
        {"columns": COLUMNS | {"flops": GIGA}, "runs": {"from_log": FACTS}},
        {"columns": COLUMNS | {"loss": {"val": GIGA}}, "runs": BY_NAME},
    ],
)  # fmt: skip
def test_sources_without_a_run_table_or_columns(tmp_path: Path, source: dict[str, Any]) -> None:
    write_study(tmp_path)
    change(tmp_path, source=LOGS | source)
    assert loaded(tmp_path)["source"]["kind"] == "logs"


@pytest.mark.parametrize("name", ["on", "no", "7", "007", "1e3", "1.5", "null", "2024-01-01"])
def test_keys_are_names_whatever_yaml_takes_them_for(tmp_path: Path, name: str) -> None:
    write_study(tmp_path)
    path = tmp_path / "config/studies/toy.yaml"
    path.write_text(path.read_text().replace("  ash: Ash\n", f"  {name}: Ash\n"))
    assert name in loaded(tmp_path)["families"]


@pytest.mark.parametrize("value", ["no", "7", "1e3"])
def test_a_value_that_yaml_takes_for_another_kind_is_put_in_quotes(
    tmp_path: Path, value: str
) -> None:
    write_study(tmp_path)
    path = tmp_path / "config/studies/toy.yaml"
    text = path.read_text()
    path.write_text(f"{text}loss_split: {value}\n")
    with pytest.raises(FloplineError, match=r"`loss_split` is .* put it in quotes as it stands"):
        loaded(tmp_path)
    path.write_text(f"{text}loss_split: '{value}'\n")
    assert loaded(tmp_path)["loss_split"] == value


@pytest.mark.parametrize("number", [202611, 7, 1e19])
def test_a_study_that_came_as_a_number_is_asked_for_by_its_path(
    tmp_path: Path, number: float
) -> None:
    write_study(tmp_path)
    with pytest.raises(FloplineError, match=r"--config study=config/studies/NAME\.yaml"):
        loaded(tmp_path, number)
    path = tmp_path / "config/studies/toy.yaml"
    path.rename(path.with_name("2026_11.yaml"))
    assert loaded(tmp_path, "config/studies/2026_11.yaml")["name"] == "2026_11"


def made(folder: Path, *words: str, **environment: str) -> str:
    """What make would run, of a checkout that is set up."""
    for name in ("Makefile", "requirements.lock"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / ".venv").mkdir(exist_ok=True)
    (folder / ".venv/ready").touch()
    return subprocess.run(
        ["make", "-n", *words], cwd=folder, env={**os.environ, **environment},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


@pytest.mark.parametrize("home", ["/proc", "/dev/null"])
def test_make_keeps_what_snakemake_remembers_where_the_home_cannot_be_written(
    tmp_path: Path, home: str
) -> None:
    show = ("--eval", "show: ; $(info cache: $(XDG_CACHE_HOME))", "show")
    own = {"HOME": str(tmp_path), "XDG_CACHE_HOME": ""}
    assert "cache: \n" in made(tmp_path, *show, **own)
    assert f"cache: {tmp_path}/.snakemake/home\n" in made(tmp_path, *show, **own | {"HOME": home})


def test_make_runs_in_any_folder_but_one_with_a_colon(tmp_path: Path) -> None:
    odd = tmp_path / "a b'c\"%s$HOME*模\n#;&|(x)<b>[1]\\"
    odd.mkdir()
    assert "python workflow/run.py" in made(odd)
    colon = tmp_path / "a:b"
    colon.mkdir()
    with pytest.raises(subprocess.CalledProcessError) as stopped:
        made(colon)
    assert re.search(r"a:b, and a colon parts .* rename that folder", stopped.value.stderr)


def test_make_gives_studies_by_their_path_and_targets_before_options(tmp_path: Path) -> None:
    (tmp_path / "config/studies").mkdir(parents=True)
    (tmp_path / "config/studies/2026_11.yaml").touch()
    assert "--config study=config/studies/2026_11.yaml" in made(tmp_path, "STUDY=2026_11")
    words = made(tmp_path, "STUDY=other", "ARGS=results/x").split()
    assert words.index("results/x") < words.index("--config")
    assert "study=other" in words
