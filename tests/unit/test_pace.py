"""Snakemake's default pace is lifted for jobs of this machine, and no other."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from snakemake.cli import get_argument_parser
from snakemake.settings.types import MaxJobsPerTimespan

from running.pace import lift_default

OF_SNAKEMAKE = get_argument_parser().get_default("max_jobs_per_timespan")


@pytest.mark.parametrize(
    ("pace", "remote", "stays"),
    [
        (OF_SNAKEMAKE, False, False),
        (OF_SNAKEMAKE, True, True),
        ("5/1s", False, True),
        ("100/1m", False, True),
    ],
)
def test_only_the_default_pace_here_is_lifted(pace: str, remote: bool, stays: bool) -> None:
    limit = MaxJobsPerTimespan.parse_choice(pace)
    settings = SimpleNamespace(max_jobs_per_timespan=limit)
    lift_default(SimpleNamespace(scheduling_settings=settings, non_local_exec=remote))
    assert settings.max_jobs_per_timespan is (limit if stays else None)


def test_no_pace_is_none() -> None:
    settings = SimpleNamespace(max_jobs_per_timespan=None)
    lift_default(SimpleNamespace(scheduling_settings=settings, non_local_exec=False))
    assert settings.max_jobs_per_timespan is None
