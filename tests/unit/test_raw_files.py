"""The raw files of a study as a run is planned on them: digests, shards, names that are refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from flopline.errors import FloplineError
from flopline.hashing import hash_file
from running.last_words import decision_lines
from running.raw_files import RawFiles, demand_plain_checkout, raw_files
from running.report_check import demand_harmless
from tests.builders.studies import loaded, study_of, write_study, write_study_file


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def planned(**source: Any) -> RawFiles:
    columns = {"step": "step", "tokens": "tokens", "loss": "loss"}
    logs = {"kind": "logs", "paths": "logs/*.jsonl", "columns": columns}
    runs = {"runs": {"from_name": "(?P<params>1)"}}
    write_study_file(Path(), "toy", study_of(logs | runs | source))
    return raw_files(loaded(Path()), lambda: pytest.fail("nothing is simulated"))


def log(name: str) -> Path:
    path = Path("logs", name)
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}\n")
    return path


def test_every_file_has_its_digest_and_stands_in_one_shard() -> None:
    write_study(Path(), families=("ash",), sizes=2, rows=2, shards=3)
    raw = raw_files(loaded(Path()), lambda: "")
    assert raw.run_table == {
        "path": "data/toy/runs.csv",
        "sha256": hash_file(Path("data/toy/runs.csv")),
    }
    assert len(raw.logs) == 10
    assert all(file["sha256"] == hash_file(Path(file["path"])) for file in raw.logs)
    read = [path for shard in range(3) for path in raw.read_by(shard)]
    assert sorted(read) == sorted(file["path"] for file in raw.logs)
    assert len(raw.by_shard) == len(set(raw.facts)) == 3
    assert Path("results/toy/.digests.json").is_file()


def test_sidecars_are_read_with_their_logs() -> None:
    log("run1.jsonl")
    sidecar = {"path": "{run}.json", "columns": {"params": "n"}}
    with pytest.raises(FloplineError, match=r"source\.runs\.sidecar names logs/run1\.json, which"):
        planned(runs={"sidecar": sidecar})
    log("run1.json")
    raw = planned(runs={"sidecar": sidecar})
    assert raw.read_by(0) == ["logs/run1.jsonl", "logs/run1.json"]
    assert raw.logs[0]["sidecar_sha256"] == hash_file(Path("logs/run1.json"))
    assert raw.facts == [None]


@pytest.mark.parametrize("name", ["a{1}.jsonl", "a<run>1.jsonl", "a\n1.jsonl"])
def test_names_that_snakemake_would_misread_are_refused(name: str) -> None:
    log(name)
    with pytest.raises(FloplineError, match="rename it"):
        planned()


@pytest.mark.parametrize("name", ["a b", "a'b", 'a"b', "100%s", "ünï模", "$HOME", "#a;b&c", "(a)"])
def test_names_with_blanks_quotes_and_signs_are_read(name: str) -> None:
    path = log(f"{name}1.jsonl")
    assert [one["path"] for one in planned().logs] == [str(path)]


@pytest.mark.parametrize("name", ["{a}", "a{", "}"])
def test_a_checkout_whose_path_snakemake_would_fill_in_is_refused(name: str) -> None:
    with pytest.raises(FloplineError, match=r"braces .* rename the folder"):
        demand_plain_checkout(Path("/x", name, "flopline"))
    demand_plain_checkout(Path("/x", "a b'\"%s$HOME*模\n<b>[1]", "flopline"))


def test_a_path_that_is_taken_for_a_pattern_is_told_how_to_be_written() -> None:
    log("a[1].jsonl")
    with pytest.raises(FloplineError, match=re.escape("so write 'logs/a[[]1].jsonl'")):
        planned(paths="logs/a[1].jsonl")
    assert [one["path"] for one in planned(paths="logs/a[[]1].jsonl").logs] == ["logs/a[1].jsonl"]


def test_a_run_table_without_an_end_is_one_sentence() -> None:
    log("a1.jsonl")
    Path("runs.csv").write_text('run,log,n\na1,"logs/a1.jsonl,1\n' + "x" * 140_000)
    for columns in ({"log": "log"}, {}):
        runs = {"table": "runs.csv", "columns": {"run": "run", "params": "n", **columns}}
        if columns:
            with pytest.raises(FloplineError, match=r"cannot be read to its end .* quotation"):
                planned(runs=runs)
        else:
            assert planned(runs=runs).facts == [planned(runs=runs).run_table["sha256"]]


def test_missing_run_table_is_named_with_its_place() -> None:
    log("a1.jsonl")
    runs = {"table": "runs.csv", "columns": {"run": "run", "params": "n"}}
    with pytest.raises(FloplineError, match=r"source\.runs\.table names runs\.csv, which does not"):
        planned(runs=runs)


def test_runs_that_are_yet_to_be_simulated_are_known_by_what_they_are_made_of() -> None:
    source = {
        "kind": "simulate",
        "seed": 1,
        "rows": 5,
        "noise": {"run": 0.0, "row": 0.0},
        "families": {
            "ash": {
                "law": {"E": 1.8, "A": 120.0, "B": 300.0, "alpha": 0.34, "beta": 0.33},
                "design": {"params": [1e6, 3e6], "tokens": [1e8]},
            }
        },
        "shards": 2,
    }

    def made_of(code: str, **changes: int) -> str:
        write_study_file(Path(), "toy", study_of(source | changes))
        raw = raw_files(loaded(Path()), lambda: code)
        assert raw.run_table is not None
        assert raw.run_table["path"] == "results/toy/simulated/runs.csv"
        (digest,) = {*raw.facts, *(file["made_of"] for file in raw.logs)}
        assert {file["sha256"] for file in raw.logs} == {None}
        return str(digest)

    # How many jobs read the logs back is no part of them.
    assert made_of("code") == made_of("code", shards=3)
    assert len({made_of("code"), made_of("other code"), made_of("code", seed=2)}) == 3


def test_report_of_snakemake_is_refused_for_what_it_would_not_escape() -> None:
    study = {"file": "a.yaml", "title": "x</SCRIPT>"}
    demand_harmless(study, ["snakemake", "--cores", "1"])
    demand_harmless({"file": "a.yaml", "title": "a < b"}, ["snakemake", "--report"])
    with pytest.raises(FloplineError, match="holds </SCRIPT"):
        demand_harmless(study, ["snakemake", "--report=x.html"])


def test_last_words_wait_for_a_decision_and_name_a_damaged_one() -> None:
    assert decision_lines(Path("results"), {}, False) == ""
    Path("results").mkdir()
    nothing = {"headline": None, "choices": [], "silent": [], "not_fitted": []}
    Path("results/decision.json").write_text(json.dumps(nothing))
    lines = decision_lines(Path("results"), {}, True).splitlines()
    assert lines[1] == f"Report: {Path('results').resolve() / 'report.html'}"
    assert lines[2] == "[synthetic data] No law could be fitted: the report says why."
    Path("results/decision.json").write_text("{")
    assert decision_lines(Path("results"), {}, False).startswith("flopline: results/decision.json")
