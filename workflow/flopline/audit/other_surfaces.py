"""The surfaces that stand beside a fitted one: other objectives and other forms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from flopline.documents import number_in
from flopline.results import LawResults
from flopline.solvers.surface_family import FORMS
from flopline.surfaces.count import COUNT, Count
from flopline.surfaces.surface import Law, parameters


def other_surfaces(fit: LawResults) -> Iterator[tuple[str, Law]]:
    """The surfaces that the fit of one leaves in its table `variants`, by estimator.

    A form that takes more than params and tokens is left out, and so is one that is not known at
    all points.
    """
    table = fit.tables.get("variants")
    if table is None:
        return
    stated = fit.content.get("parameters", {})
    count = Count.stated({n: number_in(stated[n]) for n in COUNT if n in stated})
    for name, rows in table.groupby("estimator", sort=False):
        form = FORMS.get(str(rows["form"].iloc[0]))
        if form is None:
            continue
        point = rows.set_index("parameter")["point"]
        values = [float(point.get(p, math.nan)) for p in parameters(form.surface)]
        if np.isfinite(values).all():
            yield str(name), replace(form.surface(*values), count=count)
