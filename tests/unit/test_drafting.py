"""Drafting a study from a folder of logs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from flopline.drafting.columns import fact_columns, row_columns
from flopline.drafting.drafting_command import main
from flopline.errors import FloplineError
from flopline.study import load_study, read_yaml
from running.log_search import log_files
from tests.conftest import ROOT

CONVENTIONS = ["--params-convention", "total", "--flops-convention", "six_nd", "--targets", "1e20"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the logs of three runs and nothing said of them."""
    monkeypatch.chdir(tmp_path)
    logs = tmp_path / "sweep" / "logs"
    logs.mkdir(parents=True)
    for run in ("a", "b", "c"):
        rows = [
            {"iter": i, "tokens_seen": 100 * i, "train/loss": 5 - i, "val/loss": 5.1 - i}
            for i in range(1, 4)
        ]
        (logs / f"{run}.v1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "sweep" / "README.md").write_text("Our sweep.\n")
    return tmp_path


def loaded(root: Path, name: str) -> dict:
    return load_study(
        read_yaml(ROOT / "config/config.yaml") | {"study": name}, root, ROOT / "workflow/schemas"
    )


def test_draft_marks_what_only_a_person_can_say(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "--name", "mine"]) == 0
    printed = capsys.readouterr().out
    assert "3 jsonl logs" in printed
    assert "sweep/README.md: no log format that is known fits it" in printed
    assert "params of every run, in config/studies/mine.runs.csv" in printed
    study = yaml.safe_load((folder / "config/studies/mine.yaml").read_text())
    assert study["source"]["columns"] == {
        "step": "iter",
        "tokens": "tokens_seen",
        "loss": {"train": "train/loss", "val": "val/loss"},
    }
    for key in ("params_convention", "flops_convention", "targets"):
        assert study[key] == "TODO"
    with pytest.raises(FloplineError, match=r"`params_convention` and .* still say TODO"):
        loaded(folder, "mine")


def test_draft_with_everything_said_loads_and_names_its_logs(folder: Path) -> None:
    assert main(["sweep", "--name", "mine", *CONVENTIONS]) == 0
    study = loaded(folder, "mine")
    assert study["targets"] == [1e20]
    assert study["source"]["paths"] == "sweep/logs/*.jsonl"
    assert [file["run"] for file in log_files(study, folder)] == ["a.v1", "b.v1", "c.v1"]
    table = (folder / "config/studies/mine.runs.csv").read_text().splitlines()
    assert table[0] == "run,log,params,horizon_tokens"
    assert table[1] == "a.v1,../../sweep/logs/a.v1.jsonl,,"


def test_draft_finds_the_run_table_and_leaves_out_what_it_does_not_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "sweep/runs.csv").write_text(
        "name,file,arch,n_params\na,logs/a.v1.jsonl,dense,100\nb,logs/b.v1.jsonl,moe,200\n"
    )
    assert main(["sweep", *CONVENTIONS]) == 0
    study = loaded(folder, "sweep")
    assert study["source"]["runs"] == {
        "table": "sweep/runs.csv",
        "columns": {"run": "name", "log": "file", "family": "arch", "params": "n_params"},
    }
    assert study["families"] == {"dense": "dense", "moe": "moe"}
    assert study["source"]["paths"] == ["sweep/logs/a.v1.jsonl", "sweep/logs/b.v1.jsonl"]
    assert "1 jsonl logs that sweep/runs.csv does not name are left out" in capsys.readouterr().out
    assert not (folder / "config/studies/sweep.runs.csv").exists()


def test_draft_of_a_table_of_finished_runs(folder: Path) -> None:
    (folder / "final").mkdir()
    (folder / "final/all.csv").write_text("N,tokens,loss\n1e6,1e8,3.2\n2e6,1e8,3.1\n")
    assert main(["final", *CONVENTIONS]) == 0
    study = loaded(folder, "final")
    source = study["source"]
    assert study["laws"] == ["isoflop", "parametric"]  # no curves for the envelope to follow
    assert (source["kind"], source["paths"]) == ("table", "final/all.csv")
    assert source["columns"] == {"tokens": "tokens", "loss": "loss", "params": "N"}


def test_draft_never_overwrites_unasked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep"]) == 0
    path = folder / "config/studies/sweep.yaml"
    path.write_text("title: mine\n")
    assert main(["sweep"]) == 1
    assert "config/studies/sweep.yaml exists already" in capsys.readouterr().err
    assert path.read_text() == "title: mine\n"
    assert main(["sweep", "--force"]) == 0
    assert path.read_text() != "title: mine\n"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: None, "holds no file"),
        (lambda folder: (folder / "x.txt").write_text("hello\n"), "holds no log and no table"),
    ],
)
def test_draft_of_a_folder_without_logs_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, make, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    make(tmp_path / "empty")
    assert main(["empty"]) == 1
    assert sentence in capsys.readouterr().err
    assert main(["nowhere"]) == 1
    assert "nowhere is no folder" in capsys.readouterr().err


