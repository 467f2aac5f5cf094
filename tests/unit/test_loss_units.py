"""The unit of the loss is told, converted by rule or asked for, and stands wherever a loss does."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from flopline.clean import Cleaned, clean
from flopline.errors import FloplineError
from flopline.ingesting import ingest
from flopline.loss_units import UNITS, Conversion, short, unit_of, with_unit, words
from flopline.tables import run_facts
from tests.builders.studies import loaded, study_of, write_study_file

LOSSES = np.linspace(3.0, 2.0, 6)
FAIRSEQ = (
    "2021-05-01 10:00:00 | INFO | fairseq_cli.train | num. shared model params: 125,000,000\n"
    + "".join(
        f"2021-05-01 10:0{i}:00 | INFO | train_inner | "
        + json.dumps({"epoch": 1, "loss": f"{9 - i}.5", "num_updates": str(100 * i)}) + "\n"
        for i in range(1, 4)
    )
)  # fmt: skip
NANOCHAT = (
    "Number of parameters: 561,000,000\nTotal batch size 524,288\n"
    "Step 00000 | Validation bpb: 3.1\n"
    "step 00001/00100 (1.00%) | loss: 10.9 | lrm: 1.00 | dt: 700.00ms | tok/sec: 748,000\n"
    "step 00100/00100 (100.00%) | loss: 4.0 | lrm: 1.00 | dt: 700.00ms | tok/sec: 748,000\n"
    "Step 00100 | Validation bpb: 0.9\n"
)


def swept(folder: Path, column: str, losses: Any = LOSSES, **more: Any) -> Cleaned:
    """Finished runs whose loss stands in `column`; `more` of the study, `source` of its source."""
    rows = [f"r{i},{1e8 * (i + 1):.0f},{1e10:.0f},{loss}" for i, loss in enumerate(losses)]
    (folder / "sweep.csv").write_text("\n".join([f"run,n,d,{column}", *rows]) + "\n")
    columns = {"run": "run", "params": "n", "tokens": "d", "loss": column}
    source = {"kind": "table", "paths": "sweep.csv", "columns": columns, **more.pop("source", {})}
    return taken(folder, study_of(source, **more), "sweep.csv")


def logged(folder: Path, text: str, split: str, **more: Any) -> Cleaned:
    """One log and its run table; `more` of the study, `source` of its source."""
    (folder / "a.log").write_text(text)
    (folder / "runs.csv").write_text("run,params,batch_tokens\na,125000000,524288\n")
    columns = {name: name for name in ("run", "params", "batch_tokens")}
    source = {"kind": "logs", "paths": "a.log", "runs": {"table": "runs.csv", "columns": columns}}
    return taken(
        folder, study_of(source | more.pop("source", {}), loss_split=split, **more), "a.log"
    )


def taken(folder: Path, study: dict[str, Any], path: str) -> Cleaned:
    write_study_file(folder, "toy", study)
    whole = loaded(folder)
    facts = run_facts(whole["source"], folder) if "runs" in whole["source"] else None
    files = [{"run": "a" if facts is not None else "", "path": path, "sha256": "x"}]
    return clean(ingest(whole, files, folder), facts, whole)


def unit(folder: Path) -> str:
    return str(loaded(folder)["loss_unit"])


def written(sentence: str) -> list[dict[str, Any]]:
    """The lines that a sentence says to write, as YAML."""
    lines = [part for part in sentence.split("`")[1::2] if ": " in part]
    return [dict(yaml.safe_load(line)) for line in lines]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("val_bpb", "bits_per_byte"),
        ("valBpb", "bits_per_byte"),
        ("eval/bits_per_byte", "bits_per_byte"),
        ("val_ppl", "perplexity"),
        ("Perplexity (val)", "perplexity"),
        ("loss (bits/token)", "bits_per_token"),
        ("loss_base2", "bits_per_token"),
        ("val loss [nats/byte]", "nats_per_byte"),
        ("loss in nats", "nats_per_token"),
        ("bpc", ""),
        ("loss_bits", ""),
        ("val_loss", None),
        ("supplied", None),
        ("orbits", None),
    ],
)
def test_names_of_columns_say_units(name: str, says: str | None) -> None:
    assert unit_of(name) == says


@pytest.mark.parametrize("to", UNITS)
@pytest.mark.parametrize("of", UNITS)
def test_conversions_there_and_back_are_one(of: str, to: str) -> None:
    there, back = Conversion.between(of, to, 4.4), Conversion.between(to, of, 4.4)
    assert there.factor * back.factor == pytest.approx(1.0)
    assert Conversion.between(of, of).factor == 1.0


def test_words() -> None:
    assert words("bits_per_byte") == "bits per byte"
    assert (short("nats_per_token"), short("bits_per_byte")) == ("nats", "bits per byte")
    assert with_unit("Loss", "nats_per_token") == "Loss, nats per token"
    assert with_unit("Loss [bits per byte]", "bits_per_byte") == "Loss [bits per byte]"


def test_a_column_in_bits_per_byte_makes_the_study_one(tmp_path: Path) -> None:
    found = swept(tmp_path, "val_bpb")
    assert unit(tmp_path) == "bits_per_byte"
    assert np.allclose(sorted(found.runs["loss"], reverse=True), LOSSES)


def test_perplexity_becomes_nats_per_token(tmp_path: Path) -> None:
    found = swept(tmp_path, "val_ppl", np.exp(LOSSES))
    assert unit(tmp_path) == "nats_per_token"
    assert np.allclose(sorted(found.runs["loss"], reverse=True), LOSSES)
    assert "losses of val, in perplexity, are their logarithm" in " ".join(found.notes)


def test_perplexity_without_a_logarithm_is_no_loss(tmp_path: Path) -> None:
    losses = [*np.exp(LOSSES), 0.0, -1.0, math.inf]
    bad = swept(tmp_path, "val_ppl", losses, cleaning={"bad_rows": "drop"})
    assert len(bad.runs[bad.runs["status"] == "kept"]) == len(LOSSES)
    assert bad.dropped["reason"].value_counts().to_dict() == {
        "loss_not_positive": 2, "loss_not_finite": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("column", "factor", "source"),
    [
        ("val_bpb", math.log(2) * 4.4, {"bytes_per_token": 4.4}),
        ("val_loss", math.log(2), {"loss_unit": "bits_per_token"}),
        ("val_loss", 4.4, {"loss_unit": {"val": "nats_per_byte"}, "bytes_per_token": 4.4}),
        ("val_loss", 1.0, {"loss_unit": {"train": "bits_per_token"}}),
        ("val_bpb", 1.0, {"loss_unit": "nats_per_token"}),
    ],
)
def test_what_is_logged_becomes_the_unit_of_the_study(
    tmp_path: Path, column: str, factor: float, source: dict[str, Any]
) -> None:
    found = swept(tmp_path, column, source=source)
    assert unit(tmp_path) == "nats_per_token"
    assert np.allclose(sorted(found.runs["loss"], reverse=True), factor * LOSSES)


def test_bits_per_byte_become_nats_per_byte_without_more(tmp_path: Path) -> None:
    found = swept(tmp_path, "val_bpb", loss_unit="nats_per_byte")
    assert np.allclose(sorted(found.runs["loss"], reverse=True), math.log(2) * LOSSES)


def test_a_column_of_another_unit_stops_until_the_study_says_more(tmp_path: Path) -> None:
    with pytest.raises(FloplineError, match="the column 'val_bpb' says") as error:
        swept(tmp_path, "val_bpb", loss_unit="nats_per_token")
    of_study, of_source = written(str(error.value))
    swept(tmp_path, "val_bpb", **of_study)
    assert unit(tmp_path) == "bits_per_byte"
    swept(tmp_path, "val_bpb", loss_unit="nats_per_token", source=of_source)
    swept(tmp_path, "val_bpb", loss_unit="nats_per_token", source={"bytes_per_token": 4.4})


def test_bits_of_what_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FloplineError, match="leaves open of what") as error:
        swept(tmp_path, "val_bits")
    swept(tmp_path, "val_bits", **written(str(error.value))[0])
    assert unit(tmp_path) == "bits_per_byte"


def test_no_law_is_of_perplexity(tmp_path: Path) -> None:
    with pytest.raises(FloplineError, match="no law") as error:
        swept(tmp_path, "loss", np.exp(LOSSES), loss_unit="perplexity")
    found = swept(tmp_path, "loss", np.exp(LOSSES), source=written(str(error.value))[0])
    assert np.allclose(sorted(found.runs["loss"], reverse=True), LOSSES)


def test_a_trainer_that_logs_bits_per_token_is_read_in_nats(tmp_path: Path) -> None:
    found = logged(tmp_path, FAIRSEQ, "train")
    assert found.curves["loss"].tolist() == pytest.approx(
        [math.log(2) * x for x in (8.5, 7.5, 6.5)]
    )
    assert "in 1 run losses of train, in bits per token" in " ".join(found.notes)
    stated = logged(tmp_path, FAIRSEQ, "train", loss_unit="bits_per_token")
    assert stated.curves["loss"].tolist() == [8.5, 7.5, 6.5]


def test_a_trainer_that_logs_bits_per_byte_stops_until_the_study_says_it(tmp_path: Path) -> None:
    with pytest.raises(FloplineError, match=r"a\.log: losses of the split 'val'") as error:
        logged(tmp_path, NANOCHAT, "val")
    found = logged(tmp_path, NANOCHAT, "val", **written(str(error.value))[0])
    assert found.curves.query("split == 'val'")["loss"].tolist() == [3.1, 0.9]
    assert "losses of train stay in nats per token" in " ".join(found.notes)
    per_token = logged(tmp_path, NANOCHAT, "val", source={"bytes_per_token": 4.5})
    last = per_token.curves.query("split == 'val'")["loss"].iloc[-1]
    assert last == pytest.approx(0.9 * math.log(2) * 4.5)
    train = logged(tmp_path, NANOCHAT, "train")
    assert train.curves.query("split == 'train'")["loss"].tolist() == [10.9, 4.0]


def test_a_law_of_another_split_must_be_in_the_unit_of_the_study(tmp_path: Path) -> None:
    own = {"loss_unit": "bits_per_byte", "envelope": {"split": "train"}}
    with pytest.raises(FloplineError, match="losses of the split 'train' are in nats per token"):
        logged(tmp_path, NANOCHAT, "val", **own)
