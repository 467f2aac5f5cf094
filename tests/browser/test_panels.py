"""The interactive panels of the default study's page in a real browser."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest
from playwright.sync_api import Locator, Page

from flopline import planner
from flopline.documents import EstimateJson, number_in
from flopline.following import followed
from flopline.laws.common.fit_result import ENDS, Estimate
from flopline.numbers import humanise, significant
from flopline.questions import Question, answer
from flopline.reach import Reach
from flopline.report.packing import packed_json
from flopline.results import StudyResults, read_results
from flopline.schema import KEPT
from flopline.storage import read_json, read_parquet
from tests.browser.conftest import OpenPage
from tests.builders.budgets import NOT_READ, READ

pytestmark = [pytest.mark.workflow, pytest.mark.browser]

MOST_BYTES, MOST_APPENDIX_BYTES = 2.5e6, 8e6
SIX_DIGITS = 5e-7
PATIENCE_MS = 60_000
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script> & co"
LABELS = {"Transformer": "transformer", "minGRU": "mingru"}


def planner_of(open_page: OpenPage, *, unfold: bool = True, **options: object) -> Page:
    page = open_page(**options)  # type: ignore[arg-type]
    page.wait_for_selector("#planner:not([hidden])", state="attached", timeout=PATIENCE_MS)
    if unfold:
        page.evaluate(
            "() => document.querySelectorAll('#planner details').forEach((d) => { d.open = true; })"
        )
    return page


def drawn(page: Page, panel: str, plot: str) -> Locator:
    page.locator(panel).scroll_into_view_if_needed()
    page.wait_for_selector(f"{plot}[data-ready]", timeout=PATIENCE_MS)
    return page.locator(plot)


def fits(page: Page, width: int) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth") <= width)


def buttons(page: Page, plot: str) -> list[str]:
    buttons_found = page.locator(f"{plot} .modebar-btn")
    return [str(button.get_attribute("data-title")) for button in buttons_found.all()]


def lines_of(study: Path) -> dict[tuple[str, str], planner.Line]:
    """The main lines by family and law; the audits leave that of the form which they chose."""
    return {
        (fit.parent.name, fit.stem): planner.read_line(
            read_json(fit), read_parquet(fit.with_suffix(".draws.parquet"))
        )
        for folder in ("fits", "audit")
        for fit in sorted(study.glob(f"{folder}/*/*.json"))
        if fit.with_suffix(".draws.parquet").exists()
    }


def cells(page: Page, table: str) -> dict[tuple[str, str], dict[str, dict[str, float]]]:
    """The numbers behind a table of the planner, by family and law, then by quantity."""
    rows = page.evaluate(
        """(table) => [...document.querySelectorAll(table + " tbody tr")].map((tr) => [
          tr.dataset.family, tr.dataset.law,
          Object.fromEntries([...tr.querySelectorAll("td[data-quantity]")].map((td) => [
            td.dataset.quantity,
            [td.querySelector("[data-value]").dataset.value,
             ...[...td.querySelectorAll("[data-lo]")].flatMap((s) => [s.dataset.lo, s.dataset.hi])],
          ])),
        ])""",
        table,
    )
    return {
        (_family(family), law): {
            q: dict(zip(("point", *ENDS), map(float, values), strict=False))
            for q, values in values_of.items()
        }
        for family, law, values_of in rows
    }


def _family(label: str) -> str:
    return LABELS.get(label, label)


def agrees(values: dict[str, float], wanted: Estimate, scale: float = 1.0) -> None:
    for end in ("point", *ENDS):
        value = scale * getattr(wanted, end)
        if np.isnan(value):
            assert end not in values
        else:
            assert values[end] == pytest.approx(value, rel=SIX_DIGITS, abs=1e-13)


def type_in(page: Page, field: str, text: str) -> None:
    """Fill a field of the planner and wait for the answer, which comes with the next frame."""
    page.fill(field, text)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


def test_the_planner_says_what_the_library_and_the_decision_say(
    open_page: OpenPage, study_folder: Path
) -> None:
    page = planner_of(open_page)
    assert page.evaluate("() => typeof window.Plotly") == "undefined", "not needed yet"
    lines = lines_of(study_folder)
    decision = read_parquet(study_folder / "decision.parquet")
    targets = decision["budget_flops"].unique().tolist()
    drawn_budgets = (10 ** np.random.default_rng(0).uniform(11, 23, 6)).tolist()
    for flops in [*targets, *drawn_budgets]:
        type_in(page, "#plan-flops", repr(flops))
        cells_of = cells(page, "#plan-answer")
        assert set(cells_of) == set(lines)
        for key, line in lines.items():
            wanted = planner.at_budget(line, flops).values
            for quantity, values_of in cells_of[key].items():
                agrees(values_of, wanted[quantity])
        rows = decision[decision["main"] & (decision["budget_flops"] == flops)]
        assert len(rows) == (len(lines) if flops in targets else 0)
        for row in rows.to_dict("records"):
            for quantity, values_of in cells_of[row["family"], row["law"]].items():
                ends = {end: row[f"{quantity}_{end}"] for end in ENDS}
                agrees(values_of, Estimate(row[quantity], **ends))


def test_gpu_hours_give_the_budget_that_the_library_gives(
    open_page: OpenPage, study_folder: Path
) -> None:
    page = planner_of(open_page)
    lines = lines_of(study_folder)
    page.check("[name=plan-mode][value=hours]")
    rng = np.random.default_rng(1)
    for kind in planner.accelerators()[::4]:
        hours, percent = float(10 ** rng.uniform(-3, 6)), float(rng.uniform(5, 60))
        page.select_option("#plan-device", label=kind.name)
        page.fill("#plan-mfu", repr(percent))
        type_in(page, "#plan-hours", repr(hours))
        assert kind.source in page.inner_text("#plan-source")
        flops = planner.flops_of(hours, kind.peak_flops, percent / 100)
        cells_of = cells(page, "#plan-answer")
        for key, line in lines.items():
            agrees(cells_of[key]["params"], planner.at_budget(line, flops).values["params"])


def test_another_size_costs_what_the_library_says(open_page: OpenPage, study_folder: Path) -> None:
    page = planner_of(open_page)
    lines = lines_of(study_folder)
    kind = next(a for a in planner.accelerators() if a.name == "H100 SXM")
    for flops, params in ((1e13, 3e4), (3.3e15, 2.5e6), (1e21, 1e9)):
        type_in(page, "#plan-flops", repr(flops))
        type_in(page, "#plan-size", repr(params))
        hours = planner.device_hours_of(flops, kind.peak_flops, 0.4)
        for (family, law), values_of in cells(page, "#plan-cost").items():
            wanted = planner.deviation(
                lines[family, law], lines[family, "parametric"], flops, params
            )
            agrees(values_of["extra_loss"], wanted.extra_loss)
            agrees(values_of["wasted_percent"], wanted.wasted_percent)
            agrees(values_of["wasted_hours"], wanted.wasted_percent, hours / 100)


@pytest.mark.parametrize(
    ("loss", "limit", "value"),
    [
        (1.4, "free", None),
        (0.3, "free", None),
        (1.45, "params", 3e5),
        (1.45, "tokens_per_param", 30.0),
        (1.45, "most_tokens", 1e7),
        (None, "most_params", 2e5),
        (None, "tokens_per_param", 500.0),
    ],
)
def test_questions_are_answered_as_the_library_answers_them(
    open_page: OpenPage,
    study_folder: Path,
    loss: float | None,
    limit: str,
    value: float | None,
) -> None:
    page = planner_of(open_page)
    lines = lines_of(study_folder)
    flops = None if loss else 3e14
    type_in(page, "#plan-flops", "3e14")
    page.fill("#ask-loss", "" if loss is None else repr(loss))
    page.select_option("#ask-limit", limit)
    if value is not None:
        page.fill("#ask-value", repr(value))
    plain = [f"{number:.15g}" if number else "" for number in (loss or flops, value)]
    key = f"{plain[0]},{limit},{plain[1]}"
    page.wait_for_selector(f'#ask-answer[data-asked="{key}"]', timeout=PATIENCE_MS)
    cells_of = cells(page, "#ask-answer")
    assert set(cells_of) == set(lines)
    question = Question(flops=flops, loss=loss, limit=limit, value=value)
    for (family, law), quantities in cells_of.items():
        wanted = answer(lines[family, law], lines[family, "parametric"], question)
        assert bool(quantities) != wanted.never
        for quantity, numbers in quantities.items():
            agrees(numbers, getattr(wanted, quantity))


def test_budgets_are_read_as_people_write_them(open_page: OpenPage) -> None:
    page = planner_of(open_page)
    for typed, flops in READ.items():
        type_in(page, "#plan-flops", typed)
        text = page.inner_text("#plan-said p:last-child")
        assert float(text.split(" FLOPs")[0]) == pytest.approx(flops, rel=1e-3), typed
        assert page.locator("#plan-answer table").count() == 1
    for typed in NOT_READ:
        type_in(page, "#plan-flops", typed)
        text = page.inner_text("#plan-said")
        assert re.search("write it as|Type a budget|lies between", text), typed
        assert page.get_attribute("#plan-flops", "aria-invalid") == "true"
        assert page.locator("#plan-answer table").count() == 0


def results_of(study: Path) -> StudyResults:
    """What the study's last run left."""
    fits, audits = sorted((study / "fits").glob("*/*")), sorted((study / "audit").glob("*/*"))
    files = [path for path in [*fits, *audits] if path.suffix in (".json", ".parquet")]
    return read_results(study, files)


