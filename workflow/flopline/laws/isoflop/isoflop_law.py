"""The isoFLOP law: power laws through the bottoms of the budgets' valleys (Approach 2)."""

from __future__ import annotations

from typing import Final

from flopline.laws.spec import ESTIMATORS, FrontierColumns, LawSpec, Points, Says, Style, Uses

LAW: Final = LawSpec(
    name="isoflop",
    label="isoFLOP",
    title="IsoFLOP",
    formula="N ∝ C^a and D ∝ C^b through the bottoms of isoFLOP valleys",
    says=Says.COMPUTE,
    points=Points.FINAL,
    uses=Uses.BUDGETS,
    style=Style("#d55e00", "--", "s"),
    tables=(ESTIMATORS, "vertices", "profiles"),
    options="flopline.laws.isoflop.isoflop_options:IsoflopOptions",
    fit="flopline.laws.isoflop.isoflop_fit:fit",
    methods="flopline.laws.isoflop.isoflop_methods:paragraph",
    frontier=FrontierColumns("vertices", "budget_flops", "loss_se_ln", few=True),
    recommendable=("corrected",),
    rivals=("parabola", "window", "cubic", "akima"),
    of_surface=("corrected",),
    wild="residuals pooled over the budgets, with random signs",
    wild_source="smyth2004",
)
