"""What Snakemake's own report would not escape."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from flopline.errors import FloplineError
from flopline.study_document import StudyDocument


def demand_harmless(study: StudyDocument, arguments: Sequence[str]) -> None:
    """Refuse Snakemake's own report of a study whose words would end the script they stand in."""
    evil = re.search("</script|<!--", json.dumps(study), re.IGNORECASE)
    if evil and any(word.startswith("--report") for word in arguments[1:]):
        raise FloplineError(
            f"{study['file']} holds {evil[0]}, which Snakemake's own report does not escape: take "
            "it out, or read report.html, which does."
        )