def ranged(estimate: EstimateJson, show: Callable[[float], str]) -> str:
    """An estimate with its 95 % interval, as the planner writes it."""
    point, low, high = (show(number_in(estimate, end)) for end in ("point", "lo95", "hi95"))
    return f"{point} [{low}, {high}]"


def test_the_planner_answers_with_one_line_and_folds_the_others(
    open_page: OpenPage, study_folder: Path
) -> None:
    page = planner_of(open_page, unfold=False)
    head = read_json(study_folder / "decision.json")["headline"]
    known = results_of(study_folder).families[head["family"]]
    line = followed(known, head["law"], head["estimator"])
    for flops in (head["budget_flops"], 1.001 * head["budget_flops"], 2e13):
        type_in(page, "#plan-flops", repr(flops))
        values = line.forecast(flops) or {}
        text = page.inner_text("#plan-said .lead")
        assert text == (
            f"Train {ranged(values['params'], humanise)} params on "
            f"{ranged(values['tokens'], humanise)} tokens and expect a validation loss of "
            f"{ranged(values['loss'], significant)}."
        )
    assert not page.locator("#plan-answer").is_visible()
    assert not page.locator("#plan-size").is_visible()
    other = page.locator("#panel-family label:has(input:not(:checked))")
    name = other.inner_text().strip()
    other.click()
    page.wait_for_function(
        "(name) => document.querySelector('#plan-said').textContent.includes(`law of ${name}`)",
        arg=name,
    )


