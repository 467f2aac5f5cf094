"""Tables of finished runs as spreadsheets, trackers and people write them, drafted and read."""

from __future__ import annotations

import io
import json
import math
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

import flopline
from flopline.drafting.columns import of_finished_runs, row_columns
from flopline.drafting.survey import survey
from flopline.drafting.writing import draft
from flopline.errors import FloplineError
from flopline.facts import read_sidecar
from flopline.ingesting import ingest
from flopline.logs.readers import read_log, sniffed
from flopline.param_counts import misfits, said_by
from flopline.study import load_study, read_yaml
from flopline.tables import column_map, read_table
from flopline.units import unit_of, without_unit
from flopline.written_numbers import parse_number, parse_plain
from running.log_search import log_files
from tests.conftest import ROOT

CONVENTIONS = {"params_convention": "total", "flops_convention": "six_nd", "targets": [1e20]}
SIZES = (1e6, 4e6)
BUDGETS = (2e7, 6e7)
RUNS = [(n, d, round(1.7 + 400 / n**0.34 + 400 / d**0.28, 4)) for n in SIZES for d in BUDGETS]


def written(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def drafted(folder: Path) -> tuple[dict[str, Any], str]:
    """The source of the drafted study, and its notes."""
    made = draft(survey(folder, folder.parent), "s", {}, "s.runs.csv", folder.parent)
    (folder.parent / "s.yaml").write_text(made.study, encoding="utf-8")
    return read_yaml(folder.parent / "s.yaml")["source"], " ".join([*made.notes, *made.missing])


def read(folder: Path) -> NDArray[np.float64]:
    """Params, tokens and loss of the rows of the drafted table, in its order."""
    source, _ = drafted(folder)
    path = folder.parent / source["paths"]
    columns = {
        ours: spec if isinstance(spec, str) else spec["column"]
        for ours, spec in source["columns"].items()
    }
    factors = {
        ours: spec["times"] for ours, spec in source["columns"].items() if not isinstance(spec, str)
    }
    table, _ = read_table(path, source.get("format"))
    mapped = column_map(table, columns, path, "source.columns", source.get("decimal", "."))
    assert mapped.misread is None
    rows = mapped.rows.assign(
        **{ours: mapped.rows[ours] * times for ours, times in factors.items()}
    )
    if "tokens" not in rows:
        rows["tokens"] = rows["flops"] / (6 * rows["params"])
    return rows[["params", "tokens", "loss"]].to_numpy(float)


def comma(number: float) -> str:
    return f"{number:g}".replace(".", ",")


def thousands(number: float, mark: str) -> str:
    return f"{int(number):,}".replace(",", mark)


TABLES = {
    "semicolons and decimal commas": "\ufeffrun;params;tokens;loss\r\n"
    + "".join(f"{i};{n:.0f};{d:.0f};{comma(loss)}\r\n" for i, (n, d, loss) in enumerate(RUNS)),
    "semicolons and decimal points": "run;params;tokens;val_loss\n"
    + "".join(f"{i};{n:.0f};{d:.0f};{loss}\n" for i, (n, d, loss) in enumerate(RUNS)),
    "semicolons, commas and thousands with points": "run;params;tokens;loss\n"
    + "".join(
        f"{i};{thousands(n, '.')};{thousands(d, '.')};{comma(loss)}\n"
        for i, (n, d, loss) in enumerate(RUNS)
    ),
    "thousands with blanks that break no line": "run,params,tokens,loss\n"
    + "".join(
        f"{i},{thousands(n, chr(0xA0))},{thousands(d, chr(0x202F))},{loss}\n"
        for i, (n, d, loss) in enumerate(RUNS)
    ),
    "thousands with apostrophes": "run,params,tokens,loss\n"
    + "".join(
        f"{i},{thousands(n, chr(39))},{thousands(d, chr(39))},{loss}\n"
        for i, (n, d, loss) in enumerate(RUNS)
    ),
    "letters of the papers": "N,D,C,L\n"
    + "".join(f"{n},{d},{6 * n * d},{loss}\n" for n, d, loss in RUNS),
    "letters with units": "run,N_millions,D_billions,val_loss\n"
    + "".join(f"r{i},{n / 1e6},{d / 1e9},{loss}\n" for i, (n, d, loss) in enumerate(RUNS)),
    "compute in petaflop-days": "run,params,compute (PF-days),loss\n"
    + "".join(f"r{i},{n},{6 * n * d / 8.64e19!r},{loss}\n" for i, (n, d, loss) in enumerate(RUNS)),
    "compute in exaflops": "run,params,train_eflops,loss\n"
    + "".join(f"r{i},{n},{6 * n * d / 1e18!r},{loss}\n" for i, (n, d, loss) in enumerate(RUNS)),
    "nominal budgets alone": "budget,N,loss\n"
    + "".join(f"{6 * n * d!r},{n},{loss}\n" for n, d, loss in RUNS),
    "a size that is a word beside a count": "model_size,parameters,tokens,val_loss\n"
    + "".join(f"size{i},{n},{d},{loss}\n" for i, (n, d, loss) in enumerate(RUNS)),
    "losses of the best and the last step": "run,params,tokens,final_train_loss,best_val_loss,"
    "final_val_loss\n"
    + "".join(f"{i},{n},{d},{loss + 1},{loss - 1},{loss}\n" for i, (n, d, loss) in enumerate(RUNS)),
    "tabs under another ending": "run\tparams\ttokens\tloss\n"
    + "".join(f"{i}\t{n}\t{d}\t{loss}\n" for i, (n, d, loss) in enumerate(RUNS)),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_drafted_table_is_read_as_it_was_meant(tmp_path: Path, kind: str) -> None:
    folder = written(tmp_path / "runs", "runs.csv", TABLES[kind])
    assert read(folder) == pytest.approx(np.array(RUNS), rel=1e-9)


def test_a_table_of_named_runs_is_told_whatever_it_is_called(tmp_path: Path) -> None:
    text = TABLES["tabs under another ending"].replace("\n0", "\nrun a")
    assert read(written(tmp_path / "runs", "runs.txt", text)) == pytest.approx(np.array(RUNS))


def test_nested_names_are_columns_of_a_table(tmp_path: Path) -> None:
    records = [
        {"arch": {"name": f"r{i}", "n_params": n}, "tokens": d, "eval": {"loss": loss}}
        for i, (n, d, loss) in enumerate(RUNS)
    ]
    text = "".join(json.dumps(record) + "\n" for record in records)
    folder = written(tmp_path / "runs", "runs.jsonl", text)
    assert read(folder) == pytest.approx(np.array(RUNS))
    wish = {"params": "arch.n_params", "loss": "eval.loss"}
    for given in (folder / "runs.jsonl", pd.DataFrame(records)):
        runs = flopline.read_runs(given, **wish)
        assert runs[["params", "tokens", "loss"]].to_numpy().tolist() == [list(r) for r in RUNS]
    named = flopline.read_runs(pd.DataFrame(records), run="arch.name", family="arch.name", **wish)
    assert named["family"].tolist() == [f"r{i}" for i in range(len(RUNS))]


@pytest.mark.parametrize(
    ("losses", "chosen"),
    [
        (["train_loss", "c4_loss"], "c4_loss"),
        (["test_loss", "eval_loss", "loss"], "eval_loss"),
        (["train_loss"], "train_loss"),
    ],
)
def test_the_loss_of_finished_runs_is_of_evaluation(losses: list[str], chosen: str) -> None:
    assert of_finished_runs(losses) == chosen


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("Number of Params,Token Count,loss", ("Number of Params", "Token Count")),
        ("nb_params,nb_tokens,loss", ("nb_params", "nb_tokens")),
        ("Model Size (Params),Dataset Size (Tokens),loss",
         ("Model Size (Params)", "Dataset Size (Tokens)")),
        ("non_embedding_parameters,tokens_trained,loss",
         ("non_embedding_parameters", "tokens_trained")),
        ("params,D,loss,excess_loss", ("params", "D")),
    ],
)  # fmt: skip
def test_headers_are_told_as_people_write_them(
    tmp_path: Path, header: str, columns: tuple[str, str]
) -> None:
    row = "1e6,2e7,4.5" + ",0.5" * (header.count(",") - 2)
    source, _ = drafted(written(tmp_path / "runs", "runs.csv", f"{header}\n{row}\n"))
    assert (source["columns"]["params"], source["columns"]["tokens"]) == columns
    assert source["columns"]["loss"] == "loss"


