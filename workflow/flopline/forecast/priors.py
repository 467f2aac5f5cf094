"""The prior over discrepancies as `priors.toml` holds it: by quantity and line, with its sources.

`make backtest` writes the file from public studies; no study ever does.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from flopline.errors import FloplineError
from flopline.forecast.discrepancy import Prior

FILE: Final = Path(__file__).with_name("priors.toml")
SOURCES: Final = "sources"

HEAD: Final = """\
# What laws have missed when carried beyond their runs, over the held-out ladders of public studies:
# the prior of a study's own discrepancy (docs/uncertainty.md). Written by `make backtest`; edit
# nothing here. `drift` is the scatter of log errors per unit of ln C beyond the largest run, known
# with the weight of `steps` steps; a line's mean drift is 0 with the weight of `centre_steps`.
# `spread` is the share of the draws that counts beside it, `weight` what a line weighs among the
# others before any step; both are 1 where they do not stand.
"""


@cache
def stored() -> dict[str, dict[str, Prior]]:
    """The priors by quantity and line; FloplineError if the file is not what `written` makes."""
    try:
        content = tomllib.loads(FILE.read_text(encoding="utf-8"))
        return {
            quantity: {line: Prior(**values) for line, values in lines.items()}
            for quantity, lines in content.items()
            if quantity != SOURCES
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise FloplineError(
            f"{FILE} does not hold the prior of the forecasts ({error}): restore it with "
            f"git checkout {FILE.name} in its folder."
        ) from None


def written(priors: Mapping[str, Mapping[str, Prior]], sources: Sequence[str]) -> str:
    """The text of the file."""
    text = [HEAD, f"{SOURCES} = ["]
    text += [f'    "{source}",' for source in sources]
    text.append("]")
    for quantity, lines in priors.items():
        for line, prior in sorted(lines.items()):
            text += ["", f'[{quantity}."{line}"]']
            text += [f"drift = {prior.drift:.4g}", f"steps = {prior.steps:g}"]
            text.append(f"centre_steps = {prior.centre_steps:g}")
            for name in ("spread", "weight"):
                if getattr(prior, name) != 1:
                    text.append(f"{name} = {getattr(prior, name):.3g}")
    return "\n".join(text) + "\n"
