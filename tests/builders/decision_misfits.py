"""Where a decision does not fit the schema of decision.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from flopline.outputs.decision_schema import schema


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(schema())


def misfits(verdict: Mapping[str, Any]) -> list[str]:
    """A sentence for each place of `verdict` that does not fit; none where all does."""
    written = json.loads(json.dumps(verdict, allow_nan=False))
    return [f"{list(e.path)}: {e.message}" for e in _validator().iter_errors(written)]
