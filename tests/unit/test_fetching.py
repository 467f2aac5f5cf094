"""Snapshots, and what each source gives to them."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from hashlib import sha1, sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from flopline.cli.program import main
from flopline.errors import FloplineError
from flopline.fetching import hub_files, mlflow_server, object_stores, snapshots, wandb_project
from flopline.fetching.credentials import is_credential, shown
from flopline.fetching.fetch import fetch, folder_for
from flopline.fetching.remote_files import bring_all, chosen
from flopline.fetching.snapshots import Fetched, Renewal, Snapshot, Source, read_snapshot, renewed
from flopline.fetching.tracked_runs import LeftOut, TrackedRun, flat, write_run_table
from flopline.fetching.transfer import Allowance, Web
from flopline.logs.readers import read_log
from tests.builders.web import Answer, Asked, Site, site

HERE = Source("web", "https://here/logs")
KEY = "hf_" + "Ab1" * 12


def of_files(files: dict[str, str]) -> Callable[[Path, Snapshot | None], Fetched]:
    def fill(place: Path, before: Snapshot | None) -> Fetched:
        for path, text in files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(text)
        return Fetched([HERE])

    return fill


def made(folder: Path, files: dict[str, str]) -> Renewal:
    return renewed(folder, [HERE], of_files(files))


def bytes_of(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# Snapshots.


def test_the_same_source_gives_the_same_bytes_wherever_and_whenever(tmp_path: Path) -> None:
    files = {"logs/a": "1\n", "logs/b/c": "2\n"}
    made(tmp_path / "one", files)
    made(tmp_path / "deep/other", dict(reversed(files.items())))
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "deep/other")
    assert sorted(bytes_of(tmp_path / "one")) == ["fetched.json", "logs/a", "logs/b/c"]


def test_another_fetch_says_what_changed_and_lets_stand_what_did_not(tmp_path: Path) -> None:
    folder = tmp_path / "snap"
    made(folder, {"logs/a": "1\n", "logs/b": "1\n", "logs/c": "1\n", "logs/d": "1\n"})
    os.utime(folder / "logs/a", ns=(10**18, 10**18))
    changes = made(folder, {"logs/a": "1\n", "logs/b": "1\n2\n", "logs/c": "3\n", "logs/e": ""})
    assert changes.changes is not None
    assert (changes.changes.new, changes.changes.gone) == (["logs/e"], ["logs/d"])
    assert (changes.changes.longer, changes.changes.other) == ({"logs/b": 2}, ["logs/c"])
    assert (folder / "logs/a").stat().st_mtime_ns == 10**18
    inode = folder.stat().st_ino
    again = made(folder, {"logs/a": "1\n", "logs/b": "1\n2\n", "logs/c": "3\n", "logs/e": ""})
    assert not again.changes
    assert folder.stat().st_ino == inode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["snap"]


def test_a_fetch_that_fails_leaves_the_snapshot_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "snap"
    made(folder, {"logs/a": "1\n"})
    before = bytes_of(folder)

    def fails(place: Path, _: Snapshot | None) -> Fetched:
        (place / "logs").mkdir()
        (place / "logs/a").write_text("half")
        raise FloplineError("the line broke: mend it.")

    with pytest.raises(FloplineError, match="the line broke"):
        renewed(folder, [HERE], fails)
    assert bytes_of(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["snap"]


def test_an_edited_snapshot_is_mended(tmp_path: Path) -> None:
    folder = tmp_path / "snap"
    made(folder, {"logs/a": "1\n"})
    (folder / "logs/a").write_text("edited")
    renewal = made(folder, {"logs/a": "1\n"})
    assert renewal.changes is not None
    assert renewal.changes.other == ["logs/a"]
    assert (folder / "logs/a").read_text() == "1\n"


def test_what_was_killed_between_two_names_is_put_right(tmp_path: Path) -> None:
    folder = tmp_path / "snap"
    made(folder, {"logs/a": "1\n"})
    folder.rename(tmp_path / ".snap.old")
    (tmp_path / ".snap.part").mkdir()
    (tmp_path / ".snap.part/half").write_text("half")
    renewal = made(folder, {"logs/a": "1\n"})
    assert renewal.changes is not None
    assert not renewal.changes
    assert [path.name for path in tmp_path.iterdir()] == ["snap"]


def test_nothing_of_the_users_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "snap"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years")
    with pytest.raises(FloplineError, match="is no snapshot, and what is in it would be lost"):
        made(folder, {"logs/a": "1\n"})
    (folder / "thesis.tex").unlink()
    made(folder, {"logs/a": "1\n"})
    (folder / "logs/notes.txt").write_text("years")
    with pytest.raises(FloplineError, match=r"notes.txt was not fetched and would be lost: move"):
        made(folder, {"logs/a": "1\n"})
    assert (folder / "logs/notes.txt").read_text() == "years"


def test_a_snapshot_of_another_source_is_not_replaced(tmp_path: Path) -> None:
    made(tmp_path / "snap", {"logs/a": "1\n"})
    other = Source("web", "https://there/logs")
    with pytest.raises(FloplineError, match=r"is a snapshot of https://here/logs: name another"):
        renewed(tmp_path / "snap", [other], of_files({"logs/a": "1\n"}))
    (tmp_path / "snap/fetched.json").write_text("{")
    with pytest.raises(FloplineError, match="is no manifest of a snapshot"):
        made(tmp_path / "snap", {"logs/a": "1\n"})


def test_two_fetches_do_not_meet_in_one_folder(tmp_path: Path) -> None:
    with (tmp_path / ".snap.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(FloplineError, match="another flopline fetch is writing"):
            made(tmp_path / "snap", {"logs/a": "1\n"})


def test_a_source_without_a_log_makes_no_snapshot(tmp_path: Path) -> None:
    with pytest.raises(FloplineError, match="https://here/logs holds no log"):
        made(tmp_path / "snap", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["../a", "/etc/passwd", "a/../../b", "a\\b", "", "a/", "a\nb", "x" * 300, "./a", "a/./b"],
)
def test_a_name_that_leads_out_of_the_snapshot_is_refused(name: str) -> None:
    with pytest.raises(FloplineError, match=r"s3://lab holds .* rename it"):
        snapshots.safe_path(name, "s3://lab")


# What must not be kept.


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        ("api_key", "abc", True), ("model.password", "x", True), ("HF_TOKEN", "x", True),
        ("note", KEY, True), ("env", "AKIA" + "A1" * 8, True), ("db", "pg://me:pw@host/x", True),
        ("tokens", "1e9", False), ("max_tokens", 10, False), ("tokenizer", "gpt2", False),
        ("pad_token", "</s>", False), ("api_key", 3, False), ("url", "https://host/x", False),
    ],
)  # fmt: skip
def test_credentials_are_told_by_name_and_form(name: str, value: object, hidden: bool) -> None:
    assert is_credential(name, value) is hidden


def test_a_url_is_shown_without_user_password_query_and_fragment() -> None:
    assert shown("https://me:pw@host:8/a/b?sig=1#x") == "https://host:8/a/b"


def test_values_of_a_config_are_flat_and_short() -> None:
    left = LeftOut()
    config = {
        "model": {"n": 3.0, "sizes": [1, 2]}, "a": None, "api_key": KEY, "t": "x" * 2000,
        "img": {"_type": "image-file"}, "bad": "NaN", "ok": True,
    }  # fmt: skip
    values = flat(config, left)
    assert repr(values.pop("bad")) == "nan"
    assert values == {"model.n": 3, "model.sizes": "[1, 2]", "ok": True}
    sentences = " ".join(left.sentences())
    assert "credentials: api_key" in sentences
    assert "letters: t" in sentences
    assert "media, tables or histograms: img" in sentences
    assert KEY not in sentences


def test_runs_of_one_name_are_told_apart_by_their_ids(tmp_path: Path) -> None:
    runs = [TrackedRun("b2", "base", "finished"), TrackedRun("a1", "base", "finished")]
    write_run_table(tmp_path, runs, LeftOut())
    table = pd.read_csv(tmp_path / "runs.csv")
    assert list(table["run"]) == ["base (a1)", "base (b2)"]
    assert list(table["log"]) == ["logs/a1.jsonl", "logs/b2.jsonl"]
    with pytest.raises(FloplineError, match=r"2 runs would be written to logs/a-b.jsonl"):
        write_run_table(tmp_path, [TrackedRun("a/b", "", ""), TrackedRun("a b", "", "")], LeftOut())


# MLflow.

MLFLOW_PAGES = {
    ("run-1", "loss"): [
        {"metrics": [{"key": "loss", "value": 3.0, "timestamp": 1000, "step": 0}],
         "next_page_token": "2"},
        {"metrics": [{"key": "loss", "value": 2.5, "timestamp": "3000", "step": "10"},
                     {"key": "loss", "value": "NaN", "timestamp": 9000, "step": 0}]},
    ],
    ("run-1", "lr"): [{"metrics": [{"key": "lr", "value": 0.1, "timestamp": 2999, "step": 10}]}],
}  # fmt: skip


def as_json(content: object, status: int = 200) -> Answer:
    return Answer(json.dumps(content).encode(), status, {"Content-Type": "application/json"})


def mlflow_site(web: Site) -> None:
    """Answers in the forms that a server of MLflow 3 gave (tests/servers asks a real one)."""
    from urllib.parse import parse_qs, urlsplit

    run = {
        "info": {"run_id": "run-1", "run_name": "base", "status": "RUNNING", "start_time": 5},
        "data": {
            "metrics": [{"key": "loss", "value": 2.5}, {"key": "lr", "value": 0.1}],
            "params": [{"key": "n_params", "value": "1000000"}, {"key": "api_key", "value": KEY}],
            "tags": [{"key": "mlflow.user", "value": "me"}, {"key": "arch", "value": "gpt"}],
        },
    }

    def by_name(asked: Asked) -> Answer:
        if asked.path.endswith("experiment_name=sweep"):
            return as_json({"experiment": {"experiment_id": "7"}})
        return as_json({"error_code": "RESOURCE_DOES_NOT_EXIST"}, 404)

    def runs(asked: Asked) -> Answer:
        assert json.loads(asked.body)["experiment_ids"] == ["7"]
        first = "page_token" not in json.loads(asked.body)
        return as_json({"next_page_token": "x"} if first else {"runs": [run]})

    def history(asked: Asked) -> Answer:
        query = {key: one[0] for key, one in parse_qs(urlsplit(asked.path).query).items()}
        pages = MLFLOW_PAGES[query["run_id"], query["metric_key"]]
        return as_json(pages[1 if "page_token" in query else 0])

    api = "/api/2.0/mlflow"
    web.answers[f"{api}/experiments/get-by-name"] = by_name
    web.answers[f"{api}/experiments/search"] = as_json({"experiments": [{"name": "sweep"}]})
    web.answers[f"{api}/runs/search"] = runs
    web.answers[f"{api}/metrics/get-history"] = history


def test_mlflow_gives_every_point_of_every_metric(tmp_path: Path) -> None:
    with site() as web:
        mlflow_site(web)
        renewal = fetch(["mlflow:sweep"], tmp_path / "snap", server=web.url)
        with pytest.raises(FloplineError, match="no experiment 'swep': did you mean sweep"):
            fetch(["mlflow:swep"], tmp_path / "other", server=web.url)
    rows = [json.loads(line) for line in (tmp_path / "snap/logs/run-1.jsonl").open()]
    assert rows[:2] == [
        {"loss": 3, "step": 0, "wall_s": 0},
        {"loss": 2.5, "lr": 0.1, "step": 10, "wall_s": 1.999},
    ]
    # Step 0 was logged again after a restart.
    assert (rows[2]["step"], rows[2]["wall_s"], len(rows)) == (0, 8, 3)
    table = pd.read_csv(tmp_path / "snap/runs.csv")
    assert table.loc[0, ["run", "config.n_params", "config.arch", "summary.loss"]].tolist() == [
        "base", 1_000_000, "gpt", 2.5,
    ]  # fmt: skip
    assert any("Not ended yet, of 1 runs: base" in note for note in renewal.snapshot.notes)
    kept = b"".join(bytes_of(tmp_path / "snap").values())
    assert KEY.encode() not in kept
    assert b'"me"' not in kept


@pytest.mark.parametrize(
    ("server", "sentence"),
    [
        (None, "--server http://HOST:5000, or set MLFLOW_TRACKING_URI"),
        ("sqlite:///x.db", "is no tracking server but a store"),
        ("http://me:pw@host:5000", "netrc"),
    ],
)
def test_mlflow_without_a_server(
    server: str | None, sentence: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(FloplineError, match=sentence):
        fetch(["mlflow:sweep"], tmp_path / "snap", server=server)


def test_mlflow_behind_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", KEY)
    with site() as web:
        web.answers["/api/2.0/mlflow/experiments/get-by-name"] = Answer(status=401)
        with pytest.raises(FloplineError, match=r"401 .*: log in, by MLFLOW_TRACKING_USERNAME"):
            fetch(["mlflow:sweep"], tmp_path / "snap", server=web.url)
        assert web.asked[0].headers["Authorization"] == f"Bearer {KEY}"
        page = Answer(b"<html>", headers={"Content-Type": "text/html"})
        web.answers["/api/2.0/mlflow/experiments/get-by-name"] = page
        with pytest.raises(FloplineError, match="answers something else than JSON"):
            fetch(["mlflow:sweep"], tmp_path / "snap", server=web.url)


# Weights & Biases.

HISTORY = [
    {"_step": 0, "_runtime": 1.5, "loss": 3.0, "val/loss": None, "w": {"_type": "histogram"}},
    {"_step": 10, "_runtime": 2.5, "loss": 2.5, "val/loss": float("nan")},
]


class IncompleteRunHistoryError(Exception):
    """Of the name by which the client says that part of a history is not exported yet."""


class WandbRun(SimpleNamespace):
    """A run as the client of Weights & Biases 0.31 gives it."""

    def scan_history(self, page_size: int) -> list[dict[str, Any]]:
        return [
            {key: "NaN" if value != value else value for key, value in row.items()}
            for row in HISTORY
        ]

    def download_history_exports(self, folder: Path, require_complete_history: bool) -> Any:
        if not self.exported:
            raise IncompleteRunHistoryError
        names = ("_step", "_runtime", "loss", "val/loss")
        rows = [{name: row[name] for name in names} for row in HISTORY]
        paths = [folder / "1.parquet", folder / "0.parquet"]
        for path, row in zip(paths, reversed(rows), strict=True):
            pq.write_table(pa.Table.from_pylist([row]), path)
        return SimpleNamespace(paths=paths, errors=None, contains_live_data=False)


def wandb_api(exported: bool = True, **changed: Any) -> Any:
    run = WandbRun(
        id="r1", name="base", state="finished", exported=exported, group="g",
        config={"n_params": 10, "api_key": KEY, "_wandb": {"v": 1}},
        summary_metrics={"loss": 2.5, "_wandb": {"runtime": 3}},
    )  # fmt: skip
    return SimpleNamespace(**{"runs": lambda path, **_: [run], "run": lambda path: run} | changed)


def wandb_snapshot(folder: Path, api: Any, path: str = "lab/sweep") -> dict[str, bytes]:
    of = wandb_project.source(path, None)
    renewed(folder, [of], lambda place, old: wandb_project.fill(place, old, of, api))
    return bytes_of(folder)


def test_wandb_gives_the_same_bytes_by_its_export_and_by_a_scan(tmp_path: Path) -> None:
    exported = wandb_snapshot(tmp_path / "exported", wandb_api())
    scanned = wandb_snapshot(tmp_path / "scanned", wandb_api(exported=False))
    assert exported["logs/r1.jsonl"] == scanned["logs/r1.jsonl"]
    assert exported["runs.csv"] == scanned["runs.csv"]
    assert exported["logs/r1.jsonl"].splitlines()[1] == (
        b'{"_runtime": 2.5, "_step": 10, "loss": 2.5, "val/loss": NaN}'
    )
    assert b"config.group,config.n_params,summary.loss" in exported["runs.csv"]
    assert KEY.encode() not in b"".join(exported.values())
    one = wandb_snapshot(tmp_path / "one", wandb_api(), "lab/sweep/r1")
    assert one["logs/r1.jsonl"] == exported["logs/r1.jsonl"]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (type("CommError", (Exception,), {})(f"Could not find project, key {KEY}"), "not there"),
        (type("UsageError", (Exception,), {})("api_key not configured"), "wandb login"),
        (ConnectionError("max retries"), "api.wandb.ai cannot be reached"),
        (ValueError(KEY), r"gave up \(ValueError\)"),
    ],
)
def test_what_the_client_of_wandb_raises_is_a_sentence(
    error: Exception, sentence: str, tmp_path: Path
) -> None:
    def runs(path: str, **_: Any) -> Any:
        raise error

    with pytest.raises(FloplineError, match=f"wandb:lab/sweep cannot be fetched.*{sentence}") as e:
        wandb_snapshot(tmp_path / "snap", wandb_api(runs=runs))
    assert KEY not in str(e.value)


def test_an_extra_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for package in ("wandb", "fsspec"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(FloplineError, match=r"pip install 'flopline\[wandb\]'"):
        fetch(["wandb:lab/sweep"], tmp_path / "snap")
    for scheme, extra in object_stores.STORES.items():
        with pytest.raises(FloplineError, match=rf"pip install 'flopline\[{extra}\]'"):
            fetch([f"{scheme}://lab/x"], tmp_path / "snap")


# Trackio.


def test_trackio_gives_its_runs_while_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    with sqlite3.connect(tmp_path / "sweep.db") as store:
        store.execute("PRAGMA journal_mode = WAL")
        store.execute(
            "CREATE TABLE metrics (id INTEGER PRIMARY KEY, run_id TEXT, timestamp TEXT, "
            "run_name TEXT, step INTEGER, metrics TEXT)"
        )
        store.execute("CREATE TABLE configs (run_id TEXT, run_name TEXT, config TEXT)")
        for step, loss in ((0, 3.0), (10, 2.5)):
            row = ("ab", f"t{step}", "base", step, json.dumps({"loss": loss}))
            store.execute(
                "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) "
                "VALUES (?, ?, ?, ?, ?)", row,
            )  # fmt: skip
        config = json.dumps({"n_params": 5, "hf_token": KEY, "_Username": "me"})
        store.execute("INSERT INTO configs VALUES ('ab', 'base', ?)", (config,))
    fetch(["trackio:sweep"], tmp_path / "snap")
    assert (tmp_path / "snap/logs/ab.jsonl").read_text().splitlines() == [
        '{"loss": 3, "step": 0, "timestamp": "t0"}', '{"loss": 2.5, "step": 10, "timestamp": "t10"}'
    ]  # fmt: skip
    assert (tmp_path / "snap/runs.csv").read_text().splitlines() == [
        "run,log,id,state,config.n_params", "base,logs/ab.jsonl,ab,,5"
    ]  # fmt: skip
    with pytest.raises(FloplineError, match=r"no project 'swep' of Trackio \(it has sweep\)"):
        fetch(["trackio:swep"], tmp_path / "other")


def test_trackio_stores_of_older_versions_know_runs_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = next((Path(__file__).parents[1] / "fixtures/logs/trackio").glob("*.db"))
    shutil.copy(store, tmp_path / "lm.db")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    renewal = fetch(["trackio:lm"], tmp_path / "snap")
    logs = [path for path in renewal.snapshot.files if path.startswith("logs/")]
    assert len(logs) == len(pd.read_csv(tmp_path / "snap/runs.csv")) > 0


# The Hugging Face hub.

COMMIT = "0123456789" * 4
SMALL, LARGE = b"a,b\n1,2\n", b"large" * 100


def hub_site(web: Site, large: bytes = LARGE, small: bytes = SMALL) -> None:
    """Answers in the form of the hub's API for a revision with `blobs=true`."""
    blob = sha1(b"blob %d\0" % len(SMALL) + SMALL, usedforsecurity=False).hexdigest()
    siblings = [
        {"rfilename": ".gitattributes", "size": 5, "blobId": "x"},
        {"rfilename": "runs.csv", "size": len(SMALL), "blobId": blob},
        {"rfilename": "logs/a.parquet", "size": len(LARGE), "blobId": "y",
         "lfs": {"sha256": sha256(LARGE).hexdigest(), "size": len(LARGE), "pointerSize": 134}},
    ]  # fmt: skip
    web.answers["/api/datasets/lab/sweep/revision/main"] = as_json(
        {"sha": COMMIT, "siblings": siblings}
    )
    web.answers[f"/datasets/lab/sweep/resolve/{COMMIT}/runs.csv"] = Answer(small)
    web.answers[f"/datasets/lab/sweep/resolve/{COMMIT}/logs/a.parquet"] = Answer(large)


