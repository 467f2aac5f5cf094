"""Inputs that went wrong for others, each beside what is right (the folder cases, beside data).

What is right is stated there, in an expected.md for each; here as a table, by case. A case whose
mend is not of reading, cleaning or units is listed with what it waits for, and skipped by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flopline.clean import Cleaned, clean
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
    "24-decays-from-one-trunk/trunk": "size0_trunk.jsonl stands there twice",
    "25-semicolons/runs_semi": "parted by semicolons: save it with commas",
    "25-semicolons/semicolons_logs": "parted by semicolons: save it with commas",
    "25-semicolons/semicolons_tab": "parted by tabs: set `format: tsv` in source",
    "25-semicolons/tab_as_tsv": {},
}  # fmt: skip
"""By folder and study file: the sentence, or runs, kept (30 unless said), rows, dropped, a note."""

Rows = dict[str, tuple[int, float | None, float]]
LOGS: dict[str, tuple[dict[str, Any], Rows, dict[str, Any]]] = {
    "carriage_returns.log": (
        {"patterns": [{"pattern": r"step (?P<step>\d+) .*?loss: (?P<loss>[\d.]+)", "split": "t"}],
         "format_name": "pattern"},
        {"t": (6, 250, 6.5)}, {}),
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
    "nanogpt_nan_tail.log": (
        {}, {"val": (3, 400, 3.3687), "train_eval": (3, 400, 3.3296)}, {"batch_tokens": 512}),
    "nanotron_suffixes.log": (
        {"patterns": [{"pattern": r"iteration: (?P<step>\S+) .*consumed_tokens: (?P<tokens>\S+) "
                                  r".*lm_loss: (?P<loss>\S+)", "split": "train"}],
         "format_name": "pattern"},
        {"train": (3, 191, 9.18)}, {"tokens": 196_000, "rounded": 1}),
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

WAITING = {
    "build_nanogpt_log.txt": "the generic reader of lines",
    "build_nanogpt_stdout.out": "the generic reader of lines",
    "fairseq_json_after_prefix.log": "the generic reader of lines",
    "hf_trainer_stdout.log": "the generic reader of lines",
    "json_config_then_megatron.out": "telling a format by more than its first line",
    "layout_same_file_name_in_run_folders.txt": "names that stand in folders",
    "nanochat_results.csv": "drafting a table",
    "nanochat_three_phases.log": "the generic reader of lines (source.phase reads it by patterns)",
    "nemo2_stdout.log": "the generic reader of lines",
    "olmo_multiline.log": "records over several lines",
    "slurm_script_with_example.slurm": "a draft that judges whole files",
    "tb_keras_splits": "names that stand in folders",
    "09-home-read-only": "a home that cannot be written (make)",
    "26-target-in-args": "targets in ARGS (make)",
}
"""What is tried elsewhere, and by what."""


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
    assert logs | without == {*LOGS, *WAITING}


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
    for fact in set(more) - {"tokens", "wall_s", "rounded"}:
        assert known[fact] == more[fact]
    assert reading.rounded == more.get("rounded")
    assert "not_parsed" not in reading.dropped["reason"].tolist()


@pytest.mark.parametrize("name", WAITING)
def test_elsewhere(name: str) -> None:
    pytest.skip(f"waits for: {WAITING[name]}")