def test_counts_that_could_be_meant_as_well_are_named(tmp_path: Path) -> None:
    text = "run,total_params,active_params,tokens,unique_tokens,max_tokens,loss\na,8,2,9,5,9,4.5\n"
    _, notes = drafted(written(tmp_path / "runs", "runs.csv", text))
    assert "params: total_params was chosen; active_params could be it, too." in notes
    assert "tokens: tokens was chosen; unique_tokens could be it, too." in notes


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("Runs,,,\n,,,\nrun,params,tokens,loss\n", "'Runs', is a title and no header"),
        ("step,value,timestamp\n1,5,9\n", "call its column value loss"),
        ("   params tokens  loss\n0   1e6   2e7   4.5\n", "pandas.read_csv('val_loss.csv', sep="),
    ],
)
def test_what_is_no_table_is_left_with_its_mend(tmp_path: Path, text: str, way: str) -> None:
    folder = written(tmp_path / "runs", "val_loss.csv", text)
    if "pandas" in way:
        (folder / "val_loss.csv").rename(folder / "val_loss.txt")
        way = way.replace("csv'", "txt'")
    with pytest.raises(FloplineError, match=re.escape(way)):
        drafted(folder)


def test_columns_without_names_are_no_columns(tmp_path: Path) -> None:
    text = "run,params,tokens,loss,,\na,1e6,2e7,4.5,,\n"
    assert read(written(tmp_path / "runs", "runs.csv", text)).tolist() == [[1e6, 2e7, 4.5]]


