"""What was done to runs on the cluster and what became of them, told at the end of the tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Faults injected, those after which a run ended as a quiet one does, and files compared."""

    injected: list[str] = field(default_factory=list)
    survived: list[str] = field(default_factory=list)
    files: int = 0
    lost: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def compare(self, actual: Mapping[str, str], expected: Mapping[str, str], *faults: str) -> bool:
        """Whether a disturbed run left the very files of the quiet one, which is written down."""
        self.files += len(expected)
        wrong = sorted(
            name for name in {*actual, *expected} if actual.get(name) != expected.get(name)
        )
        self.lost += wrong
        self.survived += () if wrong else faults
        return not wrong

    def lines(self) -> Iterator[str]:
        """The tally in words; nothing if no fault was injected."""
        if not self.injected:
            return
        yield (
            f"faults injected: {len(self.injected)} ({', '.join(self.injected)}); "
            f"survived: {len(self.survived)}; "
            f"files that differ from a quiet run: {len(self.lost)} of {self.files}"
        )
        yield from self.remarks


TALLY = Tally()