def test_a_data_set_is_fetched_at_one_commit_with_checked_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site() as web:
        hub_site(web)
        monkeypatch.setenv("HF_ENDPOINT", web.url)
        monkeypatch.setenv("HF_TOKEN", KEY)
        renewal = fetch(["hf://datasets/lab/sweep"], tmp_path / "snap")
        assert sorted(renewal.snapshot.files) == ["logs/logs/a.parquet", "logs/runs.csv"]
        assert renewal.snapshot.sources[0].revision == COMMIT
        assert web.asked[0].path.endswith("?blobs=true")
        assert web.asked[0].headers["Authorization"] == f"Bearer {KEY}"
        web.asked.clear()
        again = fetch(["hf://datasets/lab/sweep"], tmp_path / "snap")
        assert not again.changes
        # What did not change is not brought again.
        assert len(web.asked) == 1
        some = fetch(["hf://datasets/lab/sweep/logs/*.parquet"], tmp_path / "some")
        assert list(some.snapshot.files) == ["logs/a.parquet"]
        for wrong in ({"large": b"wrong" * 100}, {"small": SMALL[::-1]}):
            hub_site(web, **wrong)
            with pytest.raises(FloplineError, match="other bytes than the hub says"):
                fetch(["hf://datasets/lab/sweep"], tmp_path / "wrong")
        with pytest.raises(FloplineError, match="names no file of lab/sweep at 0123456789"):
            fetch(["hf://datasets/lab/sweep/nothing/*"], tmp_path / "none")
        with pytest.raises(FloplineError, match=r"404 .*: it is not there, or not for you"):
            fetch(["hf://datasets/lab/other"], tmp_path / "none")
        with pytest.raises(FloplineError, match="of that name is hf://datasets/lab/sweep"):
            fetch(["hf://lab/sweep"], tmp_path / "none")
    assert KEY.encode() not in b"".join(bytes_of(tmp_path / "snap").values())


