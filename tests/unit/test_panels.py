"""What the interactive panels of the page are made of (the runs are simulated)."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flopline.figures.style import mako
from flopline.laws.common.fit_result import FAILED, FitResult
from flopline.laws.isoflop import isoflop_fit
from flopline.laws.parametric import parametric_fit
from flopline.report import interactive
from flopline.report.interactive import MOST_POINTS
from flopline.report.packing import packed_floats, packed_json, plotly_script
from flopline.results import FamilyResults
from flopline.schema import KEPT, QUARANTINED, RUNS, conform
from tests.builders.designs import isoflop_runs, lopsided
from tests.builders.surfaces import BESIROGLU

BUDGETS = tuple(np.geomspace(1e19, 1e21, 5))
TARGETS = (1e22, 1e23)
HOSTILE = "<script>alert(1)</script>"
STUDY = {"families": {"dense": "Dense <b>wide</b>"}, "targets": list(TARGETS)}


@pytest.fixture(scope="module")
def made() -> FamilyResults:
    runs = isoflop_runs(BESIROGLU, BUDGETS, factors=lopsided(), noise=0.002)
    return evidence_of(runs.replace("r003", HOSTILE), draws=60)


def evidence_of(runs: pd.DataFrame, draws: int) -> FamilyResults:
    valleys = isoflop_fit.fit(runs, TARGETS, draws=draws, seed=1)
    surface = parametric_fit.fit(runs, TARGETS, draws=draws, seed=1)
    laws = {"isoflop": valleys, "parametric": surface}
    return replace(FamilyResults.of(laws), fits={law: json_of(fit) for law, fit in laws.items()})


def with_tables(results: FamilyResults, **changed: pd.DataFrame) -> FamilyResults:
    """The same with these tables of the fits instead of theirs."""
    tables = {
        law: {name: changed.get(name, table) for name, table in of_law.items()}
        for law, of_law in results.tables.items()
    }
    return replace(results, tables=tables)


def json_of(fit: FitResult) -> dict[str, Any]:
    return json.loads(json.dumps({"family": "dense", **fit.to_json()}))


def runs_table(evidence: FamilyResults) -> pd.DataFrame:
    points = evidence.table("parametric", "points")
    assert points is not None
    table = conform(points.assign(family="dense", status=KEPT, reason=""), RUNS)
    aside = table.iloc[:1].assign(run="odd one", status=QUARANTINED, reason="diverged")
    return pd.concat([table, aside], ignore_index=True)


def decision_of(*, variant: bool = False) -> pd.DataFrame:
    lines = [
        ("isoflop", "parabola", True, not variant),
        ("isoflop", "corrected", False, variant),
        ("parametric", "log_huber", True, False),
    ]
    return pd.DataFrame(
        [
            {
                "family": "dense",
                "law": law,
                "estimator": estimator,
                "main": main,
                "recommended": recommended,
                "refused": law == "parametric",
                "label": "corrected vertices",
                "budget_flops": TARGETS[0],
            }
            for law, estimator, main, recommended in lines
        ]
    )


def payload_of(evidence: FamilyResults, **options: Any) -> dict[str, Any]:
    runs = options.pop("runs", runs_table(evidence))
    decision = options.pop("decision", decision_of())
    return interactive.payload({"dense": evidence}, STUDY, runs, decision, "dense")


def test_payload_is_json_and_the_same_bytes_in_any_order_of_rows(made: FamilyResults) -> None:
    drawn = {
        name: made.table(law, name).sample(frac=1, random_state=1)
        for law, name in (
            ("isoflop", "profiles"),
            ("isoflop", "vertices"),
            ("parametric", "points"),
        )
    }
    shuffled = with_tables(made, **drawn)
    runs = runs_table(made)
    first = packed_json(payload_of(made, runs=runs))
    assert first == packed_json(payload_of(shuffled, runs=runs.sample(frac=1, random_state=2)))


def test_packed_text_has_no_time_and_no_name_in_it() -> None:
    packed = base64.b64decode(plotly_script())
    assert packed[:4] == b"\x1f\x8b\x08\x00"  # no file name
    assert packed[4:8] == bytes(4)  # no time
    assert b"plotly.js" in gzip.decompress(packed)[:200]


def test_hostile_names_are_no_markup_on_the_page(made: FamilyResults) -> None:
    packed = packed_json(payload_of(made))
    assert "<" not in packed
    assert (
        HOSTILE
        in json.loads(gzip.decompress(base64.b64decode(packed)))["isoflop"][0]["runs"]["run"]
    )


def test_every_run_stands_with_its_budget_and_those_set_aside_with_their_reason(
    made: FamilyResults,
) -> None:
    view = payload_of(made)["isoflop"][0]
    runs = view["runs"]
    assert len(runs["run"]) == len(BUDGETS) * 9 == view["all_runs"]
    for index, flops in zip(runs["budget"], runs["flops"], strict=True):
        assert view["budgets"][index]["flops"] == pytest.approx(flops, rel=1e-6)
    assert [b["light"] for b in view["budgets"]] == mako(len(BUDGETS))
    assert view["aside"]["run"] == ["odd one"]
    assert view["aside"]["why"] == ["diverged"]


def test_parabolas_have_their_vertex_where_the_table_has_it(made: FamilyResults) -> None:
    for budget in payload_of(made)["isoflop"][0]["budgets"]:
        params, loss = (np.array(v) for v in budget["curve"])
        lowest = int(loss.argmin())
        assert params[lowest - 1] < budget["params"][0] < params[lowest + 1]
        assert loss.min() == pytest.approx(budget["loss"][0], rel=1e-3)


def test_draws_are_packed_to_twelve_digits_and_missing_ones_stay_missing() -> None:
    values = np.array([0.43214321, -17.25, np.nan, np.inf, 3e-7])
    raw = np.frombuffer(base64.b64decode(packed_floats(values)), dtype=np.uint8)
    back = raw.reshape(8, -1).T.copy().view("<f8").ravel()
    assert back == pytest.approx(
        np.where(np.isfinite(values), values, np.nan), abs=1e-13, nan_ok=True
    )


def test_many_runs_are_thinned_and_said_to_be(made: FamilyResults) -> None:
    count = 3 * MOST_POINTS
    points = made.table("parametric", "points").loc[lambda t: t.index.repeat(count // len(t) + 1)]
    view = payload_of(with_tables(made, points=points))["surface"][0]
    assert len(view["runs"]["run"]) == MOST_POINTS
    assert view["all_runs"] == len(points)
    assert min(view["runs"]["flops"]) == pytest.approx(points["flops"].min(), rel=1e-6)
    assert max(view["runs"]["flops"]) == pytest.approx(points["flops"].max(), rel=1e-6)


def test_five_thousand_runs_stay_small() -> None:
    rng = np.random.default_rng(0)
    each = np.repeat(lopsided(50), 20)
    runs = isoflop_runs(BESIROGLU, BUDGETS, factors=each, noise=0.002)
    assert len(runs) == 5000
    few = evidence_of(runs.iloc[::100].reset_index(drop=True), draws=60)
    names = [f"sweep-{rng.integers(1e9):09d}-lr{rng.random():.5f}" for _ in range(len(runs))]
    points = runs.assign(run=names, predicted=runs["loss"])
    profiles = points.assign(
        fitted=0.0, reason="", budget_flops=few.table("isoflop", "vertices")["budget_flops"].iloc[0]
    )
    many = with_tables(few, points=points, profiles=profiles)
    bytes_each = (len(packed_json(payload_of(many))) - len(packed_json(payload_of(few)))) / 5000
    print(f"{bytes_each:.0f} bytes a run")
    assert bytes_each < 150


def test_the_line_that_is_followed_stands_with_what_it_takes_to_carry_it(
    made: FamilyResults,
) -> None:
    planner = payload_of(made)["planner"]
    assert [line["refused"] for line in planner["lines"]] == [False, True]
    ((follow,),) = planner["follows"]
    assert (follow["law"], follow["flops"], follow["beside"]) == ("isoflop", TARGETS[0], None)
    assert follow["drifts"] == {}  # nothing was held out
    variant = payload_of(made, decision=decision_of(variant=True))["planner"]["follows"][0][0]
    assert variant["beside"]["budgets"] == list(TARGETS)
    assert set(variant["beside"]["slopes"]) == {"params", "tokens", "tokens_per_param"}


def test_the_planner_knows_where_the_decision_says_nothing(made: FamilyResults) -> None:
    """It gave numbers where the page and the terminal gave none."""
    sentence = "These runs do not say what to train at 1e23 FLOPs: too far."
    entry = {"family": "dense", "budget_flops": 1e23, "up_to_flops": 1e22, "sentence": sentence}
    silent = [{**entry, "why": "too far", "needed": ""}, {**entry, "family": "other"}]
    table = runs_table(made)
    content = interactive.payload({"dense": made}, STUDY, table, decision_of(), "dense", silent)
    ((kept,),) = content["planner"]["silent"]
    assert kept.pop("beside").startswith("at 1e23 FLOPs, a target of the study, too far.")
    assert kept == {"budget_flops": 1e23, "up_to_flops": 1e22, "sentence": sentence}


def test_a_law_of_another_split_says_which_loss_it_states(made: FamilyResults) -> None:
    """The envelope's training loss stood as `Validation loss`."""
    of_train = {**made.fits["isoflop"], "settings": {"split": "train"}}
    lines = payload_of(replace(made, fits={**made.fits, "isoflop": of_train}))["planner"]["lines"]
    assert [line["loss_words"] for line in lines] == ["Training loss", "Validation loss"]


