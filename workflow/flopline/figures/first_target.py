"""What a figure sees of results that are stated at several targets: what they say at the first one.

Most figures show one target. Those whose spec says so are handed nothing of the others, so that
they are the same when another target is asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flopline.hashing import hash_file
from flopline.schema import target_column

if TYPE_CHECKING:
    import pyarrow as pa

STATED: Final = frozenset(
    {
        *("bias.laws", "identifiability.ratios", "ladder.ahead", "published.laws"),
        *("regret.disagreements", "regret.expected", "regret.sizes"),
    }
)
"""Tables of findings that have rows for each target."""
_BUDGET: Final = "budget_flops"
_DRAWS: Final = ".draws.parquet"


@dataclass(frozen=True, slots=True)
class FirstTarget:
    """The results.View of a study's results at the first of its targets, `flops`."""

    flops: float

    def concerns(self, path: Path) -> bool:
        """Whether a file of results, by its name, holds what is stated at targets."""
        _, *kind = path.name.split(".")
        if path.parent.name == "tables":
            return path.stem in STATED
        if kind == ["json"]:
            return path.parent.name != "clean"
        return kind in (["draws", "parquet"], ["estimators", "parquet"])

    def __call__(self, path: Path, content: Any) -> Any:
        """What is to be seen of a file that holds `content`."""
        if not self.concerns(path):
            return content
        if path.name == "decision.json":
            return {name: self._entries(value) for name, value in content.items()}
        if path.name == "findings.json":
            # The digests of tables hold the other targets; each is seen by itself.
            return [{**finding, "tables": list(finding["tables"])} for finding in content]
        if path.suffix == ".json":
            return self._fit(content)
        if path.name.endswith(_DRAWS):
            return content[self._columns(content)]
        return content[content[_BUDGET].astype(float) == self.flops].reset_index(drop=True)

    def digest(self, path: Path) -> str:
        """The digest of all that is to be seen of a file."""
        if not self.concerns(path):
            return hash_file(path)
        from flopline.storage import read_arrow, read_json

        if path.suffix == ".json":
            text = json.dumps(self(path, read_json(path)), sort_keys=True)
            return hashlib.sha256(text.encode()).hexdigest()
        import pyarrow.compute as pc

        table = read_arrow(path, again=True)
        if path.name.endswith(_DRAWS):
            return _digest_of_table(table.select(self._columns(table.column_names)))
        budgets = pc.cast(table[_BUDGET], "float64")
        return _digest_of_table(table.filter(pc.equal(budgets, self.flops)))

    def _columns(self, columns: Iterable[str]) -> list[str]:
        """Those of draws that are of no target, or of this one."""
        mine = target_column("", self.flops)
        return [column for column in columns if "@" not in column or column.endswith(mine)]

    def _fit(self, fit: dict[str, Any]) -> dict[str, Any]:
        """A fit, without the digests of what it was made of, which hold the other targets."""
        seen = {name: value for name, value in fit.items() if name != "provenance"}
        seen["targets"] = self._entries(fit["targets"])
        if "certificate" in fit:
            certificate = dict(fit["certificate"])
            if "loss_without_misfit" in certificate:
                certificate["loss_without_misfit"] = certificate["loss_without_misfit"][:1]
            if isinstance(lack := certificate.get("lack_of_fit"), dict):
                at_first = {"relative_sd_at_targets": lack.get("relative_sd_at_targets", [])[:1]}
                certificate["lack_of_fit"] = {**lack, **at_first}
            seen["certificate"] = certificate
        return seen

    def _entries(self, value: Any) -> Any:
        """The entries of a list of budgets that are of the target."""
        if not isinstance(value, list):
            return value
        return [
            entry
            for entry in value
            if not isinstance(entry, dict) or entry.get(_BUDGET, self.flops) == self.flops
        ]


def _digest_of_table(table: pa.Table) -> str:
    import pyarrow as pa

    def plain(kind: pa.DataType) -> pa.DataType:
        # Words of rows that were left out would stand in a dictionary still.
        return kind.value_type if pa.types.is_dictionary(kind) else kind

    schema = pa.schema([(field.name, plain(field.type)) for field in table.schema])
    table = table.replace_schema_metadata(None).cast(schema).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return hashlib.sha256(sink.getvalue()).hexdigest()