def test_a_table_without_a_loss_is_named_with_its_columns(tmp_path: Path) -> None:
    # with a third letter that counts layers
    folder = written(tmp_path / "runs", "runs.csv", "N,D,L\n1e6,2e7,4\n4e6,2e7,8\n")
    with pytest.raises(
        FloplineError, match=r"runs\.csv is a table of 2 runs, .*\(N, D, L\): rename"
    ):
        drafted(folder)
    folder = written(tmp_path / "runs", "runs.csv", "N,D,val_loss\n1e6,2e7,4\n4e6,2e7,8\n")
    assert drafted(folder)[0]["columns"] == {"params": "N", "tokens": "D", "loss": "val_loss"}


def test_what_is_missing_of_a_table_is_said_with_the_way(tmp_path: Path) -> None:
    text = "run,params,steps,batch_size,seq_len,val_loss\na,1e6,9,8,7,5.0\nb,4e6,9,8,7,4.0\n"
    _, notes = drafted(written(tmp_path / "runs", "runs.csv", text))
    assert "add one (steps times sequences of a batch times their length)" in notes


@pytest.mark.parametrize("mark", ["\u00a0", "\u202f", "'"])
def test_a_loss_has_no_thousands(mark: str) -> None:
    assert parse_number(f"1{mark}300") == 1300
    assert math.isnan(parse_plain(f"1{mark}300"))
    assert math.isnan(parse_number(f"1{mark}30"))


@pytest.mark.parametrize(
    ("name", "bare", "unit"),
    [
        ("compute (PF-days)", "compute ()", 8.64e19),
        ("train_eflops", "train_flops", 1e18),
        ("D_billions", "D_", 1e9),
        ("params", "params", None),
        ("params (1e6)", "params", 1e6),
        ("tokens/10^9", "tokens", 1e9),
        ("FLOPs [x10^18]", "FLOPs", 1e18),
        ("max1e5", "max1e5", None),
        ("loss@1e9", "loss@1e9", None),
    ],
)
def test_a_name_is_told_from_its_unit(name: str, bare: str, unit: float | None) -> None:
    assert without_unit(name) == bare
    assert unit_of(name) == unit