def test_draft_of_a_table_whose_headers_carry_units(folder: Path) -> None:
    (folder / "final").mkdir()
    text = "name\tparams (M)\ttokens in billions\tval_loss\na\t1\t0.1\t3.2\nb\t2\t0.1\t3.1\n"
    (folder / "final/all.tsv").write_text(text)
    assert main(["final", *CONVENTIONS]) == 0
    source = loaded(folder, "final")["source"]
    assert source["kind"] == "table"
    assert source["columns"] == {
        "run": "name",
        "tokens": {"column": "tokens in billions", "times": 1e9},
        "loss": "val_loss",
        "params": {"column": "params (M)", "times": 1e6},
    }


def test_columns_are_told_by_names() -> None:
    names = ["_step", "throughput/total_tokens", "throughput/total_training_Gflops", "optim/lr"]
    losses = ["eval/pile-validation/CrossEntropyLoss", "eval/c4_en-validation/CrossEntropyLoss"]
    assert row_columns([*names, *losses]) == {
        "step": "_step",
        "tokens": "throughput/total_tokens",
        "flops": {"column": "throughput/total_training_Gflops", "times": 1e9},
        "lr": "optim/lr",
        "loss": {"pile-validation": losses[0], "c4_en-validation": losses[1]},
    }
    assert "loss" not in row_columns(["step", "accuracy"])
    alike = {"val_loss": "val_loss", "val_loss_2": "val loss"}
    assert row_columns(["val_loss", "val loss"]) == {"loss": alike}
    assert fact_columns(["hidden_size", "num_layers", "non_embedding_params"]) == {
        "params_nonembedding": "non_embedding_params",
        "width": "hidden_size",
        "depth": "num_layers",
    }


def test_draft_of_real_logs_of_several_labs(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, (name, logs) in enumerate({"llmc": 2, "megatron_deepspeed": 7}.items()):
        assert main([str(real_data / "raw_logs" / name), "--name", f"s{number}", *CONVENTIONS]) == 0
        study = loaded(tmp_path, f"s{number}")
        assert len(log_files(study, tmp_path)) == logs
    assert main([str(real_data / "olmo_ladder"), "--name", "olmo", *CONVENTIONS]) == 0
    with pytest.raises(FloplineError, match="`loss_split` still says TODO"):
        loaded(tmp_path, "olmo")


def test_draft_of_a_log_that_holds_all_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, it was one run, of whose two columns of facts nothing was said."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all").mkdir()
    rows = [
        {"run_id": f"r{i}", "n_params": 1000 * i, "step": s, "tokens": 9 * s, "loss": 5 - s / i}
        for s in (1, 2, 3) for i in (1, 2)
    ]  # fmt: skip
    log = tmp_path / "all/metrics.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["all", *CONVENTIONS]) == 0
    source = loaded(tmp_path, "all")["source"]
    assert source["columns"] == {
        "run": "run_id",
        "step": "step",
        "tokens": "tokens",
        "loss": "loss",
    }
    assert source["runs"] == {"from_log": {"params": "n_params"}}
    splits = [row | {"run_id": ("train", "val")[i % 2]} for i, row in enumerate(rows)]
    log.write_text("".join(json.dumps(row) + "\n" for row in splits))
    assert main(["all", *CONVENTIONS, "--force"]) == 0
    assert "run" not in loaded(tmp_path, "all")["source"]["columns"]
    log.write_text("".join(json.dumps(row | {"n_params": None}) + "\n" for row in rows))
    assert main(["all", *CONVENTIONS, "--force"]) == 0
    assert loaded(tmp_path, "all")["source"]["columns"]["run"] == "run_id"
    table = (tmp_path / "config/studies/all.runs.csv").read_text().splitlines()
    assert table == ["run,params,horizon_tokens", "r1,,", "r2,,"]


@pytest.mark.parametrize(
    ("header", "sweep", "run"),
    [
        # sizes alone, sizes with a seed each, and models that were trained on several budgets
        ("n_params", [("1000",), ("2000",)], "n_params"),
        ("n_params,seed", [("1000", "0"), ("1000", "1"), ("2000", "0")], ["n_params", "seed"]),
        (
            "model,token_budget",
            [("a", "300"), ("a", "900"), ("b", "300")],
            ["model", "token_budget"],
        ),
        # nothing tells them apart, as where a run went on from an earlier step
        ("model,seed", [("a", "0"), ("a", "0"), ("b", "1")], "model"),
    ],
)
def test_rows_of_several_runs_are_told_apart_by_what_orders_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    header: str,
    sweep: list[tuple[str, ...]],
    run: object,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all").mkdir()
    rows = [",".join([*own, str(s), str(9 * s), str(5 - s)]) for own in sweep for s in (1, 2, 3)]
    (tmp_path / "all/log.csv").write_text("\n".join([f"{header},step,tokens,loss", *rows, ""]))
    assert main(["all", *CONVENTIONS]) == 0
    source = loaded(tmp_path, "all")["source"]
    assert source["columns"]["run"] == run
    if "n_params" in header:
        assert source["runs"] == {"from_log": {"params": "n_params"}}


