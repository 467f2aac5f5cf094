"""`flopline next`: which runs would narrow the answer most."""

from __future__ import annotations

from typing import Final

import click
import pandas as pd

from flopline.cli.program import in_a_sentence, study_argument
from flopline.cli.study_at_hand import left_by, loaded
from flopline.errors import FloplineError
from flopline.numbers import flops_label, humanise, significant

AUDIT: Final = "next_run"
LISTED: Final = 5


@click.command("next")
@study_argument
@click.option("--csv", "as_csv", is_flag=True, help="The whole table, for a job script.")
@click.option("--runs", default=LISTED, show_default=True, help="How many runs to list.")
@in_a_sentence
def next_command(study: str, as_csv: bool, runs: int) -> None:
    """Which further runs would narrow the best size at the target most."""
    document = loaded(study)
    results = left_by(document)
    offered = []
    for family, label in document["families"].items():
        finding = results.families[family].findings.get(AUDIT)
        if finding is None or "runs" not in finding["tables"]:
            if not as_csv:
                click.echo(f"{label}: {finding['sentence'] if finding else 'not audited.'}")
            continue
        table = finding["tables"]["runs"]
        best = table.sort_values("removed_percent", ascending=False, kind="stable")
        offered.append(best.assign(family=family))
        if not as_csv:
            click.echo("\n".join([f"{label}: {finding['sentence']}", *_lines(best.head(runs))]))
    if as_csv:
        if not offered:
            raise FloplineError("the audits of this study offer no runs: see its report.")
        together = pd.concat(offered, ignore_index=True)
        together = together[["family", *(c for c in together if c != "family")]]
        click.echo(together.to_csv(index=False), nl=False)


def _lines(table: pd.DataFrame) -> list[str]:
    header = f"  {'params':>8} {'tokens':>8} {'FLOPs':>10}  share of the variance that it removes"
    return [
        header,
        *(
            f"  {humanise(row['params']):>8} {humanise(row['tokens']):>8} "
            f"{flops_label(row['flops']):>10}  {significant(row['removed_percent'], 2)} %"
            for row in table.to_dict("records")
        ),
    ]
