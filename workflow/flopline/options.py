"""What a study may set, as typed models: the one place of each option's type, default and meaning.

Schemas, defaults and the tables of config/README.md are made from these models.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class OptionGroup(BaseModel):
    """A group of options, as `isoflop:` in a study file; each field has a sentence of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")
