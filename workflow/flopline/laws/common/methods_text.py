"""What the paragraphs of methods share: settings that remember which were used, words, formulas.

Texts are marked up as `report.references` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

POWER_LAWS: Final = r"$N ∝ C^a|N \propto C^a$ and $D ∝ C^b|D \propto C^b$"
FRONTIER: Final = r"$L = E + K C^-c|L = E + K C^{-c}$"

_INERT: Final = str.maketrans({"@": "\ue000", "$": "\ue001"})


class Settings:
    """The settings of a fit, which remembers those that a sentence has used."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        self.settings = settings
        self.used: set[str] = {"draws", "seed", "method"}
        """Those of the bootstrap stand in a paragraph of their own."""

    def __getitem__(self, key: str) -> Any:
        self.used.add(key)
        return self.settings.get(key)

    def __contains__(self, key: str) -> bool:
        return key in self.settings

    def unused(self) -> dict[str, object]:
        """Those that no sentence used."""
        return {k: v for k, v in self.settings.items() if k not in self.used and v is not None}


def quoted(text: object) -> str:
    """Words of the user for a marked-up text: an @ or $ in them is that character alone."""
    return " ".join(str(text).split()).translate(_INERT)
