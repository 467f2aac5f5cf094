"""What long computations announce of how far they are, and who hears it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.errors import FloplineError
from flopline.laws.envelope import envelope_fit, envelope_reading
from flopline.laws.isoflop import isoflop_fit
from flopline.laws.parametric import parametric_fit
from flopline.laws.registry import LAWS
from flopline.laws.spec import spec_of
from flopline.progress import gauge, heard, named, over, part
from flopline.solvers import hoffmann_grid
from tests.builders import audited_family as study
from tests.builders.fits import taken

Signs = list[tuple[float, str]]


def signs_of(work: Callable[[], object]) -> Signs:
    """What `work` announces: shares from 0 to 1 that never fall."""
    signs: Signs = []
    with heard(lambda share, words: signs.append((round(share, 12), words))):
        work()
    assert signs == sorted(signs, key=lambda sign: sign[0])
    assert all(0 <= share <= 1 for share, _ in signs)
    return signs


def ended(steps: Any) -> None:
    """Go through all steps of a loop and do nothing."""
    for _ in steps:
        pass


def words_in_order(signs: Signs) -> list[str]:
    return list(dict.fromkeys(words for _, words in signs))


def test_loop_tells_how_many_are_done_from_none_to_all() -> None:
    signs = signs_of(lambda: ended(over("ab", "laws")))
    none, one, both = "0 of 2 laws", "1 of 2 laws", "2 of 2 laws"
    assert signs == [(0, none), (0.5, one), (0.5, one), (1, both)]


def test_large_counts_are_told_in_thousands() -> None:
    assert signs_of(lambda: ended(over(range(4500), "starts")))[-1] == (1, "4,500 of 4,500 starts")


def test_steps_count_by_their_work() -> None:
    signs = signs_of(lambda: ended(over([1, 3], "laws", float)))
    assert [share for share, _ in signs] == [0, 0.25, 0.25, 1]
    signs = signs_of(lambda: ended(named(["ladder", "bias"], {"ladder": 4.0})))
    assert signs == [(0, "ladder"), (0.8, "ladder"), (0.8, "bias"), (1, "bias")]


def test_inner_loop_refines_the_step_of_the_outer_one() -> None:
    def work() -> None:
        for _ in over("ab", "laws"):
            ended(over("wxyz"))

    signs = signs_of(work)
    assert sorted({share for share, _ in signs}) == [0, *np.arange(1, 9) / 8]
    assert (0.375, "0 of 2 laws") in signs
    assert (0.625, "1 of 2 laws") in signs


def test_words_are_the_two_outermost() -> None:
    def work() -> None:
        with part(0.5, "ladder"):
            for _ in over("ab"):
                for _ in over("cd", "steps"):
                    ended(over("ef", "laws"))

    assert words_in_order(signs_of(work)) == [
        *("ladder", "ladder, 0 of 2 steps", "ladder, 1 of 2 steps", "ladder, 2 of 2 steps")
    ]


def test_parts_count_by_what_is_left_and_a_gauge_fills_its_part() -> None:
    def work() -> None:
        with part(0.5, "first"):
            reached = gauge()
            reached(0.5)
        with part(0.5, "second"):
            pass
        gauge()(0.4)

    assert signs_of(work) == [
        *[(0, "first"), (0.25, "first"), (0.5, "first")],
        *[(0.5, "second"), (0.75, "second"), (0.85, "")],
    ]


def test_second_loop_of_a_step_without_parts_waits_for_its_end() -> None:
    def work() -> None:
        for _ in over("ab", "laws"):
            ended(over("wx"))
            ended(over("yz"))

    assert {share for share, _ in signs_of(work)} == {0, 0.25, 0.5, 0.75, 1}


def test_loop_left_early_leaves_the_step_around_it_whole() -> None:
    def work() -> None:
        for _ in over("ab", "laws"):
            for _ in over("wxyz", "starts"):
                break
            gauge()(0.5)

    assert [s for s in signs_of(work) if s[0] in (0.25, 0.75)] == [
        *[(0.25, "0 of 2 laws"), (0.75, "1 of 2 laws")]
    ]


def test_loop_that_is_never_closed_does_no_harm() -> None:
    held = []

    def work() -> None:
        for _ in over("ab", "laws"):
            for _ in over("wx", "starts"):
                steps = over("yz", "forms")
                held.append(steps)
                next(steps)
        for steps in held:
            steps.close()  # type: ignore[attr-defined]

    signs = signs_of(work)
    assert signs[-1] == (1, "2 of 2 laws")


def test_error_ends_its_steps_and_the_next_goes_on() -> None:
    def failing() -> None:
        with part(0.5, "fit"):
            for _ in over("wx", "starts"):
                raise FloplineError("no")

    def work() -> None:
        for _ in over("ab", "laws"):
            with pytest.raises(FloplineError):
                failing()
            gauge()(0.5)

    signs = signs_of(work)
    assert [s for s in signs if s[0] in (0.25, 0.75)] == [
        *[(0.25, "0 of 2 laws"), (0.75, "1 of 2 laws")]
    ]
    assert signs[-1] == (1, "2 of 2 laws")


def test_nobody_hears_before_after_or_in_another_thread() -> None:
    signs: Signs = []
    with heard(lambda share, words: signs.append((share, words))):
        thread = threading.Thread(target=lambda: ended(over("ab", "laws")))
        thread.start()
        thread.join()
    assert list(over("ab", "laws")) == ["a", "b"]
    with part(0.5, "fit"):
        gauge()(1.0)
    assert signs == []


def test_listener_inside_another_hears_alone() -> None:
    inner: Signs = []

    def work() -> None:
        for _ in over("ab", "laws"):
            with heard(lambda share, words: inner.append((share, words))):
                ended(over("wx", "starts"))

    assert {share for share, _ in signs_of(work)} == {0, 0.5, 1}
    assert [share for share, _ in inner] == 2 * [0, 0.5, 0.5, 1]


trees = st.recursive(
    st.floats(0, 1),
    lambda inner: st.tuples(st.sampled_from(["over", "part", "broken"]), st.lists(inner)),
    max_leaves=30,
)


def walked(tree: Any) -> None:
    """A computation of the shape of `tree`: steps, parts, loops left by an error, and gauges."""
    if isinstance(tree, float):
        gauge()(tree)
        return
    kind, branches = tree
    if kind == "part":
        for number, branch in enumerate(branches):
            with part(0.3, f"part {number}"):
                walked(branch)
        return
    try:
        for number, branch in enumerate(over(branches, "branches")):
            walked(branch)
            if kind == "broken" and number:
                raise FloplineError("no")
    except FloplineError:
        pass


@given(st.lists(trees, min_size=1))
def test_share_never_falls_and_ends_at_all_whatever_nests(forest: list[Any]) -> None:
    signs = signs_of(lambda: walked(("over", forest)))
    assert signs[0] == (0, f"0 of {len(forest)} branches")
    assert signs[-1] == (1, f"{len(forest)} of {len(forest)} branches")


@given(st.lists(st.integers(), max_size=5))
def test_loop_hands_out_its_items_whether_heard_or_not(items: list[int]) -> None:
    assert list(over(items, "items")) == items
    items_seen: list[int] = []
    signs_of(lambda: items_seen.extend(over(items, "items")))
    assert items_seen == items


def counted(total: int, unit: str, before: str = "") -> list[str]:
    return [f"{before}{done} of {total} {unit}" for done in range(total + 1)]


def fits() -> dict[str, Callable[[], object]]:
    points = study.points()
    curves = study.logs(points)[1]
    return {
        "parametric": lambda: parametric_fit.fit(
            points, study.TARGETS, huber_delta="auto", draws=20, seed=1, variant_draws=10
        ),
        "isoflop": lambda: isoflop_fit.fit(points, study.TARGETS, draws=20),
        "envelope": lambda: envelope_fit.fit(curves, study.TARGETS, bins=200, draws=20),
    }


@pytest.mark.parametrize(
    ("law", "words"),
    [
        ("parametric", ["main fit", "variants", *counted(8, "variants")]),
        ("isoflop", [*counted(5, "budgets"), "surfaces", "readings"]),
        ("envelope", ["main fit", *counted(2, "variants")]),
    ],
)
def test_fit_tells_its_steps_from_none_to_all_in_order(
    law: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envelope_reading, "CELLS_AT_ONCE", 1000)
    signs = signs_of(fits()[law])
    assert words_in_order(signs) == words
    assert signs[0][0] == 0
    assert signs[-1][0] == 1
    assert longest_leap(signs) < 1 / 3


def longest_leap(signs: Signs) -> float:
    return float(np.diff([share for share, _ in signs]).max())


def test_ladder_tells_its_steps_and_every_audit_its_name() -> None:
    evidence, made = study.evidence(), []
    signs = signs_of(lambda: made.extend(study.audited(*evidence)))
    in_order = words_in_order(signs)
    ladder = ["ladder, all runs", *counted(4, "steps", "ladder, ")]
    assert [words for words in in_order if words.startswith("ladder, ")] == ladder
    names = list(dict.fromkeys(words.split(",")[0] for words in in_order))
    assert names == [finding.audit for finding in made]
    assert signs[-1][0] == 1
    assert longest_leap(signs) < 0.1


def test_solver_of_the_paper_tells_its_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = hoffmann_grid.grid()[::900]
    monkeypatch.setattr(hoffmann_grid, "grid", lambda: grid)
    signs = signs_of(
        lambda: parametric_fit.fit(
            study.points(), study.TARGETS, draws=3, seed=1, solver="hoffmann_grid"
        )
    )
    assert words_in_order(signs) == [
        *["main fit", *counted(5, "starts", "main fit, "), *counted(3, "resamples", "main fit, ")]
    ]


@pytest.mark.parametrize("law", LAWS)
def test_fit_is_the_same_whether_heard_or_not(law: str) -> None:
    points = study.points()
    known = taken(law, points, study.logs(points)[1])
    results: list[Any] = []
    signs_of(lambda: results.append(spec_of(law).fitted(known, study.TARGETS, draws=20)))
    results.append(spec_of(law).fitted(known, study.TARGETS, draws=20))
    heard_of, unheard = results
    assert heard_of.to_json() == unheard.to_json()
    assert heard_of.draws.equals(unheard.draws)
