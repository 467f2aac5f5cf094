"""Inputs that went wrong for others, each beside what is right (the folder cases, beside data).

What is right is stated there, in an expected.md for each; here as a table, by case. A case whose
mend is not of reading, cleaning or units is listed with what it waits for, and skipped by name.
"""

from __future__ import annotations

from pathlib import Path
from shutil import copy, copytree
from typing import Any

import pytest
import yaml

from flopline.clean import Cleaned, clean
from flopline.drafting.survey import survey
from flopline.drafting.writing import draft
from flopline.errors import FloplineError
from flopline.ingesting import ingest
from flopline.logs.readers import read_log
from flopline.study import load_study, read_yaml
from flopline.tables import run_facts
from running.log_search import log_files
from tests.builders.studies import SCHEMAS
from tests.conftest import ROOT

DIVERGED = "It diverged: its val loss is NaN or infinite from step 550"
TWICE = "stands there twice, as column"

STUDIES: dict[str, Any] = {
    **{f"01-nan-loss/nan_{k}": {"aside": DIVERGED, "dropped": {"loss_not_finite": 10}}
       for k in ("hf", "jsonl", "jsonl_drop", "parquet", "tensorboard")},
    "02-decimal-comma/decimal_comma": "line 2: params is '5,4M', whose comma parts no groups",
    "02-decimal-comma/decimal_point": {},
    "03-late-evaluations/late_evaluations": {"note": "logged after later steps"},
    **{f"04-bom-jsonl/bom{k}": {}
       for k in ("", "_drop", "_runs", "_sidecar", "_sniff", "_study", "_table", "_table_drop")},
    "04-bom-jsonl/cut_runs": "runs_cut.jsonl, line 3: the line is no complete record",
    "05-run-ids-whole-numbers/nanoseconds": {"runs": 30},
    "05-run-ids-whole-numbers/numbered": {"runs": 31, "kept": 30},
    "05-run-ids-whole-numbers/parquet_17": {"runs": 31, "kept": 30},
    "05-run-ids-whole-numbers/runs_jsonl": {},
    "05-run-ids-whole-numbers/seeds_ns": {"runs": 90, "kept": 90},
    "05-run-ids-whole-numbers/table_17": {"runs": 31, "kept": 30},
    "05-run-ids-whole-numbers/table_ns": {},
    "06-columns-twice/chart": "run 'b0' stands there twice, as column 2 and as column 5",
    "06-columns-twice/chart_declared": "run 'b0' stands there twice, as column 2 and as column 5",
    "06-columns-twice/twice_csv": f"'loss' {TWICE} 3",
    "06-columns-twice/twice_json": "line 1: the key 'loss' stands twice in one record",
    "06-columns-twice/twice_parquet": f"'loss' {TWICE} 3",
    "06-columns-twice/twice_runs": f"'params' {TWICE} 2",
    "06-columns-twice/twice_table": f"'loss' {TWICE} 4",
    "07-carriage-returns/carriage_returns": {"rows": 600},
    "08-numeric-study-name/2026_11": "`targets` still say TODO",
    **{f"12-sparse-rows/sparse_{k}": {"rows": 900} for k in ("csv", "json")},
    "12-sparse-rows/sparse_batch": {},
    "12-sparse-rows/sparse_valonly": {"rows": 300},
    "14-bits-per-byte/bits_per_byte": {},
    "17-flops-beyond-6nd/flops_six_nd": {"runs": 35, "kept": 35},
    "17-flops-beyond-6nd/flops_supplied": {"runs": 35, "kept": 35, "note": "34 kept runs of 35"},
    **{f"18-nested-run-records/{k}": {"sizes": 30}
       for k in ("batches", "machines_csv", "machines_jsonl", "nested_log_wrapper",
                 "nested_run_table", "nested_table", "people_header", "people_numbers",
                 "project_csv", "project_json", "project_parquet", "thousands")},
    "21-checkpoints-in-warmup/points_checkpoints": {},
    "21-checkpoints-in-warmup/points_final": {},
    "23-four-runs-of-a-variant/four_runs": {"runs": 34, "kept": 34},
    "24-decays-from-one-trunk/decays_only": {"runs": 15, "kept": 15},
    "24-decays-from-one-trunk/trunk": {
        "runs": 15, "kept": 15, "dropped": {"after_branch": 135}, "ends": "decays_only",
    },
    "25-semicolons/runs_semi": {},
    "25-semicolons/semicolons_logs": "if it is a decimal comma, set `decimal: ','` in source",
    "25-semicolons/semicolons_tab": "parted by tabs: set `format: tsv` in source",
    "25-semicolons/tab_as_tsv": {},
}  # fmt: skip
"""By folder and study file: the sentence, or runs, kept (30 unless said), rows, dropped, a note."""