def test_the_names_of_a_hub_address() -> None:
    with pytest.raises(FloplineError, match="hf://sweep names no repository"):
        hub_files.source("sweep")
    assert hub_files._parts("lab/model@v2/x/y.json") == ("", "lab/model", "v2", "x/y.json")
    assert hub_files._parts("datasets/lab/sweep") == ("datasets/", "lab/sweep", "main", "")


def test_patterns_mean_what_a_shell_means() -> None:
    names = ["a.csv", "runs/b.csv", "runs/deep/c.csv"]
    assert chosen(names, "runs") == {"runs/b.csv": "b.csv", "runs/deep/c.csv": "deep/c.csv"}
    assert chosen(names, "runs/*.csv") == {"runs/b.csv": "b.csv"}
    assert chosen(names, "runs/**/*.csv") == {
        "runs/b.csv": "b.csv",
        "runs/deep/c.csv": "deep/c.csv",
    }
    assert chosen(names, "runs/b.csv") == {"runs/b.csv": "b.csv"}
    assert len(chosen(names, "")) == 3


# Object stores.


class NoCredentialsError(Exception):
    """Of the name that botocore gives it."""


class Store:
    """What of fsspec's file systems is used, over a dictionary."""

    def __init__(self, files: dict[str, bytes], error: Exception | None = None) -> None:
        self.files, self.error, self.opened = files, error, list[str]()

    def info(self, path: str) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        if path in self.files:
            size = len(self.files[path])
            etag = sha256(self.files[path]).hexdigest()
            return {"name": path, "type": "file", "size": size, "ETag": etag}
        if any(name.startswith(path.rstrip("/") + "/") for name in self.files):
            return {"name": path, "type": "directory", "size": 0}
        raise FileNotFoundError(path)

    def find(self, path: str, detail: bool) -> dict[str, dict[str, Any]]:
        return {name: self.info(name) for name in self.files if name.startswith(path)}

    def glob(self, path: str, detail: bool) -> dict[str, dict[str, Any]]:
        return {name: self.info(name) for name in chosen([*self.files], path)}

    def open(self, path: str, mode: str) -> Any:
        import io

        self.opened.append(path)
        return io.BytesIO(self.files[path])


