"""Runs of a Weights & Biases project with their whole histories, by the package `wandb`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from flopline.errors import FloplineError
from flopline.fetching.credentials import demand_no_password, shown
from flopline.fetching.snapshots import Fetched, Snapshot, Source
from flopline.fetching.tracked_runs import (
    LeftOut,
    TrackedRun,
    still_running,
    write_history,
    write_run_table,
)

PAGE: Final = 10_000
"""Rows of a history that are asked for at a time."""
_OWN: Final = "_wandb"
"""What the client writes of itself into config and summary."""


def source(path: str, server: str | None) -> Source:
    """The source `wandb:ENTITY/PROJECT` or `wandb:ENTITY/PROJECT/RUN`; `server` is one's own."""
    parts = path.strip("/").split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise FloplineError(
            f"wandb:{path} names no project: write wandb:ENTITY/PROJECT, or one run of it as "
            "wandb:ENTITY/PROJECT/RUN_ID."
        )
    if server:
        demand_no_password(server)
    return Source("wandb", f"wandb:{'/'.join(parts)}", shown(server) if server else None)


def client(of: Source) -> Any:
    """The package's own client; raises FloplineError where it is not installed or logged in."""
    try:
        import wandb
    except ImportError:
        raise FloplineError(
            "fetching from Weights & Biases needs the package wandb: pip install 'flopline[wandb]'."
        ) from None
    settings = {"base_url": of.server} if of.server else None
    try:
        return wandb.Api(overrides=settings, timeout=60)
    except Exception as error:
        raise _refused(of, error) from None


def fill(place: Path, before: Snapshot | None, of: Source, api: Any) -> Fetched:
    """Write all runs of the project, or the one that is named.

    A run's history is its export to Parquet, which holds every row; where a part of it has not been
    exported yet it is scanned row by row. Neither is the sampled history of the charts.
    """
    path = of.address.removeprefix("wandb:")
    left, runs, scanned = LeftOut(), [], 0
    try:
        several = path.count("/") == 1
        listed = api.runs(path, per_page=200, lazy=False) if several else [api.run(path)]
        for content in listed:
            runs.append(_run(content))
            with tempfile.TemporaryDirectory(prefix="flopline-") as folder:
                exported = _exported(content, Path(folder))
                scanned += exported is None
                rows = _scanned(content) if exported is None else exported
                write_history(place, content.id, rows, left)
    except FloplineError:
        raise
    except Exception as error:
        # The client promises no closed list of errors.
        raise _refused(of, error) from None
    if not runs:
        raise FloplineError(f"{of.address} holds no run: correct the entity or the project.")
    write_run_table(place, runs, left)
    return Fetched([of], notes=[*still_running(runs), *left.sentences()])


def _run(content: Any) -> TrackedRun:
    config, summary = (
        {key: value for key, value in dict(part).items() if not str(key).startswith(_OWN)}
        for part in (content.config, _summary(content))
    )
    if content.sweep_name if hasattr(content, "sweep_name") else None:
        config.setdefault("sweep", content.sweep_name)
    if getattr(content, "group", None):
        config.setdefault("group", content.group)
    return TrackedRun(str(content.id), str(content.name or ""), content.state, config, summary)


def _summary(content: Any) -> Mapping[str, Any]:
    summary = getattr(content, "summary_metrics", None)
    return summary if isinstance(summary, Mapping) else dict(content.summary)


def _exported(content: Any, folder: Path) -> Iterator[dict[str, Any]] | None:
    """The rows of a run's exported history; None where it was not, or not all of it."""
    download = getattr(content, "download_history_exports", None)
    if download is None:
        return None
    try:
        result = download(folder, require_complete_history=True)
    except Exception as error:
        if type(error).__name__ == "IncompleteRunHistoryError":
            return None
        raise
    if result.errors or result.contains_live_data or not result.paths:
        return None
    return _rows(sorted(Path(path) for path in result.paths))


def _rows(files: list[Path]) -> Iterator[dict[str, Any]]:
    """Rows of Parquet files by their step, without what a row did not log."""
    rows = []
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches():
            rows += [
                {key: value for key, value in row.items() if value is not None}
                for row in batch.to_pylist()
            ]
    yield from sorted(rows, key=lambda row: row.get("_step", 0))


def _scanned(content: Any) -> Iterator[dict[str, Any]]:
    for row in content.scan_history(page_size=PAGE):
        yield {key: value for key, value in row.items() if value is not None}


def _refused(of: Source, error: Exception) -> FloplineError:
    """What the client raised, in a sentence with its mend; its words may hold no key."""
    kind, words = type(error).__name__, str(error).lower()
    server = of.server or "api.wandb.ai"
    if kind in ("AuthenticationError", "UsageError") or "api key" in words or "401" in words:
        why = "you are not logged in: `wandb login`, or set WANDB_API_KEY"
    elif "403" in words or "permission" in words:
        why = "you may not read it: ask its owner, or log in as somebody who may"
    elif "could not find" in words or "404" in words or "not found" in words:
        why = "it is not there, or not for you: correct the name, or `wandb login`"
    elif kind in ("ConnectionError", "Timeout", "ConnectTimeout") or "connect" in words:
        why = f"{server} cannot be reached: see to the connection and start again"
    else:
        why = f"the client of Weights & Biases gave up ({kind}): run `wandb verify` to see why"
    return FloplineError(f"{of.address} cannot be fetched, {why}.")