def test_budgets_have_the_grades_of_the_decision_and_cost_time_in_people_s_units(
    open_page: OpenPage, study_folder: Path
) -> None:
    """It said `recommended` 147 billion times beyond the data, and 7.02e-5 GPU-hours."""
    page = planner_of(open_page)
    family = read_json(study_folder / "decision.json")["headline"]["family"]
    runs = read_parquet(study_folder / "clean/runs.parquet")
    flops = runs.loc[(runs["status"] == KEPT) & (runs["family"] == family), "flops"]
    least, most = float(flops.min()), float(flops.max())
    for budget in (least / 9, most / 2, 2 * most, 20 * most, 900 * most, 1.47e11 * most):
        type_in(page, "#plan-flops", repr(budget))
        reach = Reach.of(budget, least, most)
        text = page.inner_text("#plan-said").replace("Within", "within")
        assert reach.words in text
        assert ("Nothing is recommended" in text) is not reach.grade.recommends
        row = page.locator("#plan-answer tr[data-law].recommended")
        assert bool(row.count()) is reach.grade.recommends
    hours = [0.0, 1e-8, 7.02e-5, 0.01, 0.02, 0.999, 1.0, 1755.2, 1.234e7]
    assert page.evaluate("(all) => all.map(Panels.gpuTime)", hours) == [
        planner.device_time(value) for value in hours
    ]
    written = ["90 s", "15 min", "2 hours", "3 days", "10000", "2M", "0.253 s", "some"]
    assert page.evaluate("(all) => all.map(Planner.parseHours)", written) == pytest.approx(
        [0.025, 0.25, 2, 72, 1e4, 2e6, 0.253 / 3600, None]
    )


LINK = {
    "budget": "0.002 s",
    "unit": "hours",
    "family": "transformer",
    "device": "A100",
    "mfu": "35",
    "size": "40K",
    "loss": "1.9",
    "limit": "most_tokens",
    "value": "1e7",
}