def test_an_archive_is_no_log(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "logs.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as archive:
        content = b"step,tokens,loss\n1,100,5\n2,200,4\n"
        entry = tarfile.TarInfo("a.csv")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    with pytest.raises(FloplineError, match=r"an archive of files \(tar\): unpack it"):
        sniffed(path)
    with pytest.raises(FloplineError, match=r"as by `tar -xf logs\.tar\.gz` in its folder"):
        drafted(path.parent)


def test_logs_between_semicolons_are_read(tmp_path: Path) -> None:
    folder = written(tmp_path / "logs", "a.csv", "step;tokens;val_loss\n1;100;5,25\n2;200;4,5\n")
    source, _ = drafted(folder)
    assert source["decimal"] == ","
    rows = read_log(folder / "a.csv", source["columns"], "csv", decimal=",").rows
    assert rows["loss"].tolist() == [5.25, 4.5]


def test_a_sidecar_may_be_toml(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[model]\nn_params = 1_000_000\n")
    assert read_sidecar(tmp_path / "config.toml") == {"model": {"n_params": 1_000_000}}
    (tmp_path / "config.toml").write_text("[model\n")
    with pytest.raises(FloplineError, match="is no TOML that can be read"):
        read_sidecar(tmp_path / "config.toml")


@pytest.mark.parametrize(("indent", "named"), [(None, False), (1, False), (1, True)])
def test_documents_of_a_finished_run_each_are_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indent: int | None, named: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    for i, (n, d, loss) in enumerate(RUNS):
        content = {"config": {"n_params": n}, "tokens": d, "final_val_loss": loss, "z_loss": 1e-4}
        content |= {"run_name": f"r{i}"} if named else {}
        text = json.dumps(content, indent=indent) + "\n"
        (tmp_path / f"runs/{i}").mkdir(parents=True)
        written(tmp_path / f"runs/{i}", "results.json", text)
    made = draft(survey(tmp_path / "runs", tmp_path), "s", CONVENTIONS, "s.runs.csv", tmp_path)
    study_file = tmp_path / "config/studies/s.yaml"
    study_file.parent.mkdir(parents=True)
    study_file.write_text(made.study, encoding="utf-8")
    study = load_study({"study": "s"}, tmp_path, ROOT / "workflow/schemas")
    files = [{**file, "sha256": file["path"]} for file in log_files(study, tmp_path)]
    curves = ingest(study, files, tmp_path).curves.set_index("run").sort_index()
    assert curves["loss"].tolist() == [loss for *_, loss in RUNS]
    assert list(curves.index) == [f"r{i}" if named else f"{i}:1" for i in range(len(RUNS))]


def test_a_document_with_an_auxiliary_loss_alone_is_no_result(tmp_path: Path) -> None:
    text = json.dumps({"n_params": 7, "run": "a", "z_loss": 1e-4}, indent=1)
    (_, reason), *_ = survey(written(tmp_path / "runs", "config.json", text), tmp_path).left
    assert "no log format that is known fits it" in reason


def test_records_written_as_text_are_reached_by_dots(tmp_path: Path) -> None:
    # as the export script in the documentation of Weights & Biases writes its project.csv
    rows = [
        {"summary": str({"val/loss": loss, "tokens": d, "gap": math.nan}),
         "config": str({"n_params": n}), "name": f"r{i}"}
        for i, (n, d, loss) in enumerate(RUNS)
    ]  # fmt: skip
    text = pd.DataFrame(rows).to_csv()
    folder = written(tmp_path / "runs", "project.csv", text)
    assert read(folder) == pytest.approx(np.array(RUNS))
    names = {"params": "config.n_params", "tokens": "summary.tokens", "loss": "summary.val/loss"}
    assert flopline.read_runs(folder / "project.csv", **names)["loss"].tolist() == [
        loss for *_, loss in RUNS
    ]


def test_records_within_parquet_are_columns(tmp_path: Path) -> None:
    rows = [
        {"name": f"r{i}", "config": {"n_params": n}, "summary": {"tokens": d, "val_loss": loss}}
        for i, (n, d, loss) in enumerate(RUNS)
    ]
    (tmp_path / "runs").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "runs/runs.parquet")
    assert read(tmp_path / "runs") == pytest.approx(np.array(RUNS))


def test_rows_of_one_size_that_go_on_are_a_curve(tmp_path: Path) -> None:
    # as Ray writes the progress of a trial, with its config in every row
    text = "val_loss,tokens,training_iteration,config/n_params\n5,100,1,7\n4,200,2,7\n3,300,3,7\n"
    source, _ = drafted(written(tmp_path / "runs", "progress.csv", text))
    assert source["kind"] == "logs"
    assert source["columns"]["step"] == "training_iteration"
    text = text.replace("training_iteration", "nothing").replace(",7\n", ",8\n", 1)
    source, _ = drafted(written(tmp_path / "runs", "progress.csv", text))
    assert source["kind"] == "table"


def test_what_a_law_predicts_is_no_table_of_runs(tmp_path: Path) -> None:
    folder = written(
        tmp_path / "runs", "predicted.csv", "N,D,predicted_loss\n1,2,4\n2,2,3\n3,2,3\n"
    )
    written(folder, "runs.csv", TABLES["letters of the papers"])
    written(folder, "fit.json", json.dumps({"A": 400.0, "loss": [1.0, 2.0]}))
    source, notes = drafted(folder)
    assert source["paths"] == "runs/runs.csv"
    assert "predicted.csv (3 runs) is left out" in notes


def test_a_table_that_names_no_log_says_what_would_join_them(tmp_path: Path) -> None:
    folder = written(tmp_path / "logs", "runs.csv", "name,n_params\nmodel-a,1e6\nmodel-b,2e6\n")
    for run in "ab":
        written(folder, f"{run}_log.csv", "step,tokens,val_loss\n1,100,5\n2,200,4\n")
    _, notes = drafted(folder)
    assert "its name names none of the logs (a_log, b_log, ...): call both the same" in notes


def test_tokens_of_data_that_is_gone_over_again_are_asked_about(tmp_path: Path) -> None:
    text = "run,params,dataset_tokens,epochs,loss\na,1e6,2e7,4,4.5\nb,2e6,2e7,4,4\n"
    folder = written(tmp_path / "runs", "runs.csv", text)
    told = "epochs says that some went over their data more than once"
    assert told in drafted(folder)[1]
    written(tmp_path / "runs", "runs.csv", text.replace(",4,", ",1,"))
    assert told not in drafted(folder)[1]


def test_sizes_written_like_70m_are_params_and_words_are_not(tmp_path: Path) -> None:
    text = "Model,Size,Tokens,Loss\na,70M,1.2B,4\nb,1.3B,20B,3\n"
    source, _ = drafted(written(tmp_path / "runs", "runs.csv", text))
    assert source["columns"]["params"] == "Size"
    text = text.replace("70M", "small").replace("1.3B", "large")
    assert "params" not in drafted(written(tmp_path / "runs", "runs.csv", text))[0]["columns"]


def test_losses_side_by_side_are_told_to_be_rows(tmp_path: Path) -> None:
    text = "model,params,loss@1e9,loss@4e9\na,1e6,5,4\nb,2e6,4,3\n"
    _, notes = drafted(written(tmp_path / "runs", "runs.csv", text))
    assert "loss@1e9, loss@4e9 seem to hold losses at several numbers of tokens" in notes
    folder = written(tmp_path / "runs", "runs.csv", "step,70M,1.3B\n1,5,4\n2,4,3\n")
    with pytest.raises(FloplineError, match="columns run, step and loss"):
        drafted(folder)


FINISHED = "".join(f"r{i},{n:.0f},{d:.0f},{loss}\n" for i, (n, d, loss) in enumerate(RUNS))


@pytest.mark.parametrize("more", ["", "Average,2500000,40000000,9.0\n"])
def test_a_row_that_slipped_in_twice_makes_no_curves(tmp_path: Path, more: str) -> None:
    twice = FINISHED.splitlines(keepends=True)[2]
    folder = written(
        tmp_path / "t", "t.csv", f"run,params,tokens,val_loss\n{FINISHED}{twice}{more}"
    )
    source, _ = drafted(folder)
    assert source["kind"] == "table"
    assert source["columns"]["run"] == "run"


def test_a_power_of_ten_beside_tokens_is_their_unit(tmp_path: Path) -> None:
    rows = "".join(f"{n / 1e6},{d / 1e9},{loss}\n" for n, d, loss in RUNS)
    folder = written(tmp_path / "t", "t.csv", f"params (10^6),tokens (10^9),val_loss\n{rows}")
    assert drafted(folder)[0]["columns"]["tokens"] == {"column": "tokens (10^9)", "times": 1e9}
    assert row_columns(["tokens (10^9)"])["tokens"] == {"column": "tokens (10^9)", "times": 1e9}
    assert row_columns(["total tokens"])["tokens"] == "total tokens"


def test_of_finished_runs_the_last_loss_comes_before_a_mean(tmp_path: Path) -> None:
    rows = "".join(f"{n:.0f},{d:.0f},{loss - 0.1},{loss},{loss + 0.5}\n" for n, d, loss in RUNS)
    header = "params,tokens,min_val_loss,val_loss_final,val_loss_avg\n"
    source, notes = drafted(written(tmp_path / "t", "t.csv", header + rows))
    assert source["columns"]["loss"] == "val_loss_final"
    assert "val_loss_avg" in notes.partition("left out")[0].partition("chosen and")[2]
    assert "val_loss_final (" not in notes


@pytest.mark.parametrize("place", ["epoch", "tokens"])
def test_rows_of_one_size_are_a_curve_though_it_was_restarted(tmp_path: Path, place: str) -> None:
    # The tokens of one begin anew at a restart; epochs are no steps, and order rows all the same.
    at = [1, 2, 3, 4, 5, 6, *(range(1, 11) if place == "tokens" else range(7, 17))]
    for name in ("a", "b"):
        rows = "".join(f"{n * 1000},{5 - i / 10},12345678\n" for i, n in enumerate(at))
        written(tmp_path / "t", f"{name}.csv", f"{place},val_loss,params\n{rows}")
    assert drafted(tmp_path / "t")[0]["kind"] == "logs"


BOTH = "run,total_params,active_params,tokens,val_loss\n" + "".join(
    f"r{i},{8 * n:.0f},{n:.0f},{d:.0f},{loss}\n" for i, (n, d, loss) in enumerate(RUNS)
)


@pytest.mark.parametrize("convention", ["active", "total"])
def test_the_declared_count_of_params_chooses_the_column(tmp_path: Path, convention: str) -> None:
    folder = written(tmp_path / "t", "t.csv", BOTH)
    given = {**CONVENTIONS, "params_convention": convention}
    made = draft(survey(folder, tmp_path), "s", given, "s.runs.csv", tmp_path)
    assert f'params: "{convention}_params"' in made.study
    assert not made.missing


def test_a_column_that_counts_other_params_than_declared_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "t", "t.csv", BOTH.replace("active_params", "width"))
    given = {**CONVENTIONS, "params_convention": "active"}
    made = draft(survey(folder, tmp_path), "s", given, "s.runs.csv", tmp_path)
    assert "total_params says that it counts total params" in made.missing[0]
    study: Any = {"params_convention": "active", "source": {"columns": {"params": "total_params"}}}
    (refusal,) = misfits(study)
    assert "write `params: {column: total_params, times: 1}`" in refusal
    study["source"]["columns"]["params"] = {"column": "total_params", "times": 1}
    assert not list(misfits(study))
    assert [said_by(n) for n in ("n_params", "nonEmbeddingParams", "activated_params")] == [
        "", "non_embedding", "active",
    ]  # fmt: skip