FILES = {"lab/runs/": b"", "lab/runs/a.jsonl": b"1\n", "lab/runs/deep/b.jsonl": b"2\n"}


def stored(folder: Path, address: str, system: Store) -> Renewal:
    scheme, _, path = address.partition("://")
    of = object_stores.source(scheme, path)

    def fill(place: Path, before: Snapshot | None) -> Fetched:
        files = object_stores.files(of, lambda _, **__: system)
        return Fetched([of], bring_all(place, before, files, Allowance(10**6)))

    return renewed(folder, [of], fill)


@pytest.mark.parametrize("scheme", object_stores.STORES)
def test_a_store_gives_a_folder_a_pattern_or_a_file(scheme: str, tmp_path: Path) -> None:
    system = Store(dict(FILES))
    paths = {"runs": 2, "runs/": 2, "runs/*.jsonl": 1, "runs/**/*.jsonl": 2, "runs/a.jsonl": 1}
    for number, (path, files) in enumerate(paths.items()):
        renewal = stored(tmp_path / f"{number}", f"{scheme}://lab/{path}", system)
        assert len(renewal.snapshot.files) == files
        assert (tmp_path / f"{number}/logs/a.jsonl").read_bytes() == b"1\n"
    system.opened.clear()
    system.files["lab/runs/deep/b.jsonl"] = b"2\n3\n"
    renewal = stored(tmp_path / "0", f"{scheme}://lab/runs", system)
    assert system.opened == ["lab/runs/deep/b.jsonl"]
    assert renewal.changes is not None
    assert renewal.changes.longer == {"logs/deep/b.jsonl": 2}


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NoCredentialsError("x"), "nothing says who asks: log in, by `"),
        (PermissionError("Forbidden"), "you may not read it"),
        (FileNotFoundError("x"), "nothing is there"),
        (type("EndpointConnectionError", (Exception,), {})("x"), "cannot be reached"),
        (OSError("odd\nthing"), "answers 'odd thing'"),
    ],
)
@pytest.mark.parametrize("scheme", object_stores.STORES)
def test_what_a_store_refuses_is_a_sentence(
    scheme: str, error: Exception, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(FloplineError, match=f"{scheme}://lab/runs cannot be fetched, .*{sentence}"):
        stored(tmp_path / "snap", f"{scheme}://lab/runs", Store({}, error))


def test_an_open_bucket_of_s3_needs_no_login() -> None:
    def opened(scheme: str, anon: bool = False) -> Store:
        return Store(dict(FILES), None if anon else NoCredentialsError("x"))

    assert len(object_stores.files(object_stores.source("s3", "lab/runs"), opened)) == 2


def test_files_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FloplineError, match=r"2 of the files to fetch are called a.jsonl"):
        fetch(["https://a/x/a.jsonl", "https://a/y/a.jsonl"], tmp_path / "snap")


