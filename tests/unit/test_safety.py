"""Study files, logs and names are data: nothing in them runs, leaves results/ or fills memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from flopline.drafting.command import main as draft
from flopline.errors import FloplineError
from flopline.logs import opening, read_log
from flopline.storage import (
    RowGroups,
    read_json,
    read_parquet,
    row_groups,
    write_json,
    write_parquet,
)
from flopline.study import load_study, log_files, read_yaml
from flopline.tables import read_table
from flopline.whole import part_of, whole
from tests.conftest import ROOT

SCHEMAS = ROOT / "workflow/schemas"
STUDY = {
    "title": "Toy",
    "source": {
        "kind": "table",
        "paths": "runs.csv",
        "columns": {"params": "n", "tokens": "d", "loss": "l"},
    },
    "families": {"ash": "Ash"},
    "params_convention": "total",
    "flops_convention": "six_nd",
    "targets": [1e18],
}
LOOKALIKE = "d\u0435nse"  # a Cyrillic letter in it
HOSTILE = [
    "../evil",
    "..",
    "/etc/evil",
    "a/b",
    "a\\b",
    "$(touch evil)",
    "a;touch evil",
    "`id`",
    "a b",
    "-rf",
    ".hidden",
    "a\nb",
    "a\n",
    "a\0b",
    LOOKALIKE,
    "{run}",
    "*",
    "x" * 101,
    "",
]


def refused(work: Callable[[], object], *words: str) -> None:
    with pytest.raises(FloplineError) as caught:
        work()
    assert all(word in str(caught.value) for word in words), caught.value


def loaded(folder: Path, name: str = "toy", **changes: object) -> object:
    path = folder / "config/studies" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**STUDY, **changes}), encoding="utf-8")
    return load_study({"study": name}, folder, SCHEMAS)


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
def test_families_that_are_no_plain_names_are_refused(tmp_path: Path, name: str) -> None:
    refused(lambda: loaded(tmp_path, families={name: "Label"}), "config/studies/toy.yaml")


@pytest.mark.parametrize("name", ["ash", "llama3.1-8b", "A_b", "x" * 100, "0"])
def test_plain_families_are_taken(tmp_path: Path, name: str) -> None:
    loaded(tmp_path, families={name: "Label"})


@pytest.mark.parametrize(
    "stem",
    ["a b", "$(touch evil)", ";id", LOOKALIKE, ".hidden", "-rf", "x" * 101, "a\nb"],
    ids=repr,
)
def test_study_files_whose_name_is_no_plain_folder_are_refused(tmp_path: Path, stem: str) -> None:
    refused(lambda: loaded(tmp_path, stem), "may only hold letters")


@pytest.mark.parametrize("where", ["../../outside.yaml", "/outside.yaml", "a/../../outside.yaml"])
def test_results_stay_in_place_wherever_the_study_file_lies(tmp_path: Path, where: str) -> None:
    """A study file may lie anywhere; its results are named after its last part alone."""
    root = tmp_path / "a/b/c"
    (root / "a").mkdir(parents=True)
    for outside in (tmp_path / "a/outside.yaml", tmp_path / "a/b/outside.yaml"):
        outside.write_text(yaml.safe_dump(STUDY))
    path = str(tmp_path / "a/outside.yaml") if where.startswith("/") else where
    study = load_study({"study": path}, root, SCHEMAS)
    assert study["name"] == "outside"


def test_study_that_does_not_exist_is_refused_whatever_its_name(tmp_path: Path) -> None:
    for name in HOSTILE:
        refused(lambda name=name: load_study({"study": name}, tmp_path, SCHEMAS), "`study`")


def test_yaml_makes_no_objects(tmp_path: Path) -> None:
    evil = tmp_path / "evil.yaml"
    evil.write_text(f"a: !!python/object/apply:os.system ['touch {tmp_path}/ran']\n")
    refused(lambda: read_yaml(evil), "not valid YAML")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("endless", [True, False])
def test_yaml_that_grows_by_aliases_is_refused(tmp_path: Path, endless: bool) -> None:
    bomb = tmp_path / "bomb.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for i in range(1, 9):
        lines.append(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]")
    bomb.write_text("a: &a [*a]\n" if endless else "\n".join(lines))
    refused(lambda: read_yaml(bomb), str(bomb), "1,000,000 values", "aliases")


@pytest.mark.parametrize("sign", ["\0", "\x1b[2J", "\x7f", "\x9b"], ids=repr)
def test_control_characters_are_refused_wherever_they_stand(tmp_path: Path, sign: str) -> None:
    words = ("config/studies/toy.yaml", f"U+{ord(sign[0]):04X}", "take it out")
    refused(lambda: loaded(tmp_path, title=f"a{sign}"), "`title`", *words)
    source = {**STUDY["source"], "paths": f"a{sign}b"}  # type: ignore[dict-item]
    refused(lambda: loaded(tmp_path, source=source), "`source.paths`", *words)


def test_draft_is_written_nowhere_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert draft([str(tmp_path), "--name", "../../evil"]) == 1
    assert "may only hold letters" in capsys.readouterr().err


PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("ending", PACKERS)
def test_log_that_unpacks_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(opening, "MOST_UNPACKED", 1 << 16)
    bomb = tmp_path / f"bomb.jsonl{ending}"
    bomb.write_bytes(PACKERS[ending](b" " * (64 << 20)))
    words = (str(bomb), "unpacks to more than 100 times its size", "decompress it")
    refused(lambda: opening.read_bytes(bomb), *words)
    refused(lambda: sum(len(line) for _, line, _ in opening.text_lines(bomb)), *words)
    refused(lambda: read_log(bomb, {"loss": "loss", "tokens": "tokens"}, "jsonl"), *words)


def test_log_of_usual_growth_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MOST_UNPACKED", 1 << 10)
    rng = np.random.default_rng(1)
    text = "".join(f'{{"loss": {x:.4f}, "tokens": {i}}}\n' for i, x in enumerate(rng.random(5000)))
    log = tmp_path / "log.jsonl.gz"
    log.write_bytes(gzip.compress(text.encode()))
    assert opening.read_bytes(log) == text.encode()
    assert len(read_log(log, {"loss": "loss", "tokens": "tokens"}).rows) == 5000


def test_parquet_of_endless_rows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "MOST_UNPACKED", 1 << 16)
    bomb = tmp_path / "bomb.parquet"
    column = pa.array(np.zeros(3_000_000))
    pq.write_table(pa.table({"loss": column, "tokens": column}), bomb, compression="zstd")
    assert bomb.stat().st_size < 100_000
    words = (str(bomb), "unpacks to more than 100 times its size")
    refused(lambda: read_log(bomb, {"loss": "loss", "tokens": "tokens"}), *words)
    refused(lambda: read_table(bomb), *words)


TABLE = pd.DataFrame({"run": ["a", "b"] * 500, "loss": np.linspace(2, 3, 1000)})


def test_failed_write_leaves_the_former_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json({"a": 1}, path)
    with pytest.raises(ValueError, match="JSON"):
        write_json({"a": float("nan")}, path)
    with suppress(RuntimeError), whole(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_row_groups_leave_no_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    columns = {"run": "string", "loss": "float64"}
    with suppress(KeyboardInterrupt), RowGroups(path, columns, least=10) as groups:
        groups.write(TABLE)
        assert part_of(path).exists()
        assert not path.exists()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_unwritable_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for write in (write_parquet, write_json):
        content = TABLE if write is write_parquet else {}
        refused(lambda w=write, c=content: w(c, tmp_path / "file/a"), "file/a cannot be written")
    refused(lambda: RowGroups(tmp_path / "file/a", {"run": "string"}), "file/a cannot be written")


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left"), OSError("[Errno 28] Error writing bytes to file")],
    ids=["system", "arrow"],
)
def test_full_disk_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """Real full disks are in tests/workflow/test_faults.py."""

    def full(*arguments: object, **options: object) -> None:
        raise error

    def grouped() -> None:
        with RowGroups(tmp_path / "a", {"run": "string", "loss": "float64"}) as groups:
            groups.write(TABLE)

    monkeypatch.setattr(pq, "write_table", full)
    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    for write in (
        lambda: write_parquet(TABLE, tmp_path / "a"),
        lambda: write_json({"a": 1}, tmp_path / "a"),
        grouped,
    ):
        refused(write, "a cannot be written (No space left on device): make room and start again.")
    assert list(tmp_path.iterdir()) == []


def test_every_flipped_bit_of_the_data_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(TABLE, path)
    whole_bytes = path.read_bytes()
    footer = int.from_bytes(whole_bytes[-8:-4], "little") + 8
    for place in range(4, len(whole_bytes) - footer, 97):
        spoilt = bytearray(whole_bytes)
        spoilt[place] ^= 1
        path.write_bytes(spoilt)
        try:
            found = read_parquet(path)
        except FloplineError as error:
            assert str(path) in str(error)
        else:
            pd.testing.assert_frame_equal(found, TABLE.astype({"run": "string"}))


@pytest.mark.parametrize("read", [read_parquet, lambda path: list(row_groups(path))])
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_cut_off_table_is_one_sentence(
    tmp_path: Path, read: Callable[[Path], object], share: float
) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(TABLE, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refused(lambda: read(path), "a.parquet is damaged", "remove it and start again")


def test_cut_off_json_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1, "b": [1, 2')
    refused(lambda: read_json(path), "a.json is damaged", "remove it and start again")
    path.write_bytes(b"\xff\xfe")
    refused(lambda: read_json(path), "a.json is damaged")


def test_same_table_is_the_same_bytes_with_its_checksums(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        write_parquet(TABLE, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    stripped = io.BytesIO()
    pq.write_table(pq.read_table(paths[0]), stripped, compression="zstd")
    assert len(stripped.getvalue()) < paths[0].stat().st_size
