"""The envelope law: power laws along the lowest training curves (Approach 1)."""

from __future__ import annotations

from typing import Final

from flopline.laws.spec import ESTIMATORS, FrontierColumns, LawSpec, Points, Says, Style, Uses

LAW: Final = LawSpec(
    name="envelope",
    label="envelope",
    title="Envelope",
    formula="N ∝ C^a and D ∝ C^b along the lowest training curves",
    says=Says.COMPUTE,
    points=Points.CURVES,
    uses=Uses.FRONTIER,
    style=Style("#5c4e00", ":", "^"),
    tables=(ESTIMATORS, "frontier", "curves"),
    options="flopline.laws.envelope.envelope_options:EnvelopeOptions",
    fit="flopline.laws.envelope.envelope_fit:fit",
    methods="flopline.laws.envelope.envelope_methods:paragraph",
    frontier=FrontierColumns("frontier", "flops"),
    judged={"with_variants": False},
    mem_mb=2000,
)
