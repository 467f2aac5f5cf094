"""Study files, logs and names are data: nothing in them runs, leaves results/ or fills memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from matplotlib.figure import Figure

from flopline.atomic import part_of, replacing
from flopline.drafting.drafting_command import main as draft
from flopline.errors import FloplineError
from flopline.figures.style import save
from flopline.logs import opening
from flopline.logs.readers import read_log
from flopline.sealed.document import read_sealed
from flopline.storage import (
    RowGroups,
    read_json,
    read_parquet,
    row_groups,
    write_json,
    write_parquet,
)
from flopline.study import load_study, read_yaml
from flopline.study_names import FIGURE_ENDINGS, MOST_FAMILIES, MOST_TARGETS
from flopline.tables import read_table
from running.digest import Memory
from running.locks import hold_run, release_run
from running.log_search import log_files
from tests.builders.refusals import refused
from tests.builders.studies import SCHEMAS, study_of, write_study_file

SOURCE = {
    "kind": "table",
    "paths": "runs.csv",
    "columns": {"params": "n", "tokens": "d", "loss": "l"},
}
LOOKALIKE = "d\u0435nse"  # a Cyrillic letter in it
HOSTILE = [
    "../evil",
    ".",
    "..",
    "-x",
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


def loaded(folder: Path, name: str = "toy", **changes: object) -> object:
    write_study_file(folder, name, {**study_of(SOURCE), **changes})
    return load_study({"study": name}, folder, SCHEMAS)


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
def test_families_that_are_no_plain_names_are_refused(tmp_path: Path, name: str) -> None:
    refused(lambda: loaded(tmp_path, families={name: "Label"}), "config/studies/toy.yaml")


LONG = "".join(f"x{i}" for i in range(36))[:100]


@pytest.mark.parametrize("name", ["ash", "llama3.1-8b", "A_b", LONG, "0", "aaaaa", "console"])
def test_plain_families_are_taken(tmp_path: Path, name: str) -> None:
    loaded(tmp_path, families={name: "Label"})


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a" * 20], "repeats 'a' 20 times"),
        (["x" + "ab" * 20], "repeats 'ab' 20 times"),
        (["CON"], "Windows keeps"),
        (["lpt1.x"], "Windows keeps"),
        (["a."], "ends in a point"),
        (["cleaning.svg"], "ends like a figure (.svg)"),
        (["ash", "Ash"], "'ash' and 'Ash' differ in capital letters alone"),
        ([f"f{n}" for n in range(MOST_FAMILIES + 1)], f"more than {MOST_FAMILIES:,}: part them"),
    ],
    ids=lambda names: str(names)[:20],
)
def test_names_that_a_file_system_or_snakemake_would_misread_are_refused(
    tmp_path: Path, names: list[str], words: str
) -> None:
    source = {**SOURCE, "columns": {**SOURCE["columns"], "family": "f"}}
    families = dict.fromkeys(names, "Label")
    refused(lambda: loaded(tmp_path, source=source, families=families), words)
    if len(names) == 1 and "figure" not in words:
        refused(lambda: loaded(tmp_path, names[0]), "the study's name", words)


def test_no_figure_is_called_as_a_family_may_be(tmp_path: Path) -> None:
    drawn = save(Figure(), tmp_path / "figure")
    assert {path.suffix[1:] for path in drawn} | {"json"} == set(FIGURE_ENDINGS)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("!!int x", "line 1 is not valid YAML: 'x' is no int; put it in quotes"),
        ("!!timestamp x", "'x' is no timestamp"),
        ("2024-13-45", "'2024-13-45' is no timestamp; put it in quotes if it is text"),
        ("9" * 5000, "line 1"),
        ("x" * (1 << 20), "YAML is read up to 1,048,576"),
    ],
    ids=lambda value: value[:20],
)
def test_odd_values_of_yaml_are_named_with_their_place(
    tmp_path: Path, value: str, words: str
) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(f"a: {value}\n")
    refused(lambda: read_yaml(path), str(path), words)


def test_keys_hold_no_line_breaks(tmp_path: Path) -> None:
    columns = {**SOURCE["columns"], "loss": {"a\nb": "l"}}
    refused(lambda: loaded(tmp_path, source={**SOURCE, "columns": columns}), "U+000A")


def test_what_is_too_much_is_refused_with_the_limit(tmp_path: Path) -> None:
    many = [1e20 + 1e17 * number for number in range(MOST_TARGETS + 1)]
    limit = f"{MOST_TARGETS + 1:,}, more than {MOST_TARGETS:,}"
    refused(lambda: loaded(tmp_path, targets=many), limit, "leave some out")
    refused(lambda: loaded(tmp_path, targets=[1e41]), "beyond 1e+40")


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
        outside.write_text(yaml.safe_dump(study_of(SOURCE)))
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
    source = {**SOURCE, "paths": f"a{sign}b"}
    refused(lambda: loaded(tmp_path, source=source), "`source.paths`", *words)


def test_draft_is_written_nowhere_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert draft([str(tmp_path), "--name", "../../evil"]) == 1
    assert "may only hold letters" in capsys.readouterr().err


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}


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


@pytest.mark.parametrize("ending", PACKERS)
def test_log_packed_twice_is_unpacked_once(tmp_path: Path, ending: str) -> None:
    log = tmp_path / f"log.jsonl{ending}"
    once = PACKERS[ending](b" " * (4 << 20))
    log.write_bytes(PACKERS[ending](once))
    assert opening.read_bytes(log) == once
    assert read_log(log, {"loss": "loss"}).rows.empty


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


@pytest.mark.parametrize("kind", [pa.dictionary(pa.int32(), pa.string()), pa.string()])
def test_parquet_of_one_long_word_on_every_row_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: pa.DataType
) -> None:
    monkeypatch.setattr(opening, "MOST_UNPACKED", 1 << 20)
    bomb = tmp_path / "bomb.parquet"
    numbers = pa.array(np.linspace(1, 2, 2000))
    word = pa.array(["x" * 10_000] * 2000).dictionary_encode().cast(kind)
    pq.write_table(pa.table({"loss": numbers, "tokens": numbers, "run": word}), bomb)
    columns = {"loss": "loss", "tokens": "tokens"}
    assert len(read_log(bomb, columns).rows) == 2000
    refused(lambda: read_log(bomb, {**columns, "run": "run"}), str(bomb), "unpacks to more than")
    refused(lambda: read_table(bomb), str(bomb), "unpacks to more than")


def test_parquet_of_endless_lists_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "MOST_UNPACKED", 1 << 16)
    bomb = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"loss": pa.array([np.zeros(1_000_000)])}), bomb)
    refused(lambda: read_log(bomb, {"loss": "loss"}, "parquet"), "unpacks to more than")


TABLE = pd.DataFrame({"run": ["a", "b"] * 500, "loss": np.linspace(2, 3, 1000)})


def test_failed_write_leaves_the_former_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json({"a": 1}, path)
    with pytest.raises(ValueError, match="JSON"):
        write_json({"a": float("nan")}, path)
    with suppress(RuntimeError), replacing(path) as part:
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
    all_bytes = path.read_bytes()
    footer = int.from_bytes(all_bytes[-8:-4], "little") + 8
    for place in range(4, len(all_bytes) - footer, 97):
        spoilt = bytearray(all_bytes)
        spoilt[place] ^= 1
        path.write_bytes(spoilt)
        try:
            table = read_parquet(path)
        except FloplineError as error:
            assert str(path) in str(error)
        else:
            pd.testing.assert_frame_equal(table, TABLE.astype({"run": "string"}))


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
    path.write_text("[" * 100_000)
    refused(lambda: read_json(path), "a.json is damaged (it is nested too deeply)")
    refused(lambda: read_sealed(path), "a.json is no sealed forecast")
    assert Memory(path).known == {}


def test_same_table_is_the_same_bytes_with_its_checksums(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        write_parquet(TABLE, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    stripped = io.BytesIO()
    pq.write_table(pq.read_table(paths[0]), stripped, compression="zstd")
    assert len(stripped.getvalue()) < paths[0].stat().st_size


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def broken_link(path: Path) -> None:
    path.symlink_to("nowhere")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def folder(path: Path) -> None:
    path.mkdir()


NO_FILES = {
    pipe: "is no regular file",
    device: "is no regular file",
    broken_link: "is a link that leads nowhere",
    link_to_itself: "is a link that leads nowhere",
    folder: "is a folder",
}


@pytest.mark.parametrize("make", NO_FILES)
@pytest.mark.parametrize("pattern", ["*.csv", "**/*.csv"])
def test_what_is_no_file_is_never_opened_nor_passed_over(
    tmp_path: Path, make: Callable[[Path], None], pattern: str
) -> None:
    source = {**SOURCE, "paths": pattern}
    study = loaded(tmp_path, source=source)
    (tmp_path / "good.csv").write_text("n,d,l\n1,1,1\n")
    make(tmp_path / "bad.csv")
    refused(lambda: log_files(study, tmp_path), f"bad.csv {NO_FILES[make]}")  # type: ignore[arg-type]


@pytest.mark.parametrize("make", NO_FILES)
def test_study_file_that_is_no_file_is_refused(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "config/studies/toy.yaml"
    path.parent.mkdir(parents=True)
    make(path)
    for name in ("toy", "config/studies/toy.yaml"):
        refused(lambda name=name: load_study({"study": name}, tmp_path, SCHEMAS), NO_FILES[make])


def test_folders_that_hold_logs_or_other_things_are_no_mistake(tmp_path: Path) -> None:
    source = {**SOURCE, "paths": ["**", "x.csv/**"]}
    (tmp_path / "x.csv").mkdir()
    (tmp_path / "empty/below").mkdir(parents=True)
    (tmp_path / "x.csv/a.csv").write_text("n,d,l\n1,1,1\n")
    (tmp_path / "b.csv").symlink_to("x.csv/a.csv")
    study = loaded(tmp_path / "apart", source=source)
    paths = [file["path"] for file in log_files(study, tmp_path)]  # type: ignore[arg-type]
    assert {"b.csv", "x.csv/a.csv"} <= set(paths)


def test_links_in_circles_are_told_and_not_followed(tmp_path: Path) -> None:
    """Two of them are 2 ** 40 paths to a search that follows links."""
    (tmp_path / "logs/deep").mkdir(parents=True)
    (tmp_path / "logs/runs.csv").write_text("n,d,l\n1,1,1\n")
    (tmp_path / "logs/deep/one").symlink_to("..")
    (tmp_path / "logs/two").symlink_to(tmp_path)
    source = {**SOURCE, "paths": "logs/**/*.csv"}
    study = loaded(tmp_path, source=source)
    refused(lambda: log_files(study, tmp_path), "is a link to a folder that holds it")  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [broken_link, link_to_itself, Path.touch])
def test_results_folder_that_is_none_is_one_sentence(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "toy")
    refused(
        lambda: hold_run(tmp_path / "toy", False, print), "toy/.lock cannot be written", "move it"
    )


def test_results_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "toy").symlink_to("elsewhere")
    hold_run(tmp_path / "toy", False, print)
    release_run()
    assert (tmp_path / "elsewhere/.lock").read_text() == ""
