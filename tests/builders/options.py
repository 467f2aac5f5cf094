"""Options of a study, most of which a test leaves at their defaults."""

from __future__ import annotations

from typing import Any

from flopline.audit.audit_options import AuditOptions
from flopline.laws.common.bootstrap_options import BootstrapOptions
from flopline.options import StudyOptions


def auditing(**options: Any) -> StudyOptions:
    """Those of a study with some `options` of the audit."""
    return StudyOptions(AuditOptions(**options))


def ladder_options(draws: int, seed: int = 0) -> StudyOptions:
    """Those of a study whose held-out ladder has so many `draws` a step."""
    return auditing(ladder_draws=draws).but(BootstrapOptions(seed=seed))
