"""The command `flopline`: projects, what Snakemake is given, plans, mistakes in one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

import flopline
from flopline import places
from flopline.cli.planning import in_words, planned
from flopline.cli.program import NAMES, main, study_path
from flopline.cli.running import snakemake_arguments
from flopline.errors import FloplineError
from flopline.laws.common.fit_result import CONVERGED
from flopline.places import PROJECT, SCHEMAS, SNAKEFILE, command, to_run
from flopline.results import FamilyResults, StudyResults
from flopline.schema import KEPT
from flopline.study import load_study, read_yaml
from tests.builders import fits
from tests.builders.designs import isoflop_runs, with_budgets
from tests.builders.surfaces import BESIROGLU
from tests.conftest import ROOT

TARGET = 1e22


def said(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(arguments), prog_name="flopline")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@pytest.mark.parametrize("name", NAMES)
def test_every_command_says_what_it_does(name: str) -> None:
    code, help_text = said(name, "--help")
    assert code == 0
    assert f"Usage: flopline {name}" in help_text
    assert max(map(len, help_text.splitlines())) <= 100
    _, listed = said("--help")
    assert f"\n  {name} " in listed


def test_version_and_unknown_commands() -> None:
    assert said("--version") == (0, f"flopline, version {flopline.__version__}\n")
    code, sentence = said("paln", "1e22")
    assert code == 2
    assert "there is no command 'paln': did you mean plan?" in sentence


def test_help_loads_no_tables(tmp_path: Path) -> None:
    """A command line that answers at once: pandas alone takes most of a second."""
    script = (
        "import sys; sys.argv = ['flopline', '--help']\n"
        "from flopline.cli.program import main\n"
        "try:\n    main()\nexcept SystemExit: pass\n"
        "sys.exit('pandas' in sys.modules or 'snakemake' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_init_makes_a_project_with_a_study_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    code, sentence = said("init", str(folder))
    assert code == 0
    assert f"{command(folder)} run" in sentence
    monkeypatch.chdir(folder)
    study = load_study(read_yaml(Path("config/config.yaml")), folder, SCHEMAS)
    assert study["name"] == "tinylm"
    assert len(list(Path("data/tinylm/logs").glob("*.jsonl.gz"))) == 130
    assert Path("profiles/slurm/config.yaml").is_file()
    assert Path("profiles/cluster-generic/status.sh").stat().st_mode & 0o111
    code, sentence = said("init")
    assert (code, "is there already, and nothing is written over" in sentence) == (1, True)


def test_init_without_the_sample_holds_no_study(tmp_path: Path) -> None:
    assert said("init", str(tmp_path / "mine"), "--no-sample")[0] == 0
    assert list((tmp_path / "mine/config/studies").iterdir()) == []
    assert read_yaml(tmp_path / "mine/config/config.yaml")["study"] == "mine"
    assert not (tmp_path / "mine/data").exists()


@pytest.mark.parametrize("words", [["run"], ["plan", "1e22"], ["next"], ["report"], ["judge"]])
def test_outside_a_project_each_says_how_to_get_one(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, sentence = said(*words)
    assert code == 1
    assert f"so it is no project: go to one, or make one with {command()} init" in sentence
    assert sentence.count("\n") == 1


def test_a_study_that_was_not_run_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said("init", str(tmp_path / "mine"))
    monkeypatch.chdir(tmp_path / "mine")
    for words in (["plan", "1e15"], ["next"], ["report", "tinylm"]):
        code, sentence = said(*words)
        assert (code, sentence.count("\n")) == (1, 1)
        assert "run the study first, with" in sentence
    assert "not 'many'" in said("plan", "many")[1]
    for below in ("0", "-1", "-1e21"):
        assert f"such as 1e22 or '500 PF-days', not '{below}'." in said("plan", below)[1]
    assert "No such option" in said("plan", "1e22", "--famly")[1]


def test_what_snakemake_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    packaged = str(PROJECT / "profiles")
    always = ["--snakefile", str(SNAKEFILE)]
    default = ["--workflow-profile", f"{packaged}/default"]
    assert snakemake_arguments("", []) == [*always, "--cores", "all", *default]
    assert snakemake_arguments("x", ["--cores", "3", "-n"]) == [
        *always, *default, "--cores", "3", "-n", "--config", "study=x",
    ]  # fmt: skip
    assert snakemake_arguments("", ["--profile", "slurm"])[-1] == f"{packaged}/slurm"
    assert snakemake_arguments("", ["--profile=slurm"])[-2:] == ["--profile", f"{packaged}/slurm"]
    with pytest.raises(FloplineError, match="no profile 'slrum' here: name a folder, or one of"):
        snakemake_arguments("", ["--profile", "slrum"])
    own = tmp_path / "profiles/slurm"
    own.mkdir(parents=True)
    assert snakemake_arguments("", ["--profile", "slurm"])[-1] == "profiles/slurm"


def test_rules_and_stages_that_there_are_not_are_told_before_snakemake() -> None:
    for name in ("gather", "fit_isoflop", "results/x/decision.json"):
        assert name in snakemake_arguments("x", ["--until", name, "-n"])
    sentence = "--until names 'gathr', which is neither a stage nor a file of results"
    with pytest.raises(FloplineError, match=rf"{sentence} \(did you mean 'gather'\?\)"):
        snakemake_arguments("x", ["--until", "gathr"])


def test_studies_that_there_are_not_list_few_and_name_the_one_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said("init", str(tmp_path / "p"))[0] == 0
    monkeypatch.chdir(tmp_path / "p")
    for number in range(30):
        Path(f"config/studies/a{number}.yaml").write_text("")
    for name, words in {"zzz": " more.", "a7.yaml": "name it a7 or config/studies/a7.yaml"}.items():
        code, sentence = said("plan", "1e22", name)
        assert code == 1
        assert words in sentence
        assert len(sentence) < 300


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--params-convention", "totl"], "(did you mean 'total'?): choose one of total,"),
        (["--target", "nan"], "the target 'nan' is no budget"),
        (["--target=-5"], "the target '-5' is no budget"),
        (["--target", "1,5e20"], "the target '1,5e20' is no budget"),
        (["--target", "1"], "is fewer than 1,000,000"),
    ],
)
def test_a_draft_is_given_what_a_study_may_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: list[str], sentence: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, output = said("draft", ".", "--name", "x", *words)
    assert code == 1
    assert sentence in output + capsys.readouterr().err


def test_a_draft_takes_the_budgets_that_a_plan_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("run,params,tokens,val_loss\na,1e8,1e9,3\nb,2e8,1e9,2.9\n")
    assert (
        said("draft", ".", "--name", "x", "--target", "500 PF-days", "--target", "2e20FLOPs")[0]
        == 0
    )
    assert read_yaml(Path("config/studies/x.yaml"))["targets"] == [4.32e22, 2e20]


def test_a_small_case_of_fewer_than_no_lines_is_refused(tmp_path: Path) -> None:
    code, sentence = said("anonymise", "a", "b", "--lines", "-3")
    assert code == 2
    assert "-3 is not in the range x>=0" in sentence


def test_a_study_of_digits_is_given_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config/studies").mkdir(parents=True)
    (tmp_path / "config/studies/2026_11.yaml").touch()
    assert study_path("2026_11") == "config/studies/2026_11.yaml"
    assert study_path("other.yaml") == "other.yaml"


def test_mends_name_the_command_that_is_at_hand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    assert to_run("x") == "make STUDY=x"
    assert to_run("x", "judge") == "make judge STUDY=x"
    monkeypatch.chdir(tmp_path)
    assert to_run("x") == f"{command()} run x"  # a project that the checkout's command made
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/flopline").touch()
    monkeypatch.setattr(places, "PROJECT", tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    assert (command(), command(Path("/"))) == (
        ".venv/bin/flopline",
        f"{tmp_path}/.venv/bin/flopline",
    )
    monkeypatch.setattr(places, "IN_CHECKOUT", False)
    assert to_run("x") == "flopline run x"
    assert to_run("x", "judge") == "flopline judge x"


@pytest.fixture(scope="module")
def results() -> StudyResults:
    """A study of one family, whose decision follows isoFLOP and says nothing beyond 1e24."""
    points = with_budgets(isoflop_runs(BESIROGLU, noise=0.003, seed=3))
    made = {law: fits.fit(law, points, [TARGET], draws=30, seed=1) for law in ("isoflop",)}
    runs = points.assign(family="ash", status=KEPT)
    choice = {"family": "ash", "law": "isoflop", "budget_flops": TARGET, "estimator": ""}
    silence = {
        "family": "ash", "budget_flops": 1e25, "why": "", "up_to_flops": 1e24, "needed": "",
        "sentence": "These runs do not say what to train at 1e25 FLOPs.",
    }  # fmt: skip
    return StudyResults(
        families={"ash": FamilyResults.of(made)},
        of_all={
            "runs": runs,
            "decision": {"choices": [choice], "silent": [silence]},
            "lines": pd.DataFrame([{**choice, "main": True, "status": CONVERGED}]),
        },
    )


def test_a_plan_is_what_the_law_says(results: StudyResults) -> None:
    fit = results.families["ash"].fits["isoflop"]
    (plan,) = planned(results, TARGET, ["ash"])
    (target,) = fit["targets"]
    for name in ("params", "tokens", "loss"):
        assert plan[name]["point"] == pytest.approx(target[name]["point"])
        assert plan[name]["hi95"] == pytest.approx(target[name]["hi95"])
    assert plan["brackets"] == "if the law holds"  # without a held-out ladder nothing is forecast
    assert "the largest run's compute" in plan["note"]
    json.dumps(plan)


def test_a_plan_in_words(results: StudyResults) -> None:
    (plan,) = planned(results, TARGET, ["ash"])
    text = in_words(plan, "Ash", "Validation loss, nats per token")
    assert text.startswith("At 1e22 FLOPs, Ash (isoFLOP law):\n  params  ")
    assert "] (Validation loss, nats per token)\n  Brackets are 95 % intervals if the law" in text
    assert text.endswith(f"  Note: {plan['note']}.")
    (refused,) = planned(results, 1e26, ["ash"])
    assert in_words(refused, "Ash", "").startswith(
        "At 1e26 FLOPs, Ash: These runs do not say what to train at 1e26 FLOPs: the target lies "
    )


def test_a_target_out_of_reach_hides_no_other(results: StudyResults) -> None:
    """The choice at the nearest target counts, not the first."""
    decision = results.decision
    none = {**decision["choices"][0], "law": None, "budget_flops": 1e30}
    changed = {**decision, "choices": [none, *decision["choices"]]}
    (plan,) = planned(
        replace(results, of_all={**results.of_all, "decision": changed}), TARGET, ["ash"]
    )
    assert plan["law"] == "isoflop"
    assert "params" in plan


def test_beyond_what_the_runs_can_say_a_plan_has_no_numbers(results: StudyResults) -> None:
    (plan,) = planned(results, 1e26, ["ash"])
    assert plan["refused"].startswith("These runs do not say what to train at 1e26 FLOPs: the")
    assert "params" not in plan


def test_far_beyond_the_runs_a_plan_has_no_numbers(results: StudyResults) -> None:
    without = replace(
        results, of_all={**results.of_all, "decision": {**results.decision, "silent": []}}
    )
    (plan,) = planned(without, 1e26, ["ash"])
    assert plan["refused"].startswith("These runs do not say what to train at 1e26 FLOPs: the")
    assert "params" not in plan


def test_the_catalog_names_the_snakefile_that_is_there() -> None:
    """.snakemake-workflow-catalog.yml, in the words of the catalog's own documentation."""
    catalog = yaml.safe_load((PROJECT / ".snakemake-workflow-catalog.yml").read_text())
    assert set(catalog) == {"usage"}
    assert catalog["usage"]["mandatory-flags"] is not None
    assert (PROJECT / "config/README.md").is_file()
    assert SNAKEFILE.is_file()