# The command.


def test_the_command_says_what_it_did_and_what_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    log = "".join(json.dumps({"step": step, "loss": 3 - step / 9}) + "\n" for step in range(9))
    table = "run,log,params,batch_tokens\na,a.jsonl,1000000,512\n"
    with site() as web:
        web.answers |= {"/a.jsonl": Answer(log.encode()), "/runs.csv": Answer(table.encode())}
        addresses = [f"{web.url}/a.jsonl", f"{web.url}/runs.csv"]
        first = CliRunner().invoke(main, ["fetch", *addresses, "--into", "data/sweep"])
        assert first.exit_code == 0, first.output
        assert "Fetched into data/sweep: 2 files" in first.output
        assert '  paths: "data/sweep/logs/a.jsonl"' in first.output
        assert '    table: "data/sweep/logs/runs.csv"' in first.output
        web.answers["/a.jsonl"] = Answer(f"{log}{log}".encode())
        second = CliRunner().invoke(main, ["fetch", *addresses, "--into", "data/sweep"])
        assert f"  1 longer: a.jsonl by {len(log)} bytes\n  1 as they were\n" in second.output
        third = CliRunner().invoke(main, ["fetch", *addresses, "--into", "data/sweep"])
        assert "Nothing changed in data/sweep" in third.output
        fails = CliRunner().invoke(main, ["fetch", f"{web.url}/nothing"])
        assert fails.exit_code == 1
        assert fails.output.startswith("flopline: http://127.0.0.1:")
    assert not list(tmp_path.glob("config"))
    assert len(read_log(Path("data/sweep/logs/a.jsonl"), {"loss": "loss"}, "jsonl").rows) == 18
    assert len(read_snapshot(Path("data/sweep")).sources) == 2


