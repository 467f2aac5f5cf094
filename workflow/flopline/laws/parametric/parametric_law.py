"""The parametric law: a surface L(N, D) through all points at once (Approach 3)."""

from __future__ import annotations

from typing import Final

from flopline.laws.spec import ESTIMATORS, FrontierColumns, LawSpec, Points, Says, Style, Uses

LAW: Final = LawSpec(
    name="parametric",
    label="parametric",
    title="Parametric",
    formula="L(N, D) = E + A/N^α + B/D^β",
    says=Says.SURFACE,
    points=Points.STUDY,
    uses=Uses.ALL,
    style=Style("#1f5fd0", "-", "o"),
    tables=(ESTIMATORS, "points", "variants"),
    options="flopline.laws.parametric.parametric_options:ParametricOptions",
    fit="flopline.laws.parametric.parametric_fit:fit",
    methods="flopline.laws.parametric.parametric_methods:paragraph",
    frontier=FrontierColumns("points", "flops"),
    rivals=("tied", "skaling", "kaplan"),
    judged={"judged": True},
    mem_mb=2000,
    minutes=60,
)