Rows = dict[str, tuple[int, float | None, float]]
LOGS: dict[str, tuple[dict[str, Any], Rows, dict[str, Any]]] = {
    "build_nanogpt_log.txt": (
        {}, {"train": (5, 19072, 3.567126), "val": (3, 19072, 3.5576)}, {}),
    "build_nanogpt_stdout.out": (
        {}, {"train": (5, 19072, 3.567126), "val": (3, 19072, 3.5576)},
        {"batch_tokens": 524_288, "params_total": 30_357_504}),
    "carriage_returns.log": (
        {"patterns": [{"pattern": r"step (?P<step>\d+) .*?loss: (?P<loss>[\d.]+)", "split": "t"}],
         "format_name": "pattern"},
        {"t": (6, 250, 6.5)}, {}),
    "fairseq_json_after_prefix.log": (
        {}, {"train": (2, 10, 17.903), "val": (1, 10, 17.953)}, {"unit": "bits_per_token"}),
    "hf_trainer_stdout.log": (
        {}, {"train": (3, 15, 2.3045), "val": (1, 15, 2.3011)}, {"horizon_steps": 17_000}),
    "json_config_then_megatron.out": ({}, {"train": (2, 20, 8.1)}, {}),
    "lightning_metrics.csv": (
        {"columns": {"step": "step", "loss": {"train": "train_loss_step", "val": "val_loss"}}},
        {"train": (3, 149, 8.40321), "val": (2, 201, 8.10987)}, {}),
    "llamafactory_trainer_log.jsonl": (
        {"columns": {"step": "current_steps", "loss": "loss"}}, {"": (5, 6560, 0.3717)}, {}),
    "megatron_lm_hyphen_loss.out": (
        {}, {"train": (5, 49, 7.747273)}, {"tokens": 51_380_224, "horizon_tokens": 838_860_800}),
    "modded_seconds.txt": (
        {}, {"val": (6, 3325, 3.27906)}, {"wall_s": 678.2, "horizon_steps": 3325}),
    "modded_three_seeds.txt": ({}, {"val": (12, 3350, 3.27764)}, {}),
    "nanochat_three_phases.log": (
        {"phase": {"to": "^midtraining"}},
        {"val": (3, 21400, 0.8118), "train": (4, 21399, 2.719005)},
        {"params_total": 560_988_160, "batch_tokens": 524_288, "horizon_steps": 21400,
         "horizon_tokens": 11_219_763_200, "unit": "bits_per_byte"}),
    "nanogpt_nan_tail.log": (
        {}, {"val": (3, 400, 3.3687), "train_eval": (3, 400, 3.3296)}, {"batch_tokens": 512}),
    "nanotron_suffixes.log": (
        {"patterns": [{"pattern": r"iteration: (?P<step>\S+) .*consumed_tokens: (?P<tokens>\S+) "
                                  r".*lm_loss: (?P<loss>\S+)", "split": "train"}],
         "format_name": "pattern"},
        {"train": (3, 191, 9.18)}, {"tokens": 196_000, "rounded": 1}),
    "nemo2_stdout.log": ({}, {"train": (4, 29, 2.782), "val": (2, 29, 2.861)}, {}),
    "olmo_multiline.log": (
        {}, {"train": (4, 10, 9.331)}, {"tokens": 41_943_040, "horizon_steps": 739_328}),
    "parameter_golf.txt": (
        {}, {"val": (5, 19074, 2.0619), "train": (3, 19000, 1.9853)},
        {"wall_s": 1800.213, "horizon_steps": 19074, "params_total": 23_146_944,
         "batch_tokens": 524_288}),
    "rows_with_thousands_commas.log": (
        {"patterns": [{"pattern": r"step (?P<step>\S+) \| tokens (?P<tokens>\S+) \| "
                                  r"loss (?P<loss>\S+)", "split": "train"}],
         "format_name": "pattern"},
        {"train": (3, 30, 10.64)}, {"tokens": 12_582_912}),
    "tb_loss_slash_train": (
        {"columns": {"loss": {"train": "Loss/train", "test": "Loss/test"}}},
        {"train": (2, 20, 8.0), "test": (2, 20, 8.1)}, {}),
    "two_ranks_one_file.jsonl": (
        {"columns": {"step": "step", "loss": "loss"}}, {"": (12, 60, 0.7005)}, {}),
}  # fmt: skip
"""What is asked of each log, its rows by split (how many, last step, last loss), and more of it."""