def test_the_family_of_the_headline_is_shown_first(made: FamilyResults) -> None:
    both = {"dense": made, "moe": made}
    study = {**STUDY, "families": {"dense": "Dense", "moe": "MoE"}}
    table = runs_table(made)
    runs = pd.concat([table, table.assign(family="moe")], ignore_index=True)
    lines = pd.concat([decision_of(), decision_of().assign(family="moe")], ignore_index=True)
    shown = interactive.panels(both, study, runs, lines, "moe")
    assert (shown.families, shown.first) == (["Dense", "MoE"], 1)
    assert interactive.panels(both, study, runs, lines).first == 0


def test_laws_that_failed_or_were_not_fitted_leave_their_panels_out(made: FamilyResults) -> None:
    failed = {**made.fits["parametric"], "status": FAILED, "message": "nothing to fit"}
    content = payload_of(replace(made, fits={**made.fits, "parametric": failed}))
    assert content["surface"][0]["law"] is None
    assert "draws" not in content["planner"]["lines"][1]
    assert content["planner"]["lines"][1]["message"] == "nothing to fit"
    law = "parametric"
    only = FamilyResults({law: made.fits[law]}, {law: made.draws[law]}, {law: made.tables[law]})
    drawn = interactive.panels({"dense": only}, STUDY, runs_table(made), decision_of())
    assert (drawn.has_valleys, drawn.has_surfaces) == (False, True)


def test_labels_state_the_finding(made: FamilyResults) -> None:
    content = payload_of(made)
    a = made.fits["isoflop"]["parameters"]["a"]["point"]
    assert f"C^{a:.3f}" in content["isoflop"][0]["about"]
    assert "5 of 5 budgets give a valley" in content["isoflop"][0]["about"]
    assert "the efficient frontier" in content["surface"][0]["about"]
