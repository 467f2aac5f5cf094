"""Types of what the package offers, whose code is imported when it is asked for."""

from flopline.given_tables import read_runs as read_runs
from flopline.law import Law as Law
from flopline.law import audit_runs as audit_runs
from flopline.law import compare as compare
from flopline.law import fit as fit
from flopline.whole_report import write_report as write_report

__version__: str
__all__: list[str]