@pytest.mark.parametrize("loss", ["final_loss", "val_loss"])
def test_a_sweep_with_a_row_a_run_is_a_table_or_says_how_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], loss: str
) -> None:
    """Rows of one model at several tokens may be its checkpoints; their last losses are not."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all").mkdir()
    rows = [
        f"m{n},{n * 10**6},{d * 10**7},{seed},{9 - n - d + seed / 9}"
        for n in (1, 2) for d in (1, 2) for seed in (0, 1)
    ]  # fmt: skip
    text = "\n".join([f"model,params,tokens,seed,{loss}", *rows, ""])
    (tmp_path / "all/runs.csv").write_text(text)
    assert main(["all", *CONVENTIONS]) == 0
    source = loaded(tmp_path, "all")["source"]
    if loss == "final_loss":
        assert source["kind"] == "table"
        assert source["columns"]["run"] == ["model", "tokens", "seed"]
        return
    assert source["columns"]["run"] == ["model", "seed"]
    way = (
        "write `kind: table`, and in source.columns `run: [model, seed, tokens]`, `params: params`"
    )
    assert way in capsys.readouterr().out


@pytest.mark.parametrize(
    ("header", "params"),
    [("params_m", {"column": "params_m", "times": 1e6}), ("size_of_it", None)],
)
def test_draft_of_a_table_whose_rows_are_runs_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: str, params: object
) -> None:
    """Before, without a name of params that is known, it was the log of one run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "final").mkdir()
    rows = "".join(f"x{i},{10 * i},{i},{4 - i / 10}\n" for i in range(1, 5))
    (tmp_path / "final/runs.csv").write_text(f"run,{header},tokens (B),loss\n{rows}")
    assert main(["final", *CONVENTIONS]) == 0
    source = yaml.safe_load((tmp_path / "config/studies/final.yaml").read_text())["source"]
    assert source["kind"] == "table"
    assert source["columns"]["run"] == "run"
    assert source["columns"]["tokens"] == {"column": "tokens (B)", "times": 1e9}
    assert source["columns"].get("params") == params


def runs_table(rows: int) -> str:
    lines = [f"r{n},{10**6 * (n + 1)},{10**8 * (n + 1)},{4 - n / 100}" for n in range(rows)]
    return "\n".join(["run,params,tokens,loss", *lines, ""])


def test_the_table_with_most_runs_is_drafted_and_the_others_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two").mkdir()
    (tmp_path / "two/best.csv").write_text(runs_table(3))
    (tmp_path / "two/sweep.csv").write_text(runs_table(8))
    assert main(["two", *CONVENTIONS]) == 0
    assert "two/best.csv (3 runs) is left out" in capsys.readouterr().out
    text = (tmp_path / "config/studies/two.yaml").read_text()
    assert yaml.safe_load(text)["source"]["paths"] == "two/sweep.csv"
    assert "# two/best.csv (3 runs) is left out" in text


def test_a_table_whose_ending_tells_nothing_is_drafted_by_its_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"run": f"r{n}", "params": 10**6, "tokens": 10**8, "loss": 4 - n} for n in range(3)]
    (tmp_path / "one").mkdir()
    (tmp_path / "one/sweep").write_text("".join(json.dumps(r | {"arch": "a"}) + "\n" for r in rows))
    assert main(["one", *CONVENTIONS]) == 0
    source = yaml.safe_load((tmp_path / "config/studies/one.yaml").read_text())["source"]
    assert (source["format"], source["paths"]) == ("jsonl", "one/sweep")


def test_a_table_whose_ending_tells_nothing_is_no_run_table(folder: Path) -> None:
    rows = [{"run": run, "params": 10**6, "arch": "a"} for run in ("a", "b", "c")]
    (folder / "sweep/facts").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["sweep", "--name", "mine"]) == 0
    source = yaml.safe_load((folder / "config/studies/mine.yaml").read_text())["source"]
    assert source["runs"]["table"] == "config/studies/mine.runs.csv"


def test_an_empty_folder_name_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([""]) == 1
    assert "the name of the folder is empty" in capsys.readouterr().err
