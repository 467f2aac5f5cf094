"""Units are told or asked for: counts that no language model has stop the run with its mend."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from flopline.clean import Cleaned, clean
from flopline.errors import FloplineError
from flopline.ingesting import ingest
from flopline.units import MOST_FLOPS, demand_reach, open_counts, parse_flops, unit_of
from tests.builders.budgets import NOT_READ, READ
from tests.builders.studies import loaded, study_of, write_study_file

N = np.geomspace(2e8, 7e10, 12)
D = np.geomspace(5e9, 1.4e12, 12)


def table(folder: Path, header: str, *columns: Any, columns_of: dict[str, Any]) -> dict[str, Any]:
    """A study of finished runs whose table has these columns of numbers, and losses."""
    rows = zip(*columns, 3 - np.linspace(0, 1, len(columns[0])), strict=True)
    lines = [f"run,{header},loss", *(f"r{i}," + ",".join(map(str, r)) for i, r in enumerate(rows))]
    (folder / "sweep.csv").write_text("\n".join(lines) + "\n")
    source = {"kind": "table", "paths": "sweep.csv"}
    return study_of({**source, "columns": {"run": "run", "loss": "loss", **columns_of}})


def cleaned(folder: Path, study: dict[str, Any]) -> Cleaned:
    write_study_file(folder, "sweep", study)
    loaded_study = loaded(folder, "sweep")
    files = [{"run": "", "path": "sweep.csv", "sha256": "x"}]
    return clean(ingest(loaded_study, files, folder), None, loaded_study)


def proposed_line(sentence: str) -> dict[str, Any]:
    """The line that a sentence says to write, as YAML."""
    match = re.search(r"`(\w+: \{.*?\})`", sentence)
    assert match, sentence
    return dict(yaml.safe_load(match[1].replace("e6", ".0e+6").replace("e9", ".0e+9")))


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("params (M)", 1e6),
        ("Tokens [B]", 1e9),
        ("tokens in billions", 1e9),
        ("model_size_M", 1e6),
        ("Parameters (million)", 1e6),
        ("total_training_Gflops", 1e9),
        ("train_eflops", 1e18),
        ("PF-days", 8.64e19),
        ("petaflop/s-days", 8.64e19),
        ("params", None),
        ("n_params", None),
        ("num_floating_point_operations", None),
        ("batch_size_in_tokens", None),
        ("Training FLOP", None),
        ("non_embedding_N", None),
    ],
)
def test_names_of_columns_say_units(name: str, unit: float | None) -> None:
    assert unit_of(name) == unit


@pytest.mark.parametrize(
    ("text", "flops"),
    [*READ.items(), ("500 petaflop/s-days", 4.32e22), ("2 PFLOPs", 2e15), ("5T", 5e12)],
)
def test_budgets_are_read_as_people_write_them(text: str, flops: float) -> None:
    """The planner of the page read 500 PF-days, the command did not."""
    assert parse_flops(text) == pytest.approx(flops)


@pytest.mark.parametrize("text", NOT_READ)
def test_what_is_no_budget_is_not_read_as_one(text: str) -> None:
    assert not 0 < parse_flops(text) <= MOST_FLOPS


@pytest.mark.parametrize("name", ["params (M)", "size in millions", "n_params_M"])
def test_a_name_with_a_unit_stops_until_the_study_says_it(tmp_path: Path, name: str) -> None:
    columns = {"params": name, "tokens": "tokens"}
    study = table(tmp_path, f"{name},tokens", N / 1e6, D, columns_of=columns)
    with pytest.raises(FloplineError, match=re.escape(name)) as error:
        cleaned(tmp_path, study)
    study["source"]["columns"] |= proposed_line(str(error.value))
    assert np.allclose(sorted(cleaned(tmp_path, study).runs["params"]), N)


@pytest.mark.parametrize(
    ("params", "tokens", "wrong"),
    [(1e6, 1, "params"), (1e9, 1, "params"), (1, 1e9, "tokens"), (1e6, 1e9, "params")],
)
def test_counts_in_millions_or_billions_are_no_runs(
    tmp_path: Path, params: float, tokens: float, wrong: str
) -> None:
    columns: dict[str, Any] = {"params": "n", "tokens": "d"}
    study = table(tmp_path, "n,d", N / params, D / tokens, columns_of=columns)
    with pytest.raises(FloplineError) as error:
        cleaned(tmp_path, study)
    assert wrong in str(error.value)
    assert wrong in proposed_line(str(error.value))
    for name, column, times in (("params", "n", params), ("tokens", "d", tokens)):
        study["source"]["columns"][name] = {"column": column, "times": times}
    runs = cleaned(tmp_path, study).runs
    assert np.allclose(sorted(runs["params"]), N)
    assert np.allclose(sorted(runs["tokens"]), D)


def test_a_column_of_mixed_units_names_its_rows_and_no_factor(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"params": "n", "tokens": "d"}
    units = np.where(np.isin(np.arange(12), [3, 5, 6, 8]), 1e6, 1)
    sizes = np.geomspace(2e7, 7e8, 12)
    study = table(tmp_path, "n,d", sizes / units, D, columns_of=columns)
    with pytest.raises(FloplineError, match="'n' mixes units: 4 of 12") as error:
        cleaned(tmp_path, study)
    for part in ("'r3' (", "'r5' (", "'r6' (", "1 more"):
        assert part in str(error.value)
    assert "times: 1e6" not in str(error.value)
    in_millions = np.append([200.0, 300.0], np.geomspace(2e3, 7e5, 10))
    study = table(tmp_path, "n,d", in_millions, D, columns_of=columns)
    with pytest.raises(FloplineError, match="times: 1e6"):
        cleaned(tmp_path, study)


def test_a_size_that_is_right_is_said_so(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"params": "n", "tokens": "d"}
    study = table(tmp_path, "n,d", N / 1e9, D, columns_of=columns)
    study["source"]["columns"]["params"] = {"column": "n", "times": 1}
    study["source"]["columns"]["tokens"] = {"column": "d", "times": 1}
    assert (cleaned(tmp_path, study).runs["status"] == "kept").all()


@pytest.mark.parametrize("times", [1e3, 1e6, 1e-3])
def test_compute_off_by_powers_of_a_thousand_stops(tmp_path: Path, times: float) -> None:
    columns: dict[str, Any] = {"params": "n", "tokens": "d", "flops": "c"}
    study = table(tmp_path, "n,d,c", N, D, 6 * N * D * times, columns_of=columns)
    study["flops_convention"] = "supplied"
    with pytest.raises(FloplineError, match="6 N D at the median"):
        cleaned(tmp_path, study)
    study["source"]["columns"] |= {"flops": {"column": "c", "times": 1 / times}}
    assert np.allclose(sorted(cleaned(tmp_path, study).runs["flops"]), 6 * N * D)


def test_a_nominal_budget_is_held_against_the_counts(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"params": "n", "tokens": "d", "budget_flops": "c"}
    study = table(tmp_path, "n,d,c", N, D, 6 * N * D / 1e12, columns_of=columns)
    with pytest.raises(FloplineError, match=r"budget_flops .* 1e-12 times 6 N D"):
        cleaned(tmp_path, study)


def test_a_factor_too_many_stops_too(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"params": "n", "tokens": "d"}
    study = table(tmp_path, "n,d", N * 1e9, D, columns_of=columns)
    with pytest.raises(FloplineError, match=r"over 1e\+15 \(12 of 12 runs have\)"):
        cleaned(tmp_path, study)


def test_attention_and_experts_are_no_unit(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"params": "n", "tokens": "d", "flops": "c"}
    study = table(tmp_path, "n,d,c", N, D, 6 * N * D * 9, columns_of=columns)
    study["flops_convention"] = "supplied"
    assert (cleaned(tmp_path, study).runs["status"] == "kept").all()


def test_tokens_in_millions_beside_whole_params(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"params": "n", "tokens": "d"}
    study = table(tmp_path, "n,d", N * 1e3, D * 1e3 / 1e6, columns_of=columns)
    with pytest.raises(FloplineError, match="tokens per param"):
        cleaned(tmp_path, study)


@pytest.mark.parametrize(("ratio", "seen"), [(31.0, "0.0323"), (1 / 31000, "3.1e+04"), (20.0, "")])
def test_exchanged_columns_are_told_by_their_ratio(tmp_path: Path, ratio: float, seen: str) -> None:
    """Exchanged, a sweep of 31 tokens per param has .03, and passed without a word."""
    read_as = {"params": "d", "tokens": "n"} if seen else {"params": "n", "tokens": "d"}
    study = table(tmp_path, "n,d", N, ratio * N, columns_of=read_as)
    notes = [note for note in cleaned(tmp_path, study).notes if "tokens per param" in note]
    assert len(notes) == bool(seen)
    for note in notes:
        assert f"the runs have {seen} tokens per param at the median" in note
        assert "('d' as params and 'n' as tokens) are not exchanged" in note


def test_a_ratio_that_no_run_has_stops_and_names_both_ways_out(tmp_path: Path) -> None:
    study = table(tmp_path, "n,d", N, 300 * N, columns_of={"params": "d", "tokens": "n"})
    with pytest.raises(FloplineError, match="'d' as params and 'n' as tokens") as error:
        cleaned(tmp_path, study)
    assert "are exchanged: exchange them, or say which by its times" in str(error.value)


def test_a_target_far_beyond_all_runs_asks_for_the_units() -> None:
    source = {"kind": "table", "columns": {"params": "n", "tokens": {"column": "d", "times": 1}}}
    demand_reach(1e18, [1e21], "x.yaml", open_counts(source))
    with pytest.raises(FloplineError, match=r"1e\+23 FLOPs is 100,000 times") as error:
        demand_reach(1e18, [1e21, 1e23], "x.yaml", open_counts(source))
    source["columns"] |= proposed_line(str(error.value))
    assert open_counts(source) == []
    demand_reach(1e18, [1e21, 1e23], "x.yaml", open_counts(source))
