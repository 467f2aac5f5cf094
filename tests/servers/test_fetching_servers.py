"""Fetching from real servers on loopback: MLflow's own, moto as S3, and a store that Trackio wrote.

`make servers` installs them apart; without them these tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pandas as pd
import pytest

from flopline.errors import FloplineError
from flopline.fetching.fetch import fetch
from flopline.fetching.transfer import Web
from flopline.logs.readers import read_log

pytestmark = pytest.mark.slow

PATIENCE_S = 120.0
FOLDER = os.environ.get("FLOPLINE_SERVERS", "")


def program(name: str) -> str:
    """A program of the servers' environment; skips the test where there is none."""
    path = shutil.which(name, path=FOLDER or None)
    if path is None:
        pytest.skip(f"there is no {name} in FLOPLINE_SERVERS={FOLDER!r} or on PATH: `make servers`")
    return str(Path(path).absolute())


@contextmanager
def serving(*command: str, health: str, folder: Path) -> Iterator[str]:
    """The URL of a server that is started for a test and ended behind it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    words = [str(port) if word == "PORT" else word for word in command]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            words, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True
        )
        try:
            deadline = time.monotonic() + PATIENCE_S
            while True:
                try:
                    urlopen(f"{url}{health}", timeout=5).close()  # noqa: S310
                    break
                except OSError:
                    assert server.poll() is None, (folder / "server.log").read_text()
                    assert time.monotonic() < deadline, (folder / "server.log").read_text()
                    time.sleep(0.2)
            yield url
        finally:
            os.killpg(server.pid, 15)
            server.wait(30)


@pytest.fixture(scope="module")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    command = (
        program("mlflow"), "server", "--host", "127.0.0.1", "--port", "PORT", "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/store.db",
        "--default-artifact-root", str(folder / "artifacts"),
    )  # fmt: skip
    with serving(*command, health="/health", folder=folder) as url:
        yield url


class Experiment:
    """Runs that are logged to a server of MLflow by its REST API."""

    def __init__(self, url: str, name: str) -> None:
        self.api, self.web = f"{url}/api/2.0/mlflow", Web()
        self.id = self.ask("experiments/create", name=name)["experiment_id"]

    def ask(self, way: str, **content: Any) -> Any:
        return self.web.json(f"{self.api}/{way}", content)

    def run(self, name: str, params: dict[str, str], losses: list[float], end: bool = True) -> str:
        run = self.ask("runs/create", experiment_id=self.id, run_name=name, start_time=1_000)
        number: str = run["run"]["info"]["run_id"]
        listed = [{"key": key, "value": value} for key, value in params.items()]
        self.ask("runs/log-batch", run_id=number, params=listed)
        self.log(number, losses)
        if end:
            self.ask("runs/update", run_id=number, status="FINISHED", end_time=2_000)
        return number

    def log(self, run: str, losses: list[float], first: int = 0) -> None:
        points = [
            {"key": key, "value": loss + more, "timestamp": 10 * step, "step": step}
            for step, loss in enumerate(losses, first)
            for key, more in (("train/loss", 0.0), ("val/loss", 1.0))
        ]
        for at in range(0, len(points), 1000):
            self.ask("runs/log-batch", run_id=run, metrics=points[at : at + 1000])


def test_every_point_of_an_mlflow_experiment_arrives(mlflow_url: str, tmp_path: Path) -> None:
    experiment = Experiment(mlflow_url, "sweep")
    # More than one page of a metric's history.
    long = [3.0 + 1.0 / (1 + step) for step in range(25_100)]
    first = experiment.run("small", {"n_params": "1000000", "api_key": "hidden"}, long)
    second = experiment.run("large", {"n_params": "4000000"}, [5.0, 4.0], end=False)
    folder = tmp_path / "snap"
    renewal = fetch(["mlflow:sweep"], folder, server=mlflow_url)
    rows = read_log(folder / f"logs/{first}.jsonl", {"step": "step", "loss": "train/loss"}).rows
    assert rows["loss"].tolist() == long
    assert rows["step"].tolist() == list(range(len(long)))
    table = pd.read_csv(folder / "runs.csv").set_index("run")
    assert table["config.n_params"].to_dict() == {"small": 1_000_000, "large": 4_000_000}
    assert table["state"].to_dict() == {"small": "finished", "large": "running"}
    assert any("Not ended yet, of 2 runs: large" in note for note in renewal.snapshot.notes)
    assert b"hidden" not in b"".join(path.read_bytes() for path in folder.rglob("*.*"))

    assert not fetch(["mlflow:sweep"], folder, server=mlflow_url).changes
    other = fetch(["mlflow:sweep"], tmp_path / "other", server=mlflow_url)
    assert other.snapshot.digest == renewal.snapshot.digest
    experiment.log(second, [3.5], first=2)
    changes = fetch(["mlflow:sweep"], folder, server=mlflow_url).changes
    assert changes is not None
    assert list(changes.longer) == [f"logs/{second}.jsonl"]


def test_mlflow_pages_through_its_runs(
    mlflow_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flopline.fetching.mlflow_server.RUNS_PER_PAGE", 2)
    experiment = Experiment(mlflow_url, "paged")
    ids = {experiment.run(f"r{number}", {}, [float(number)]) for number in range(5)}
    fetch(["mlflow:paged"], tmp_path / "snap", server=mlflow_url)
    assert set(pd.read_csv(tmp_path / "snap/runs.csv")["id"]) == ids
    with pytest.raises(FloplineError, match="has no experiment 'pagd': did you mean paged"):
        fetch(["mlflow:pagd"], tmp_path / "none", server=mlflow_url)
    experiment.ask("experiments/create", name="empty")
    with pytest.raises(FloplineError, match="mlflow:empty holds no run"):
        fetch(["mlflow:empty"], tmp_path / "none", server=mlflow_url)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed: `make servers`")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    command = (program("moto_server"), "-H", "127.0.0.1", "-p", "PORT")
    with serving(*command, health="/", folder=tmp_path) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir("lab")
        yield url


def put(key: str, body: bytes) -> None:
    """Write an object by the client that s3fs brings along, signed as any client signs."""
    import s3fs

    s3fs.S3FileSystem(skip_instance_cache=True).call_s3(
        "put_object", Bucket="lab", Key=key, Body=body
    )


@pytest.mark.usefixtures("bucket")
def test_a_bucket_of_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = b"".join(b'{"step": %d, "loss": %d}\n' % (step, step % 7) for step in range(300_000))
    logs = {"a.jsonl": large, "deep/b.jsonl": large[:100], "deep/": b""}
    for name, body in logs.items():
        put(f"runs/{name}", body)
    folder = tmp_path / "snap"
    renewal = fetch(["s3://lab/runs"], folder)
    assert sorted(renewal.snapshot.files) == ["logs/a.jsonl", "logs/deep/b.jsonl"]
    assert (folder / "logs/a.jsonl").read_bytes() == large
    assert not fetch(["s3://lab/runs/"], tmp_path / "slash").changes
    put("runs/deep/b.jsonl", large[:200])
    changes = fetch(["s3://lab/runs"], folder).changes
    assert changes is not None
    assert changes.longer == {"logs/deep/b.jsonl": 100}
    some = fetch(["s3://lab/runs/**/b.jsonl"], tmp_path / "some")
    assert sorted(some.snapshot.files) == ["logs/deep/b.jsonl"]
    for address in ("s3://lab/nothing", "s3://other/x"):
        with pytest.raises(FloplineError, match="nothing is there: correct the bucket"):
            fetch([address], tmp_path / "none")
    with pytest.raises(FloplineError, match="--most-gb"):
        fetch(["s3://lab/runs"], tmp_path / "none", most_gb=1e-3)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(FloplineError, match="the store cannot be reached"):
        fetch(["s3://lab/runs"], tmp_path / "none")


WRITES = """
import trackio
for name, size in (("small", 1000000), ("large", 4000000)):
    trackio.init(project="sweep", name=name, config={"n_params": size}, embed=False)
    for step in range(20):
        trackio.log({"train/loss": 3.0 + 1.0 / (1 + step)}, step=step)
    trackio.finish()
"""


def test_a_store_that_trackio_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = program("python")
    there = subprocess.run([python, "-c", "import trackio"], capture_output=True, check=False)
    if there.returncode:
        pytest.skip("trackio is not installed beside the servers: `make servers`")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", WRITES], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    fetch(["trackio:sweep"], tmp_path / "snap")
    table = pd.read_csv(tmp_path / "snap/runs.csv").set_index("run")
    assert table["config.n_params"].to_dict() == {"small": 1_000_000, "large": 4_000_000}
    for log in table["log"]:
        rows = [json.loads(line) for line in (tmp_path / "snap" / log).open()]
        assert [row["train/loss"] for row in rows] == [3.0 + 1.0 / (1 + step) for step in range(20)]