def test_the_state_of_the_planner_is_a_link_that_can_be_shared(open_page: OpenPage) -> None:
    page = planner_of(open_page)
    assert page.url.endswith("report.html")
    page.locator("#panel-family label", has_text="Transformer").click()
    page.check("[name=plan-mode][value=hours]")
    for name, field in (("budget", "hours"), ("mfu", "mfu"), ("size", "size")):
        type_in(page, f"#plan-{field}", LINK[name])
    page.select_option("#plan-device", label=LINK["device"])
    page.select_option("#ask-limit", LINK["limit"])
    for name in ("loss", "value"):
        type_in(page, f"#ask-{name}", LINK[name])
    shown = (
        "() => ['plan-said', 'plan-size-said', 'ask-said']"
        ".map((id) => document.getElementById(id).innerText)"
    )
    page.wait_for_function("() => document.querySelector('#ask-said p')")
    address, texts = page.url, page.evaluate(shown)
    assert dict(parse_qsl(address.partition("#planner?")[2])) == LINK
    assert page.evaluate("() => document.querySelector('#plan-link').href") == address
    page.reload()
    page.wait_for_function("() => document.querySelector('#ask-said p')", timeout=PATIENCE_MS)
    assert page.evaluate(shown) == texts
    assert page.locator("#planner-title").is_visible()
    page.evaluate("() => { location.hash = '#planner?budget=1e13&device=X1&more=1'; }")
    page.wait_for_function(
        "() => document.querySelector('#plan-said').textContent.includes("
        "'device “X1”, which this page does not know')"
    )
    assert page.input_value("#plan-flops") == "1e13"


def with_hostile_run(page_file: Path, folder: Path) -> Path:
    """The page with a name in its panels that would be markup if it were not escaped."""
    page = page_file.read_text(encoding="utf-8")
    packed = re.search('id="packed-panels">([^<]*)<', page)
    assert packed is not None
    content = json.loads(gzip.decompress(base64.b64decode(packed[1])))
    for view in content["isoflop"]:
        view["runs"]["run"][0] = HOSTILE
    file = folder / "hostile.html"
    file.write_text(page.replace(packed[1], packed_json(content)), encoding="utf-8")
    return file


def test_valleys_name_their_runs_and_come_and_go(
    open_page: OpenPage, appendix_file: Path, study_folder: Path, tmp_path: Path
) -> None:
    page = open_page(viewport=(400, 900), file=with_hostile_run(appendix_file, tmp_path))
    plot = drawn(page, "#valleys", "#valley-plot")
    head, other = "mingru", "transformer"
    assert read_json(study_folder / "decision.json")["headline"]["family"] == head
    runs = set(read_parquet(study_folder / f"fits/{head}/isoflop.profiles.parquet")["run"])
    point = page.locator("#valley-plot .scatterlayer .points path").nth(3)
    point.hover(force=True)
    hovered = page.locator("#valley-plot .hoverlayer .hovertext")
    hovered.first.wait_for()
    assert any(run in (hovered.first.text_content() or "") for run in runs)
    open_page.shoot(page, "hover")
    assert fits(page, 400)
    # Nothing that sends data away.
    moves = ["Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"]
    assert buttons(page, "#valley-plot") == ["Download plot", *moves]
    plot.focus()
    page.keyboard.press("ArrowRight")
    assert (page.text_content("#valley-said") or "").startswith(HOSTILE)
    assert HOSTILE in (hovered.first.text_content() or "")
    assert page.locator("#valleys img, #valleys script").count() == 0
    count = "() => document.querySelectorAll('#valley-plot .scatterlayer .trace').length"
    before = page.evaluate(count)
    page.locator("#valley-budgets input").first.uncheck()
    page.wait_for_function(f"({count})() === {before - 3}")
    page.locator("#valley-budgets input").first.check()
    page.wait_for_function(f"({count})() === {before}")
    first = plot.get_attribute("aria-label") or ""
    assert "C^" in first
    page.locator("#panel-family input:not(:checked)").check()
    changed = "(first) => document.querySelector('#valley-plot').ariaLabel !== first"
    page.wait_for_function(changed, arg=first)
    named = "(name) => document.querySelector('#valley-plot').data[1].text[1].includes(name)"
    page.wait_for_function(named, arg=other)


