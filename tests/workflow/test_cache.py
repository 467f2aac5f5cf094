"""A cache shared between checkouts, as Snakemake keeps it: `--cache`."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.workflow.conftest import CACHED, END, FIGURES, Checkout
from tests.workflow.engine import engine_in

pytestmark = pytest.mark.workflow

FOLDERS = ("curves", "clean", "fits", "audit")
"""Where the cached rules write, below results/toy."""


def results(checkout: Checkout, *folders: str) -> dict[str, bytes]:
    """The bytes of all results but logs, times and what is remembered of digests."""
    top = checkout.folder / "results/toy"
    left_out = {"logs", "benchmarks", ".solves", ".digests.json", ".snakemake_timestamp"}
    # Results that came to the cache as a folder are a link to one.
    paths = [Path(at) / name for at, _, names in os.walk(top, followlinks=True) for name in names]
    return {
        str(path.relative_to(top)): path.read_bytes()
        for path in sorted(paths)
        if not left_out & set(path.parts)
        if not folders or path.relative_to(top).parts[0] in folders
    }


def without_results(finished: Checkout, folder: Path) -> Checkout:
    copy = finished.copy(folder)
    shutil.rmtree(copy.folder / "results")
    shutil.rmtree(copy.folder / ".snakemake")
    return copy


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def first(finished: Checkout, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout that ran with the empty cache, on more cores and in another environment."""
    checkout = without_results(finished, tmp_path_factory.mktemp("first") / "repo")
    environment = {
        "SNAKEMAKE_OUTPUT_CACHE": str(cache),
        "LC_ALL": "C",
        "TZ": "Pacific/Chatham",
        "PYTHONHASHSEED": "7",
    }
    with engine_in(environment) as elsewhere:
        done = elsewhere.snakemake(
            checkout.folder, "--cores", "2", "--cache", "--until", "audit",
            "--config", "study=toy",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "output file" not in done.stderr  # what Snakemake moves about is no news
    return checkout


@pytest.fixture(scope="module")
def second(first: Checkout, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Another one, of somebody else, who asks for all that is shared."""
    checkout = without_results(first, tmp_path_factory.mktemp("second") / "else where")
    environment = {
        "SNAKEMAKE_OUTPUT_CACHE": str(cache),
        "HOME": str(tmp_path_factory.mktemp("home")),
    }
    done = checkout.snakemake("--cache", "--until", "audit", environment=environment)
    assert done.returncode == 0, done.stderr
    return checkout


@pytest.fixture
def copy(second: Checkout, tmp_path: Path) -> Checkout:
    return second.copy(tmp_path / "repo")


def test_results_are_byte_identical_between_runs(finished: Checkout, first: Checkout) -> None:
    """In another folder, with other cores, locale, time zone and hash seed, through the cache.

    That the same holds for figures and pages is shown by the default study, on a cluster.
    """
    expected, actual = results(finished, *FOLDERS), results(first, *FOLDERS)
    assert len(expected) > 40
    assert actual.keys() == expected.keys()
    assert [path for path in expected if actual[path] != expected[path]] == []


def test_a_second_checkout_computes_nothing_of_what_is_shared(
    first: Checkout, second: Checkout
) -> None:
    assert results(second, *FOLDERS) == results(first, *FOLDERS)
    assert len(results(second, *FOLDERS)) > 40
    logs = second.folder / "results/toy/logs"
    # A script that runs says so in its log; Snakemake leaves an empty one.
    assert [log.name for log in logs.glob("*.log") if log.read_text()] == []
    plan = second.planned()
    assert plan.keys().isdisjoint(CACHED)
    assert plan["decide"] == 1


def test_no_two_jobs_share_an_entry(first: Checkout, cache: Path) -> None:
    """An entry knows nothing of wildcards: the fits of two families must differ in their params."""
    entries = {path.name.split("_")[0] for path in cache.iterdir()}
    jobs = [log for rule in CACHED for log in (first.folder / "results/toy/logs").glob(f"{rule}.*")]
    assert len(entries) == len(jobs) == 13


def test_an_entry_is_used_only_for_the_same_options_code_and_data(
    copy: Checkout, cache: Path
) -> None:
    def fetched(checkout: Checkout) -> dict[str, set[str]]:
        """By kind of output, whether a dry run would obtain its outputs or make them."""
        done = checkout.snakemake(
            "--dry-run", "--quiet", "reason", "--cache", "--forceall",
            environment={"SNAKEMAKE_OUTPUT_CACHE": str(cache)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        decisions = re.findall(
            r"results/toy/(\S+) will be (obtained|written)", done.stdout + done.stderr
        )
        actual: dict[str, set[str]] = {}
        for path, how in decisions:
            actual.setdefault(re.sub(r"\d|ash|birch", "*", path), set()).add(how)
        return actual

    obtained = fetched(copy)
    assert set().union(*obtained.values()) == {"obtained"}
    copy.edit("config/config.yaml", "min_sizes: 4", "min_sizes: 5")
    # An audit reads the fits, and its entry is found by all that they are made of.
    anew = {"audit/*/parametric.json": {"written"}}
    assert fetched(copy) == obtained | anew | {"fits/*/isoflop.json": {"written"}}
    copy.edit("config/config.yaml", "min_sizes: 5", "min_sizes: 4")
    code = copy.folder / "workflow/flopline/laws/envelope/envelope_fit.py"
    code.write_text(code.read_text() + "\nUNUSED_NAME_OF_THIS_TEST = 1\n")
    assert fetched(copy) == obtained | anew | {"fits/*/envelope.json": {"written"}}


def test_without_the_cache_what_came_from_it_stays_valid(first: Checkout) -> None:
    for arguments in ([], ["--cache"]):
        assert first.planned(arguments=arguments) == FIGURES | END


def test_a_run_without_the_cache_leaves_the_entries_alone(copy: Checkout, cache: Path) -> None:
    """Results are links into the cache: a job must not write through them."""
    kept = {path: path.read_bytes() for path in cache.glob("*_findings.json")}
    links = [copy.folder / f"results/toy/audit/{family}" for family in ("ash", "birch")]
    assert all((folder / "findings.json").is_symlink() for folder in links)
    copy.edit("config/studies/toy.yaml", "ladder_draws: 20", "ladder_draws: 200")
    done = copy.snakemake("results/toy/audit/ash/findings.json")
    assert done.returncode == 0, done.stderr
    assert not (links[0] / "findings.json").is_symlink()
    assert (links[0] / "findings.json").read_bytes() not in kept.values()
    assert {path: path.read_bytes() for path in cache.glob("*_findings.json")} == kept


def test_a_damaged_entry_is_never_read_and_made_anew(
    finished: Checkout, first: Checkout, cache: Path, tmp_path: Path
) -> None:
    """A fit with another digit in it is still JSON: only its digest tells."""
    spoilt = tmp_path / "cache"
    shutil.copytree(cache, spoilt, ignore=shutil.ignore_patterns("*_tables"))
    link = first.folder / "results/toy/fits/ash/envelope.json"
    original = link.read_bytes()
    entry = spoilt / link.readlink().name
    entry.write_bytes(original.replace(b'"point": 0.4', b'"point": 0.5', 1))
    assert entry.read_bytes() != original
    checkout = without_results(first, tmp_path / "repo")
    figure = "results/toy/figures/ash/envelope.svg"
    with engine_in({"SNAKEMAKE_OUTPUT_CACHE": str(spoilt)}) as engine:
        command = (checkout.folder, figure, "--cores", "1", "--cache", "--config", "study=toy")
        done = engine.snakemake(*command)
        assert done.returncode == 1
        assert "fits/ash/envelope.json was changed or damaged" in done.stderr
        done = engine.snakemake(*command)
        assert done.returncode == 0, done.stderr
    assert (checkout.folder / "results/toy/fits/ash/envelope.json").read_bytes() == original
    assert (checkout.folder / figure).read_bytes() == (finished.folder / figure).read_bytes()
    assert entry.read_bytes() == original


def test_results_that_lead_nowhere_are_made_again(copy: Checkout) -> None:
    """As after the cache was cleared."""
    for link in (copy.folder / "results/toy/fits/ash").glob("isoflop*"):
        link.unlink()
        link.symlink_to("/nowhere/" + link.name)
    assert copy.planned()["fit_isoflop"] == 1
