"""The whole workflow from a table of runs: a project folder, and the report in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pandas as pd
import yaml

from flopline.cli.running import run_command_line, run_environment
from flopline.errors import FloplineError
from flopline.places import PROJECT

STUDY = "table"


def write_report(
    runs: pd.DataFrame, folder: str | Path, at: float, *, title: str = "A table of runs"
) -> Path:
    """Run the whole workflow on finished runs (`read_runs`); a minute or more.

    Parameters:
        runs: One row per run: run, params, tokens, flops, loss, maybe family and budget_flops.
        folder: A new folder, which becomes a project that `flopline run` takes up.
        at: The budget to decide for [FLOPs].
        title: The title of the report.

    Returns:
        The path of report.html.

    Raises:
        FloplineError: for a folder that holds a project, and where the workflow ends in an error,
            with its sentence.

    Examples:
        >>> write_report(read_runs("sweep.csv"), "out", at=1e22)  # doctest: +SKIP
    """
    place = Path(folder).resolve()
    study_file = place / "config/studies" / f"{STUDY}.yaml"
    if study_file.exists():
        raise FloplineError(f"{folder} holds a project already: name another folder.")
    study_file.parent.mkdir(parents=True, exist_ok=True)
    config = (PROJECT / "config/config.yaml").read_text(encoding="utf-8")
    (place / "config/config.yaml").write_text(
        config.replace("study: tinylm", f"study: {STUDY}"), encoding="utf-8"
    )
    table = runs if "family" in runs else runs.assign(family="runs")
    table.to_csv(place / f"{STUDY}.csv", index=False)
    columns = {name: {"column": name, "times": 1} for name in ("params", "tokens", "flops")}
    if "budget_flops" in table and table["budget_flops"].notna().all():
        columns["budget_flops"] = {"column": "budget_flops", "times": 1}
    document = {
        "title": title,
        "source": {
            "kind": "table",
            "paths": f"{STUDY}.csv",
            "columns": {"run": "run", "family": "family", "loss": "loss", **columns},
        },
        "families": {name: name for name in dict.fromkeys(table["family"].astype(str))},
        "params_convention": "total",
        "flops_convention": "supplied",
        "laws": ["isoflop", "parametric"],
        "targets": [float(at)],
    }
    study_file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    done = subprocess.run(  # noqa: S603 (Snakemake, with arguments of our own)
        run_command_line(STUDY, []),
        cwd=place,
        env=run_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    page = place / "results" / STUDY / "report.html"
    if done.returncode or not page.is_file():
        lines = [line for line in done.stderr.splitlines() if line.startswith("flopline: ")]
        raise FloplineError(
            lines[-1].removeprefix("flopline: ") if lines else done.stderr.strip()[-400:]
        )
    return page