def test_all_params_of_a_model_without_experts_may_be_called_active() -> None:
    study: Any = {"params_convention": "total", "source": {"columns": {"params": "params_active"}}}
    assert not list(misfits(study))
    study["params_convention"] = "non_embedding"
    assert list(misfits(study))


def test_runs_that_a_tracker_calls_crashed_are_left_out(tmp_path: Path) -> None:
    states = ["finished", "crashed", "finished", "Failed"]
    rows = [f"{row},{s}\n" for row, s in zip(FINISHED.splitlines(), states, strict=True)]
    header = "Name,params,tokens,val_loss,State\n"
    folder = written(tmp_path / "t", "t.csv", header + "".join(rows))
    _, notes = drafted(folder)
    assert read_yaml(tmp_path / "s.yaml")["exclude"] == [
        {"runs": ["r1"], "reason": "State is crashed"},
        {"runs": ["r3"], "reason": "State is Failed"},
    ]
    assert "State is crashed of 1 run" in notes


def test_a_row_of_units_below_the_header_is_asked_about(tmp_path: Path) -> None:
    rows = "".join(f"r{i},{n / 1e6},{d / 1e9},{loss}\n" for i, (n, d, loss) in enumerate(RUNS))
    folder = written(tmp_path / "t", "t.csv", f"run,params,tokens,val loss\n,M,B,nats\n{rows}")
    source, notes = drafted(folder)
    assert source["columns"]["params"] == {"column": "params", "times": 1e6}
    assert source["columns"]["tokens"] == {"column": "tokens", "times": 1e9}
    assert "holds units and no run (" in notes
    other = written(tmp_path / "u", "t.csv", f"run,params,tokens,val loss\nr9,n/a,?,?\n{rows}")
    assert "holds units" not in drafted(other)[1]


def test_columns_that_are_runs_are_read_as_those_of_a_chart(tmp_path: Path) -> None:
    chart = tmp_path / "c.csv"
    chart.write_text("step,12M - val_loss,35M - val_loss\n200,6.3,5.8\n400,5.7,5.2\n")
    assert sniffed(chart) == "wandb_chart"
    rows = read_log(chart, {"step": "step", "loss": {"val": "val_loss"}}).rows
    assert rows.groupby("run", sort=True)["loss"].last().to_dict() == {"12M": 5.7, "35M": 5.2}
    chart.write_text("step,train - loss,val - loss\n200,6.3,5.8\n400,5.7,5.2\n")
    assert sniffed(chart) == "csv"