@pytest.mark.parametrize(
    ("addresses", "sentence"),
    [
        (["ftp://host/x"], "is no address that can be fetched: write one of wandb:"),
        (["data/lgos"], "there is no file or folder 'data/lgos' here: .* need no fetch"),
        (["hf://datasets/x"], "hf://datasets/x names no repository: write hf://datasets/OWNER"),
        (["."], "is here already: a study reads it as it stands"),
        (["wandb:lab"], "names no project: write wandb:ENTITY/PROJECT"),
        (["trackio:lab/x"], "names no project"),
        (["s3:///x"], "names no bucket"),
        (["https:///x"], "names no host"),
        (["wandb:lab/x", "https://a/b"], "wandb: is fetched alone"),
    ],
)
def test_an_address_that_is_none(addresses: list[str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(FloplineError, match=sentence):
        fetch(addresses, tmp_path / "snap")


@pytest.mark.parametrize(
    ("address", "folder"),
    [
        ("wandb:lab/sweep", "data/sweep"),
        ("mlflow:my sweep", "data/my-sweep"),
        ("s3://lab/runs/*.jsonl", "data/runs"),
        ("s3://lab/**", "data/lab"),
        ("s3://lab/v1.2/*.jsonl", "data/v1.2"),
        ("hf://datasets/lab/gpt-1.3B", "data/gpt-1.3B"),
        ("https://host/x/a.jsonl.gz?key=1", "data/a"),
        ("hf://datasets/lab/sweep@main", "data/sweep-main"),
    ],
)
def test_where_a_snapshot_lies_unless_it_is_said(address: str, folder: str) -> None:
    assert folder_for(address) == Path(folder)


def test_the_web_follows_the_mends_of_its_source() -> None:
    assert Web(mends={404: "so"}).mends[404] == "so"
    assert "MLFLOW_TRACKING_TOKEN" in mlflow_server.web().mends[401]
