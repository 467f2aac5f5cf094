"""Runs of an experiment on an MLflow tracking server, by its REST API."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from flopline.errors import FloplineError
from flopline.fetching.credentials import demand_no_password, shown
from flopline.fetching.snapshots import Fetched, Snapshot, Source
from flopline.fetching.tracked_runs import (
    LeftOut,
    TrackedRun,
    plain,
    still_running,
    write_history,
    write_run_table,
)
from flopline.fetching.transfer import Refused, Web, basic

RUNS_PER_PAGE: Final = 1_000
POINTS_PER_PAGE: Final = 25_000
"""The most of each that the API gives at a time."""
AT_A_TIME: Final = 8
"""Metrics that are asked for side by side."""
EXPERIMENTS: Final = 1_000

_STATES: Final = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}
_OWN_TAGS: Final = "mlflow."
"""How the tags begin that MLflow writes itself, of users, commits and models."""


def source(experiment: str, server: str | None) -> Source:
    """The source `mlflow:EXPERIMENT`; without `server` that of MLFLOW_TRACKING_URI.

    Raises FloplineError where no server is named.
    """
    url = (server or os.environ.get("MLFLOW_TRACKING_URI") or "").rstrip("/")
    if not url:
        raise FloplineError(
            "mlflow: needs the address of the tracking server: add --server http://HOST:5000, or "
            "set MLFLOW_TRACKING_URI."
        )
    if urlsplit(url).scheme not in ("http", "https"):
        raise FloplineError(
            f"{shown(url)} is no tracking server but a store of MLflow: a folder of it is read as "
            "it stands (`paths: mlruns/*/*` in a study file), of a database start a server with "
            "`mlflow server --backend-store-uri ...` and give its address."
        )
    demand_no_password(url)
    if not experiment:
        raise FloplineError("mlflow: needs the name of an experiment, as in mlflow:sweep.")
    return Source("mlflow", f"mlflow:{experiment}", shown(url))


def web(**settings: Any) -> Web:
    """A way to ask the server, with the login that MLflow's own client would use."""
    headers = {}
    token, user = (os.environ.get(f"MLFLOW_TRACKING_{key}") for key in ("TOKEN", "USERNAME"))
    if user:
        headers["Authorization"] = basic(user, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
    elif token:
        headers["Authorization"] = f"Bearer {token}"
    login = (
        "log in, by MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD or by "
        "MLFLOW_TRACKING_TOKEN"
    )
    mends = {401: login, 403: f"ask for access to it, or {login}"}
    return Web(headers=headers, mends=mends, **settings)


def fill(place: Path, before: Snapshot | None, of: Source, server: Web) -> Fetched:
    """Write all runs of the experiment with all their metrics."""
    api = f"{of.server}/api/2.0/mlflow"
    experiment = _experiment(server, api, of)
    runs, left = [], LeftOut()
    for content in _runs(server, api, experiment):
        runs.append(run := _run(content))
        metrics = sorted({metric["key"] for metric in content["data"].get("metrics", [])})
        rows = side_by_side(_histories(server, api, run.id, metrics))
        write_history(place, run.id, rows, left)
    if not runs:
        raise FloplineError(f"{of.address} holds no run on {of.server}: name another experiment.")
    write_run_table(place, runs, left)
    return Fetched([of], notes=[*still_running(runs), *left.sentences()])


def side_by_side(metrics: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Points of metrics as one row for each step, in the order of their clocks.

    Where a step was logged again, as after a restart, the n-th points of it go together. `wall_s`
    counts from the first point.
    """
    rows: dict[tuple[int, int], dict[str, Any]] = {}
    clocks: dict[tuple[int, int], int] = {}
    for name, points in metrics.items():
        times: dict[int, int] = defaultdict(int)
        for point in sorted(points, key=_by_clock):
            step, clock = int(point.get("step", 0)), int(point["timestamp"])
            at = (step, times[step])
            times[step] += 1
            rows.setdefault(at, {"step": step})[name] = plain(point.get("value"))
            clocks[at] = min(clock, clocks.get(at, clock))
    begin = min(clocks.values(), default=0)
    ordered = sorted(rows, key=lambda at: (clocks[at], at))
    return [rows[at] | {"wall_s": plain((clocks[at] - begin) / 1000)} for at in ordered]


def _by_clock(point: Mapping[str, Any]) -> tuple[int, int, str]:
    return int(point["timestamp"]), int(point.get("step", 0)), str(point.get("value"))


def _experiment(server: Web, api: str, of: Source) -> str:
    """The id of the experiment by its name, or else by its id."""
    name = of.address.removeprefix("mlflow:")
    ways = [("get-by-name", "experiment_name"), ("get", "experiment_id")]
    for way, key in ways if name.isdigit() else ways[:1]:
        try:
            found = server.json(f"{api}/experiments/{way}?{urlencode({key: name})}")
            return str(found["experiment"]["experiment_id"])
        except Refused as refused:
            if refused.status != 404 or "RESOURCE_DOES_NOT_EXIST" not in refused.body:
                raise
        except (KeyError, TypeError):
            raise _no_server(of) from None
    listed = server.json(f"{api}/experiments/search", {"max_results": EXPERIMENTS})
    names = [str(one["name"]) for one in listed.get("experiments", [])]
    near = get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(names[:5]) or 'none'}."
    raise FloplineError(f"{of.server} has no experiment {name!r}: {hint}")


def _runs(server: Web, api: str, experiment: str) -> Iterator[dict[str, Any]]:
    """All runs that were not deleted, page by page."""
    token = None
    while True:
        asked: dict[str, Any] = {"experiment_ids": [experiment], "max_results": RUNS_PER_PAGE}
        page = server.json(f"{api}/runs/search", asked | ({"page_token": token} if token else {}))
        yield from page.get("runs", [])
        token = page.get("next_page_token")
        if not token:
            return


def _run(content: Mapping[str, Any]) -> TrackedRun:
    info, data = content["info"], content["data"]
    tags = {tag["key"]: tag.get("value", "") for tag in data.get("tags", [])}
    own = {key: value for key, value in tags.items() if not key.startswith(_OWN_TAGS)}
    config = {param["key"]: param.get("value", "") for param in data.get("params", [])}
    last = {metric["key"]: metric.get("value") for metric in data.get("metrics", [])}
    name = info.get("run_name") or tags.get("mlflow.runName", "")
    state = _STATES.get(str(info.get("status")), "running")
    twice = {key: value for key, value in own.items() if key not in config}
    return TrackedRun(str(info["run_id"]), name, state, config | twice, last)


def _histories(
    server: Web, api: str, run: str, metrics: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """All points of each metric; several are asked for at a time, since each is a request."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        points = pool.map(lambda name: _history(server, api, run, name), metrics)
        return dict(zip(metrics, points, strict=True))


def _history(server: Web, api: str, run: str, metric: str) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = []
    asked = {"run_id": run, "metric_key": metric, "max_results": str(POINTS_PER_PAGE)}
    while True:
        page = server.json(f"{api}/metrics/get-history?{urlencode(asked)}")
        points += page.get("metrics", [])
        token = page.get("next_page_token")
        if not token:
            return points
        asked["page_token"] = token


def _no_server(of: Source) -> FloplineError:
    return FloplineError(
        f"{of.server} does not answer as a tracking server of MLflow: correct --server."
    )