def test_a_family_chosen_while_a_panel_loads_is_the_one_it_shows(
    open_page: OpenPage, appendix_file: Path
) -> None:
    """Plotly takes a second to start: what was chosen meanwhile was lost, in 5 tries of 8."""
    panel, plot = "#valleys", "#valley-plot"
    page = open_page(file=appendix_file)
    page.wait_for_selector("#panel-family:not([hidden])", state="attached", timeout=PATIENCE_MS)
    other = page.evaluate(
        """async ([panel, plot]) => {
          document.querySelector(panel).scrollIntoView();
          const drawing = () => document.querySelector(plot).ariaLabel;
          while (!drawing()) await new Promise(requestAnimationFrame);
          const radio = document.querySelector("#panel-family input:not(:checked)");
          radio.click();
          return radio.parentElement.textContent.trim();
        }""",
        [panel, plot],
    )
    page.wait_for_selector(f"{plot}[data-ready]", timeout=PATIENCE_MS)
    assert (page.get_attribute(plot, "aria-label") or "").startswith(f"{other}:")
    texts = page.evaluate(
        "(plot) => document.querySelector(plot).data.flatMap((t) => t.text ?? [])", plot
    )
    runs = [text for text in texts if "FLOPs<br>loss" in text]
    assert runs
    assert all(text.startswith(f"<b>{LABELS[other]}") for text in runs), runs[:2]


def test_the_surface_turns_by_button_key_and_mouse(
    open_page: OpenPage, appendix_file: Path
) -> None:
    page = open_page(colour_scheme="dark", file=appendix_file)
    plot = drawn(page, "#surfaces", "#surface-plot")
    assert page.evaluate("() => document.querySelector('#surface-plot').layout.paper_bgcolor") == (
        page.evaluate(
            "() => getComputedStyle(document.documentElement).getPropertyValue('--paper')"
        )
    )
    eye = "() => JSON.stringify(document.querySelector('#surface-plot').layout.scene.camera.eye)"
    moves = ["Zoom", "Pan", "Orbital rotation", "Reset camera to default"]
    assert buttons(page, "#surface-plot") == ["Download plot", *moves]
    seen = [page.evaluate(eye)]
    page.click("[data-turn=left]")
    page.wait_for_function(f"(old) => ({eye})() !== old", arg=seen[-1])
    seen.append(page.evaluate(eye))
    plot.focus()
    page.keyboard.press("ArrowUp")
    page.wait_for_function(f"(old) => ({eye})() !== old", arg=seen[-1])
    seen.append(page.evaluate(eye))
    assert json.loads(seen[-1])["z"] > json.loads(seen[-2])["z"]
    seen.append(page.evaluate(eye))
    box = plot.bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 80, middle[1] + 20, steps=4)
    page.mouse.up()
    page.wait_for_function(f"(old) => ({eye})() !== old", arg=seen[-1])
    page.click("[data-turn=reset]")
    page.wait_for_function(f"(old) => ({eye})() === old", arg=seen[0])
    scene = page.evaluate("() => Object.keys(document.querySelector('#surface-plot')._fullLayout)")
    assert "scene" in scene
    kinds = page.evaluate("() => document.querySelector('#surface-plot').data.map((t) => t.type)")
    assert kinds == ["scatter3d", "surface", "scatter3d"]
    open_page.shoot(page, "surface")


def test_without_webgl_the_figure_stands_in(open_page: OpenPage, appendix_file: Path) -> None:
    page = open_page(file=appendix_file)
    blind = "HTMLCanvasElement.prototype.getContext = () => null"
    page.context.add_init_script(blind)
    page.goto(appendix_file.as_uri())
    page.wait_for_selector("#surfaces:not([hidden])", state="attached", timeout=PATIENCE_MS)
    assert "draws no WebGL" in page.text_content("#surface-said")
    assert page.locator("#surface-plot").is_hidden()


def test_without_script_or_in_print_the_figures_stand_in(
    open_page: OpenPage, appendix_file: Path
) -> None:
    for file, panels, figures in (
        (None, "#plan", "#evidence"),
        (appendix_file, "#explore", "#figures"),
    ):
        page = open_page(java_script_enabled=False, file=file)
        assert page.locator("#panels-said").is_visible()
        assert page.locator("#planner").is_hidden() or file
        page.emulate_media(media="print")
        assert page.locator(panels).is_hidden()
        assert page.locator(figures).is_visible()


def test_both_pages_stay_small_and_open_at_once(
    open_page: OpenPage, page_file: Path, appendix_file: Path
) -> None:
    for file, most in ((page_file, MOST_BYTES), (appendix_file, MOST_APPENDIX_BYTES)):
        page = open_page(file=file)
        took = page.evaluate("() => performance.getEntriesByType('navigation')[0].loadEventEnd")
        print(f"{file.name}: {file.stat().st_size / 1e6:.2f} MB, opened in {took / 1e3:.2f} s")
        assert file.stat().st_size < most
