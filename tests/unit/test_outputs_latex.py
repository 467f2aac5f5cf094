"""LaTeX tables: what they say, that they compile, and that no word of the user breaks them."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.laws.common.fit_result import CONVERGED, FAILED, WARNING
from flopline.outputs import tex
from flopline.outputs.latex_tables import NAMES, exponents_table, latex_tables
from flopline.schema import HELD_OUT, KEPT, QUANTITIES, QUARANTINED

# Made up (synthetic), no study's numbers.
HOSTILE = r"50 % of A&B #1_x {y} $5 ~z^2 \end{table} <b> 'q' “r” α 中 ×"
FAMILIES = {"one": HOSTILE, "two": "Two"}
ENDS = {"lo80": 0.9, "hi80": 1.1, "lo95": 0.8, "hi95": 1.2}


def estimate(point: float, *, at_bound: bool = False) -> dict[str, Any]:
    return {"point": point, **{k: x * point for k, x in ENDS.items()}, "at_bound": at_bound}


def fit(family: str, law: str, status: str = CONVERGED, message: str = "") -> dict[str, Any]:
    names = ("E", "alpha", "a", "b", "odd_one") if law == "parametric" else ("a", "b", "N_coef")
    return {
        "family": family,
        "law": law,
        "estimator": "made up",
        "status": status,
        "message": message,
        "n_runs": 65,
        "n_points": 1234,
        "settings": {},
        "certificate": {},
        "parameters": {n: estimate(0.5, at_bound=n == "E") for n in names},
        "targets": [],
    }


def line(family: str, budget: float, law: str, recommended: bool) -> dict[str, Any]:
    values = {
        "params": 63.2e9, "tokens": 1.4e12, "tokens_per_param": 22.2, "loss": 1.936,
        "loss_new_run": 1.936, "flops_ratio": 1.0, "a": 0.5,
    }  # fmt: skip
    of = {q: values[q] for q in (*QUANTITIES, "a")}
    ends = {f"{q}_{end}": x * of[q] for q in of for end, x in ENDS.items()}
    no_interval = {f"loss_new_run_{end}": math.nan for end in ENDS}
    return {
        "family": family, "law": law, "estimator": "made", "label": "made up", "main": True,
        "budget_flops": budget, "status": CONVERGED, "message": "", "recommended": recommended,
        "refused": False, "barred": "", "extrapolation": 2.0, "held_out_steps": 0,
        "held_out_wasted_percent": math.nan, "cost_percent": math.nan, "cost_flops": math.nan,
        **of, **ends, **no_interval,
    }  # fmt: skip


def made(**changes: Any) -> dict[str, str]:
    lines = [
        line(family, budget, law, recommended=law == "isoflop" and family == "one")
        for family in FAMILIES
        for budget in (1e21, 5.76e23)
        for law in ("isoflop", "parametric")
    ]
    runs = [
        {"family": family, "status": status, "params": n, "tokens": 20 * n, "flops": 120 * n * n,
         "loss": 4 - 0.1 * i, "rows_in": 100, "rows_kept": 99, "rows_dropped": 1}
        for family in FAMILIES
        for i, (n, status) in enumerate(
            [(1e6, KEPT), (1e7, KEPT), (1e8, QUARANTINED), (1e9, HELD_OUT)]
        )
    ]  # fmt: skip
    inputs: dict[str, Any] = {
        "title": HOSTILE,
        "decision": pd.DataFrame(lines),
        "fits": {
            family: {
                "isoflop": fit(family, "isoflop"),
                "parametric": fit(family, "parametric", WARNING, f"mind {HOSTILE}"),
                "envelope": fit(family, "envelope", FAILED, "no frontier"),
            }
            for family in FAMILIES
        },
        "runs": pd.DataFrame(runs),
        "families": FAMILIES,
        "synthetic": False,
    } | changes
    return latex_tables(**inputs)


def rows(table: str) -> list[list[str]]:
    """Cells of the rows between the rules."""
    body = re.findall(r"\\midrule\n(.*?)\\bottomrule", table, re.DOTALL)
    lines = [text for part in body for text in part.splitlines() if text.endswith(r"\\")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)&", row[:-2])] for row in lines]


def test_the_decision_has_every_recommended_line_with_both_intervals() -> None:
    cells = rows(made()["decision"])
    name = tex.text(HOSTILE)
    assert cells[0] == [name, "$10^{21}$", "IsoFLOP", "", "63.2B", "1.4T", "22.2", "1.936", "1.936"]
    assert cells[1][3:5] == [r"80\,\%", "[56.9B, 69.5B]"]
    assert cells[2][3:5] == [r"95\,\%", "[50.6B, 75.8B]"]
    assert cells[1][-1] == "--"
    assert cells[3][:3] == [name, r"$5.76 \times 10^{23}$", "IsoFLOP"]
    assert cells[6][:3] == ["Two", "", "none usable"]


def test_every_law_has_its_exponents_and_a_failed_one_says_why() -> None:
    table = made()["exponents"]
    cells = rows(table)
    laws = [row[1] for row in cells if row[1]]
    assert laws == ["Envelope$^{a}$", "IsoFLOP", "Parametric$^{b}$"] * 2
    assert cells[0][2:] == ["65", "1,234", "", "--", "--"]
    assert cells[1][-2:] == ["0.5000", "0.5000"]
    assert cells[2][-2:] == ["[0.4500, 0.5500]"] * 2
    assert "$^{a}$ no frontier" in table


def test_parameters_name_their_symbol_and_bounds() -> None:
    table = made()["parameters"]
    cells = rows(table)
    assert cells[0][:3] == [tex.text(HOSTILE), "Envelope$^{a}$", "none"]
    symbols = [row[2] for row in cells[1:]]
    parametric = ["$E$$^{c}$", r"$\alpha$", "$a$", "$b$", r"odd\_one"]
    assert symbols[:8] == ["$a$", "$b$", "$k_N$", *parametric]
    assert cells[1][3:] == ["0.5", "[0.45, 0.55]", "[0.4, 0.6]"]
    assert "$^{c}$ at its bound" in table


def test_runs_are_counted_by_what_became_of_them_and_only_kept_ones_span() -> None:
    cells = rows(made()["runs"])
    assert cells[0][1:] == [
        "2", "1", "1", "400", "4", "from", "1M", "20M", r"$1.2 \times 10^{14}$", "3.900",
    ]  # fmt: skip
    assert cells[1][6:] == ["to", "10M", "200M", r"$1.2 \times 10^{16}$", "4.000"]


def test_only_synthetic_tables_say_so_and_all_of_them_do() -> None:
    for table in made().values():
        assert "ynthetic" not in table
    for name, table in made(synthetic=True).items():
        assert "Synthetic data" in table, name


def test_row_order_of_the_inputs_does_not_matter() -> None:
    first = made()
    assert list(first) == list(NAMES)
    runs = pd.DataFrame(
        [{"family": f, "status": KEPT, "params": 1.0, "tokens": 2.0, "flops": 3.0, "loss": x,
          "rows_in": 1, "rows_dropped": 0} for f in FAMILIES for x in (1.0, 2.0)]
    )  # fmt: skip
    assert made(runs=runs) == made(runs=runs.iloc[::-1].reset_index(drop=True))


def test_a_long_table_goes_on_in_another_that_repeats_the_header() -> None:
    families = {f"f{i}": f"Family {i}" for i in range(12)}
    fits = {family: {"parametric": fit(family, "parametric")} for family in families}
    table = made(fits=fits, families=families)["parameters"]
    environments = table.split(r"\begin{table}")[1:]
    assert len(environments) == 2
    assert all(len(rows(part)) <= tex.MOST_ROWS for part in environments)
    assert len(rows(table)) == 12 * 5
    assert table.count(r"\label") == 1
    assert "continued" in environments[1]


@given(st.text())
def test_text_has_no_character_that_means_anything_to_latex(words: str) -> None:
    """What is left, once the escapes that we write are taken away, is plain letters."""
    written = tex.text(words)
    assert "\n" not in written
    left = re.sub(r"\\(text[a-z]+|dots)\{\}|\\[{}$&%#_]|\$\\[A-Za-z]+\$|\$-\$", "", written)
    left = re.sub(r"[~`']", "", left)  # spaces and quotes that we write ourselves
    assert not set(left) & set("\\{}$&%#_^~")
    assert all(ord(letter) < 0x180 for letter in left)


@pytest.mark.parametrize(
    ("written", "latex"),
    [
        ("5.76e23", r"$5.76 \times 10^{23}$"),
        ("1e18", "$10^{18}$"),
        ("-1.2e-9", r"$-1.2 \times 10^{-9}$"),
        ("-0.31", "$-0.31$"),
        ("63.2B", "63.2B"),
        ("–", "--"),
        ("∞", r"$\infty$"),
        ("-∞", r"$-$$\infty$"),
        ("25×", r"25$\times$"),
    ],
)
def test_numbers_are_written_as_mathematics(written: str, latex: str) -> None:
    assert tex.number(written) == latex


def test_braces_and_environments_are_balanced() -> None:
    for name, table in made().items():
        bare = re.sub(r"(?m)(?<!\\)%.*$", "", table).replace(r"\\", "").replace(r"\{", "")
        bare = bare.replace(r"\}", "")
        assert bare.count("{") == bare.count("}"), name
        assert bare.replace(r"\$", "").count("$") % 2 == 0, name
        begun = re.findall(r"\\(begin|end)\{(\w+)\}", bare)
        open_ones: list[str] = []
        for which, environment in begun:
            if which == "begin":
                open_ones.append(environment)
            else:
                assert open_ones.pop() == environment, name
        assert open_ones == [], name


@pytest.mark.parametrize("label", [HOSTILE, "[模] *", "* dense", "Dense transformer"])
def test_the_tables_compile(tmp_path: Path, label: str) -> None:
    latex = shutil.which("pdflatex")
    if latex is None:
        pytest.skip("no pdflatex to compile the tables with (Debian: texlive-latex-recommended)")
    for name, table in made(synthetic=True, families={"one": label, "two": "2"}).items():
        (tmp_path / f"{name}.tex").write_text(table, encoding="utf-8")
    command = [latex, "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert label != "Dense transformer" or "Overfull \\hbox" not in done.stdout
    assert (tmp_path / "tables.pdf").stat().st_size > 10_000


def test_a_table_says_what_was_resampled_for_which_law() -> None:
    """It said a bootstrap over runs of intervals that come from draws of residuals."""
    methods = {"isoflop": "wild", "parametric": "pairs"}
    fits = {
        "two": {
            law: {**fit("two", law), "settings": {"method": method}}
            for law, method in methods.items()
        }
    }
    table = " ".join(str(exponents_table(fits, FAMILIES, synthetic=False)).split())
    assert "resampled residuals (isoFLOP) and runs (parametric)" in table