ELSEWHERE = {
    "09-home-read-only": "`make ARGS=-n` plans all; tests/unit/test_study.py, docs/faults.md",
    "26-target-in-args": "`make ARGS=TARGET` makes clean/runs.parquet of 130 runs and no more; "
                         "tests/unit/test_study.py",
}  # fmt: skip
"""What only make can try: what came out by the road that the case describes, and what holds it."""

DRAFTED = {
    "layout_same_file_name_in_run_folders.txt",
    "nanochat_results.csv",
    "slurm_script_with_example.slurm",
    "tb_keras_splits",
}
"""What is tried by a draft, each in a test of its own."""

CONVENTIONS = {"params_convention": "total", "flops_convention": "six_nd", "targets": [1e20]}


@pytest.fixture(scope="session")
def cases(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the studies of the cases linked as `cases`, as their files say."""
    folder = real_data.parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"the folder of cases {folder} is not there: no case was held against main")
    root = tmp_path_factory.mktemp("cases")
    (root / "cases").symlink_to(folder / "studies")
    (root / "logs").symlink_to(folder / "logs")
    return root


def cleaned(root: Path, name: str) -> Cleaned:
    options = read_yaml(ROOT / "config/config.yaml")
    study = load_study({**options, "study": f"cases/{name}.yaml"}, root, SCHEMAS)
    files = [{**file, "sha256": file["path"]} for file in log_files(study, root)]
    table = "table" in study["source"].get("runs", {})
    facts = run_facts(study["source"], root) if table else None
    return clean(ingest(study, files, root), facts, study)


def test_every_case_is_known(cases: Path) -> None:
    there = {f"{p.parent.name}/{p.stem}" for p in cases.glob("cases/*/*.yaml")}
    assert there == set(STUDIES)
    logs = {p.name for p in (cases / "logs").iterdir() if not p.name.endswith(".expected.md")}
    without = {p.name for p in (cases / "cases").iterdir() if not list(p.glob("*.yaml"))}
    assert logs | without == {*LOGS, *DRAFTED, *ELSEWHERE}


@pytest.mark.parametrize("name", STUDIES)
def test_studies(cases: Path, name: str) -> None:
    right = STUDIES[name]
    if isinstance(right, str):
        with pytest.raises(FloplineError) as error:
            cleaned(cases, name)
        assert right in str(error.value)
        return
    found = cleaned(cases, name)
    runs = found.runs
    kept = runs[runs["status"] == "kept"]
    aside = 1 if "aside" in right else 0
    assert len(runs) == right.get("runs", 30)
    assert len(kept) == right.get("kept", 30 - aside)
    assert runs["run"].str.fullmatch(r"\d+\.0|[\d.]+e\+\d+").sum() == 0
    assert kept["params"].nunique() == right.get("sizes", kept["params"].nunique())
    assert found.dropped["reason"].value_counts().to_dict() == right.get(
        "dropped", found.dropped["reason"].value_counts().to_dict()
    )
    assert len(found.curves) == right.get("rows", len(found.curves))
    assert any(right.get("note", "") in note for note in ("", *found.notes))
    if aside:
        assert runs["reason"].str.contains(right["aside"], regex=False).sum() == 1
    if "ends" in right:  # as the pieces end without what stands before them
        other = cleaned(cases, f"{name.split('/')[0]}/{right['ends']}").runs
        assert runs["loss"].tolist() == other["loss"].tolist()
        assert (runs["rows_kept"] > other["rows_kept"]).all()
    if name.startswith("03-"):  # no run ends before its last evaluation
        assert found.curves.groupby("run", observed=True)["step"].max().eq(1000).all()


@pytest.mark.parametrize("name", LOGS)
def test_logs(cases: Path, name: str) -> None:
    wish, right, more = LOGS[name]
    path = cases / "logs" / name
    reading = read_log(next(path.iterdir()) if path.is_dir() else path, **wish)
    rows = reading.rows.assign(split=reading.rows["split"].astype("string").fillna(""))
    for split, (count, step, loss) in right.items():
        of_split = rows[rows["split"] == split]
        last = of_split.iloc[-1]
        assert (len(of_split), last["step"]) == (count, step)
        assert last["loss"] == pytest.approx(loss, rel=1e-6)
        for measure in ("tokens", "wall_s"):
            if measure in more and split == next(iter(right)):
                assert last[measure] == pytest.approx(more[measure])
    known = reading.facts.known.get("", {})
    for fact in set(more) - {"tokens", "wall_s", "rounded", "unit"}:
        assert known[fact] == more[fact]
    assert reading.rounded == more.get("rounded")
    assert reading.facts.units.get("val") == more.get("unit")
    assert "not_parsed" not in reading.dropped["reason"].tolist()


def drafted(root: Path, folder: str) -> Cleaned:
    """The runs of a folder as a draft of it reads them, of params that nobody could know."""
    plan = draft(survey(root / folder, root), "mine", CONVENTIONS, "runs.csv", root)
    (root / "config/studies").mkdir(parents=True, exist_ok=True)
    (root / "config/studies/mine.yaml").write_text(plan.study)
    if plan.run_table is not None:
        head, *lines = plan.run_table.splitlines()
        filled = [line.replace(",,", ",1e4,", 1).replace(",,", ",1e4,", 1) for line in lines]
        (root / "runs.csv").write_text("\n".join([head, *filled, ""]))
    options = read_yaml(ROOT / "config/config.yaml")
    study = load_study({**options, "study": "mine"}, root, SCHEMAS)
    files = [{**file, "sha256": file["path"]} for file in log_files(study, root)]
    return clean(ingest(study, files, root), run_facts(study["source"], root), study)


def test_runs_of_one_file_name_are_named_by_their_folders(cases: Path, tmp_path: Path) -> None:
    text = (cases / "logs/layout_same_file_name_in_run_folders.txt").read_text()
    for part in text.split("=== ")[1:]:
        name, _, content = part.partition("\n")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    runs = drafted(tmp_path, "sweep").runs
    assert dict(zip(runs["run"], runs["loss"], strict=True)) == {
        "seed0": 6.70, "seed1": 6.73, "seed2": 6.66,
    }  # fmt: skip


def test_folders_of_splits_are_one_run(cases: Path, tmp_path: Path) -> None:
    copytree(cases / "logs/tb_keras_splits", tmp_path / "tb")
    curves = drafted(tmp_path, "tb").curves
    losses = {
        key: rows["loss"].round(5).tolist()
        for key, rows in curves.groupby(["run", "split"], observed=True)
    }
    assert losses == {
        ("run_a", "train"): [9.0, 8.0, 7.0], ("run_a", "val"): [9.2, 8.2, 7.2],
        ("run_b", "train"): [9.5, 8.5, 7.5], ("run_b", "val"): [9.7, 8.7, 7.7],
    }  # fmt: skip


def test_a_table_in_bits_per_byte_is_drafted_as_one(cases: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    copy(cases / "logs/nanochat_results.csv", tmp_path / "here")
    plan = draft(survey(tmp_path / "here", tmp_path), "mine", CONVENTIONS, "runs.csv", tmp_path)
    study = yaml.safe_load(plan.study)
    assert (study["source"]["kind"], study["loss_unit"]) == ("table", "bits_per_byte")
    assert {
        "loss": "val_bpb", "tokens": "tokens_trained", "budget_flops": "flops_budget",
        "depth": "depth", "width": "model_dim",
    }.items() <= study["source"]["columns"].items()  # fmt: skip


def test_a_job_script_is_no_log(cases: Path, tmp_path: Path) -> None:
    copy(cases / "logs/slurm_script_with_example.slurm", tmp_path)
    found = survey(tmp_path, tmp_path)
    assert (list(found.groups), len(found.left)) == ([], 1)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_elsewhere(name: str) -> None:
    pytest.skip(f"tried by make alone: {ELSEWHERE[name]}")
