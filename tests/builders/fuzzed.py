"""Mutated files read as a study reads them, and what must be true of whatever comes out.

A seed is a sound log, table, sidecar or study with the study file that reads it. `SEEDS` has one of
every fixture of every format, so that a new format is fuzzed by having one.
"""

from __future__ import annotations

import json
import random
import sqlite3
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from flopline.clean.batches import clean_batches
from flopline.clean.gathering import gather, stop_at_mistakes
from flopline.clean.run_facts import with_facts
from flopline.clean.tally import SHARD_RUNS
from flopline.drafting.columns import row_columns
from flopline.errors import FloplineError
from flopline.ingesting import FACTS, FILES, RAW_CURVES, Ingested, ingest_runs
from flopline.logs.checksums import masked
from flopline.logs.formats import FORMATS
from flopline.logs.reading import LogFacts, Wish
from flopline.schema import CURVES, DROPPED, conform
from flopline.storage import RowGroups, read_parquet, row_groups, write_parquet
from flopline.tables import run_facts
from running.log_search import logs_among
from tests.builders import mutations
from tests.builders.studies import loaded, study_of, write_study_file
from tests.conftest import ROOT

FIXTURES: Final = ROOT / "tests/fixtures/logs"
CORPUS: Final = ROOT / "tests/fixtures/fuzz"
"""Inputs that once failed: one folder for each seed, its slashes written as two underscores."""

SLOWEST: Final = 20.0
"""Seconds that no input may take."""

MOST_LETTERS: Final = 3_000
"""Letters of a sentence: what it quotes is shortened."""

SOUND, REFUSED = "read", "refused"

CSV = "run,params,tokens,loss\n" + "".join(
    f"r{n},{n * 1_000_000},{n * 20_000_000},{4 - n / 10}\n" for n in range(1, 9)
)
LINES = "".join(
    json.dumps({"step": s, "tokens": s * 1000, "loss": 5 - s / 10, "lr": 1e-3}) + "\n"
    for s in range(1, 13)
)
RUN_TABLE = "run,params,horizon,family,seed\nrun1000000,1.0M,12000,ash,1\nrun2,2e6,12000,ash,2\n"
OF_LINES = {name: name for name in ("step", "tokens", "loss", "lr")}
OF_RUNS = {name: name for name in ("run", "params", "tokens", "loss")}


@dataclass(frozen=True)
class Seed:
    """A sound input: `files` by their paths below the study's folder, one of which is mutated.

    `log` is what the study reads, a file or a folder; `source` that of its study file.
    """

    name: str
    files: Mapping[str, bytes]
    log: str
    source: Mapping[str, Any]
    mutant: str
    kinds: tuple[mutations.Mutation, ...] = ()
    own: tuple[Callable[[bytes, random.Random], bytes], ...] = ()

    def input(self, number: int) -> bytes:
        """The mutant that has this number; 0 is the seed itself."""
        data, rng = self.files[self.mutant], mutations.of(self.name, number)
        if not number:
            return data
        if self.own and rng.random() < 0.6:
            return rng.choice(self.own)(data, rng)
        return mutations.mutated(data, rng, self.kinds)


class Broken(AssertionError):
    """What must be true of every input is not."""


class Hangs(Broken):
    """An input took longer than any may."""


def check(seed: Seed, data: bytes, folder: Path) -> str:
    """Read `data` in the place of the seed's mutant, in `folder`, to the table of runs.

    SOUND or REFUSED. Raises Broken, or whatever was raised that is no FloplineError.
    """
    study = _loaded_once(folder)
    with judged() as outcome:
        _gathered(*_cleaned(_ingested(seed, data, folder), study, folder), study, folder)
    return outcome[0]


@dataclass(frozen=True)
class Case:
    """One input of a seed that lies prepared in `folder`."""

    seed: Seed
    number: int
    folder: Path

    def check(self) -> str:
        """See check."""
        return check(self.seed, self.seed.input(self.number), self.folder)


def check_all(cases: Iterable[Case]) -> dict[tuple[str, int], Exception]:
    """What went wrong with each of these inputs, by seed and number; most are not there.

    Each is ingested alone; the runs of all are cleaned and gathered together, which is quick. Where
    that breaks, they are taken one by one.
    """
    wrong: dict[tuple[str, int], Exception] = {}
    parts: list[Ingested] = []
    alone: list[Case] = []
    joined: list[Case] = []
    for case in cases:
        if "table" in case.seed.source.get("runs", {}):
            alone.append(case)
            continue
        try:
            with judged():
                raw = _ingested(case.seed, case.seed.input(case.number), case.folder)
                parts.append(_apart(raw, f"-{case.seed.name}-{case.number}"))
                joined.append(case)
        except Exception as error:
            wrong[case.seed.name, case.number] = error
    if joined:
        folder = joined[0].folder
        study = _loaded_once(folder)
        tables = (pd.concat([getattr(part, name) for part in parts]) for name in _TABLES)
        try:
            runs, lost = _cleaned(Ingested(*tables), study, folder)
            with judged():
                _gathered(runs, lost, study, folder)
        except Exception:
            alone += joined
    for case in alone:
        try:
            case.check()
        except Exception as error:
            wrong[case.seed.name, case.number] = error
    return wrong


_TABLES: Final = ("curves", "dropped", "runs")


def _apart(raw: Ingested, ending: str) -> Ingested:
    """The same runs under names of their own."""
    named = (
        table.assign(run=table["run"].astype("string") + ending)
        for table in (raw.curves, raw.dropped, raw.runs)
    )
    return Ingested(*named)


@contextmanager
def judged() -> Iterator[list[str]]:
    """Hold that what is done within ends soon, and in a sentence where it fails."""
    began, outcome = time.perf_counter(), [SOUND]
    try:
        yield outcome
    except FloplineError as refusal:
        demand_sentence(str(refusal))
        outcome[0] = REFUSED
    took = time.perf_counter() - began
    if took > SLOWEST:
        raise Hangs(f"it took {took:.0f} s")


def prepared(seed: Seed, folder: Path) -> None:
    """Lay out the files of a seed and its study below `folder`."""
    for name, data in seed.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    write_study_file(folder, "fuzzed", study_of(seed.source, targets=[1e13]))


@cache
def _loaded_once(folder: Path) -> Any:
    return loaded(folder, "fuzzed")


def _ingested(seed: Seed, data: bytes, folder: Path) -> Ingested:
    (folder / seed.mutant).write_bytes(data)
    study = _loaded_once(folder)
    file = {"run": Path(seed.log).name.split(".")[0], "path": seed.log, "sha256": "0"}
    if sidecar := study["source"].get("runs", {}).get("sidecar"):
        file["sidecar"] = str(Path(seed.log).parent / sidecar["path"])
    (raw,) = ingest_runs(study, [file], folder)
    _demand_counted(raw.runs, raw.curves, raw.dropped)
    return raw


def _cleaned(raw: Ingested, study: Any, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs and the dropped rows, from tables that are written and read as jobs do it."""
    with RowGroups(folder / "raw.parquet", RAW_CURVES) as curves:
        curves.write(conform(raw.curves, RAW_CURVES))
    with RowGroups(folder / "lost.parquet", DROPPED) as dropped:
        dropped.write(conform(raw.dropped, DROPPED))
    write_parquet(conform(raw.runs, FACTS | FILES), folder / "runs.parquet")
    raw_runs = read_parquet(folder / "runs.parquet")
    runs = with_facts(raw_runs, _run_table(study, folder), study)
    lost = read_parquet(folder / "lost.parquet", categories=True)
    tallied = [conform(pd.DataFrame(), SHARD_RUNS)]
    mistakes = [conform(pd.DataFrame(), DROPPED)]
    batches = list(row_groups(folder / "raw.parquet")) if len(raw.curves) else []
    for batch in clean_batches(batches, lost, raw_runs, runs, study):
        with RowGroups(folder / "clean.parquet", CURVES) as out:
            out.write(batch.curves)
        with RowGroups(folder / "dropped.parquet", DROPPED) as out:
            out.write(batch.dropped)
        _demand_counted(batch.runs, batch.curves, batch.dropped)
        if not np.isfinite(batch.curves["loss"].to_numpy(dtype=float)).all():
            raise Broken("a loss that is kept is not finite")
        tallied.append(batch.runs)
        mistakes.append(batch.dropped)
    return pd.concat(tallied), pd.concat(mistakes)


def _gathered(runs: pd.DataFrame, lost: pd.DataFrame, study: Any, folder: Path) -> None:
    stop_at_mistakes(lost, runs, study)
    gather(runs, _run_table(study, folder), study)


def _run_table(study: Any, folder: Path) -> pd.DataFrame | None:
    source = study["source"]
    return run_facts(source, folder) if "table" in source.get("runs", {}) else None


def _demand_counted(runs: pd.DataFrame, curves: pd.DataFrame, dropped: pd.DataFrame) -> None:
    """Every row that was read is kept or dropped, run by run."""
    rows_in, kept, lost = Counter[str](), Counter(curves["run"]), Counter(dropped["run"])
    for run, rows in zip(runs["run"], runs["rows_in"], strict=True):
        rows_in[run] += int(rows)
    if +rows_in != kept + lost:
        raise Broken(f"rows in {rows_in}, kept {kept}, dropped {lost}")


def demand_sentence(sentence: str) -> None:
    """Raise Broken for what is no sentence that a terminal can show."""
    if not sentence.isprintable():
        raise Broken(f"the sentence holds what cannot be printed: {sentence!r}")
    if not sentence.endswith("."):
        raise Broken(f"the sentence does not end: {sentence!r}")
    if len(sentence) > MOST_LETTERS:
        raise Broken(f"the sentence is {len(sentence):,} letters long: {sentence[:400]!r}")
    sentence.encode()


# Seeds


def seeds() -> dict[str, Seed]:
    """Every seed by name."""
    found = [*_of_formats(), *_of_tables(), *_of_facts()]
    return {seed.name: seed for seed in found}


def _of_formats() -> Iterator[Seed]:
    for name, entry in FORMATS.items():
        for path in _fixtures(name):
            shown = path.relative_to(FIXTURES / name).as_posix()
            beside = FIXTURES / name / "source.yaml"
            source = yaml.safe_load(beside.read_text()) if beside.is_file() else {}
            if not entry.columns.of_format:
                wish = Wish(columns={"loss": ""})
                names = next(iter(entry.load().read(path, wish, LogFacts()))).names
                columns = {"columns": row_columns(list(names))}
                source |= columns
            yield from _of_log(f"{name}/{shown}", path, source, name)


def _of_log(name: str, path: Path, source: dict[str, Any], form: str) -> Iterator[Seed]:
    entry = FORMATS[form]
    says = "tokens" in entry.says or "tokens" in source.get("columns", {})
    facts = r"run(?P<params>\d+)" + ("" if says else r"-(?P<batch_tokens>\d+)")
    stem = "run1000000" if says else "run1000000-1000"
    ending = "" if path.is_dir() else "".join(path.suffixes) or ".log"
    if path.is_file() and "tfevents" in path.name:
        ending = ".tfevents.1"
    log = f"logs/{stem}{ending}"
    files = (
        {f"{log}/{file.relative_to(path).as_posix()}": file.read_bytes()
         for file in sorted(path.rglob("*")) if file.is_file()}
        if path.is_dir() else {log: path.read_bytes()}
    )  # fmt: skip
    full = {"kind": "logs", "paths": log, **source, "runs": {"from_name": facts}}
    if not entry.described_by:
        yield Seed(f"declared/{name}", files, log, {**full, "format": form}, _largest(files),
                   own=_OWN.get(form, ()))  # fmt: skip
    yield Seed(name, files, log, full, _largest(files), own=_OWN.get(form, ()))


def _largest(files: Mapping[str, bytes]) -> str:
    return max(files, key=lambda name: (len(files[name]), name))


def _fixtures(name: str) -> list[Path]:
    hits = [str(p.relative_to(FIXTURES)) for p in (FIXTURES / name).rglob("*")]
    found = logs_among(sorted(hits), {"kind": "logs"}, FIXTURES)
    return [FIXTURES / log for log in found if not log.endswith(("source.yaml", "meta.yaml"))]


def _of_tables() -> Iterator[Seed]:
    table = pd.DataFrame([line.split(",") for line in CSV.splitlines()[1:]], columns=list(OF_RUNS))
    typed = table.astype({"params": "int64", "tokens": "int64", "loss": "float64"})
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pandas(typed), sink)
    contents = {
        "csv": CSV.encode(),
        "tsv": CSV.replace(",", "\t").encode(),
        "jsonl": typed.to_json(orient="records", lines=True).encode(),
        "parquet": sink.getvalue().to_pybytes(),
    }
    for ending, data in contents.items():
        path = f"runs.{ending}"
        source = {"kind": "table", "paths": path, "columns": OF_RUNS}
        yield Seed(f"table/{path}", {path: data}, path, source, path, own=_OWN.get(ending, ()))


def _of_facts() -> Iterator[Seed]:
    log = "logs/run1000000.jsonl"
    plain = {"kind": "logs", "paths": log, "columns": OF_LINES}
    columns = {"run": "run", "params": "params", "horizon_tokens": "horizon", "seed": "seed"}
    tables = {
        "csv": RUN_TABLE.encode(),
        "tsv": RUN_TABLE.replace(",", "\t").encode(),
        "jsonl": b'{"run": "run1000000", "params": "1.0M", "horizon": 12000, "seed": 1}\n'
                 b'{"run": "run2", "params": 2e6, "horizon": 12000, "seed": "b"}\n',
    }  # fmt: skip
    for ending, data in tables.items():
        path = f"facts.{ending}"
        source = plain | {"runs": {"table": path, "columns": columns}}
        yield Seed(f"run_table/{path}", {log: LINES.encode(), path: data}, log, source, path)
    said = {"model": {"params": 1_000_000, "heads": 4}, "horizon": 12000, "note": "a"}
    for ending, data in (("json", json.dumps(said, indent=1)), ("yaml", yaml.safe_dump(said))):
        path = f"logs/config.{ending}"
        source = plain | {
            "runs": {
                "sidecar": {
                    "path": f"config.{ending}",
                    "columns": {"params": "model.params", "horizon_tokens": "horizon"},
                }
            }
        }
        files = {log: LINES.encode(), path: data.encode()}
        yield Seed(f"sidecar/config.{ending}", files, log, source, path)
    several = "".join(
        json.dumps({"run": f"r{r}", "n": 10**6, "step": s, "tokens": s * 1000, "loss": 5 - s / 10})
        + "\n"
        for r in range(3)
        for s in range(1, 6)
    )
    columns = {"run": "run", "step": "step", "tokens": "tokens", "loss": "loss"}
    source = {
        "kind": "logs",
        "paths": log,
        "columns": columns,
        "runs": {"from_log": {"params": "n"}},
    }
    yield Seed("jsonl/several_runs", {log: several.encode()}, log, source, log)
    header = "run,n,step,tokens,loss\n"
    rows = "".join(
        f"r{r},1000000,{s},{s * 1000},{5 - s / 10}\n" for r in range(3) for s in range(5)
    )
    log = "logs/run1000000.csv"
    source = source | {"paths": log}
    yield Seed("csv/several_runs", {log: (header + rows).encode()}, log, source, log)


# Mutations that keep the outer form sound, so that what lies within is reached


def _events(data: bytes, rng: random.Random) -> bytes:
    """Records of TensorFlow, one of them mutated, with their checksums made anew."""
    records, at = [], 0
    while at + 12 <= len(data):
        (size,) = struct.unpack_from("<Q", data, at)
        records.append(data[at + 12 : at + 12 + size])
        at += 16 + size
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(records))
        records[place] = mutations.mutated(records[place], rng, _BYTES)
    rng.random() < 0.2 and rng.shuffle(records)
    return b"".join(_sealed(record) for record in records)


def _sealed(record: bytes) -> bytes:
    size = struct.pack("<Q", len(record))
    of_size, of_record = masked([size, record])
    return size + struct.pack("<I", of_size) + record + struct.pack("<I", of_record)


def _offline(data: bytes, rng: random.Random) -> bytes:
    """Records of W&B, one of them mutated, with their checksums made anew."""
    import zlib

    records, at = [], 7
    while at + 7 <= len(data):
        _, size, _ = struct.unpack_from("<IHB", data, at)
        records.append(data[at + 7 : at + 7 + size])
        at += 7 + size
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(records))
        records[place] = mutations.mutated(records[place], rng, _BYTES)[:30_000]
    out = data[:7]
    for record in records:
        kind = bytes([rng.choice((1, 1, 1, 1, 1, 2, 3, 4, 9))])
        if len(out) % 32768 + 7 + len(record) > 32768:
            break
        out += struct.pack("<IH", zlib.crc32(kind + record), len(record)) + kind + record
    return out


def _database(data: bytes, rng: random.Random) -> bytes:
    """A database of SQLite whose cells are mutated."""
    with closing(sqlite3.connect(":memory:")) as store:
        store.deserialize(data)
        for table, column in _CELLS:
            rows = store.execute(f"SELECT rowid, {column} FROM {table}").fetchall()  # noqa: S608
            for rowid, cell in rows if rng.random() < 0.5 else ():
                if rng.random() < 0.7:
                    continue
                data = mutations.mutated(str(cell).encode(), rng)
                as_text = data.decode("utf-8", "replace")
                content: Any = rng.choice((data, as_text, as_text, as_text, None, 1.5, 7))
                statement = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"  # noqa: S608
                with suppress(sqlite3.IntegrityError):
                    store.execute(statement, (content, rowid))
        store.commit()
        return store.serialize()


_CELLS: Final = (
    ("metrics", "metrics"),
    ("metrics", "step"),
    ("metrics", "run_name"),
    ("configs", "config"),
)
"""The tables and columns of Trackio that a reader looks at."""


def _parquet(data: bytes, rng: random.Random) -> bytes:
    """A table of Parquet with columns of other types, names and metadata."""
    table = pq.read_table(pa.BufferReader(data)).replace_schema_metadata()
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(table.num_columns)
        name, column = table.column_names[place], table.column(place).to_pylist()
        rng.random() < 0.2 and rng.shuffle(column)
        values, kind = rng.choice(_TYPES)(column, rng)
        try:
            changed = pa.array(values, kind)
        except (pa.ArrowException, OverflowError):
            changed = pa.array([str(value) for value in column])
        if rng.random() < 0.1:
            table = table.append_column(name, changed)
        else:
            table = table.set_column(place, rng.choice((name, name, name, "line", "")), changed)
    if rng.random() < 0.3:
        table = table.replace_schema_metadata(
            {b"pandas": mutations.mutated(b'{"index_columns": ["run"], "columns": []}', rng)}
        )
    sink = pa.BufferOutputStream()
    codec = rng.choice(("snappy", "zstd", "gzip", "none"))
    try:
        pq.write_table(table, sink, compression=codec)
    except pa.ArrowException:
        return mutations.mutated(data, rng)
    return sink.getvalue().to_pybytes()


def _texts(column: list[Any], rng: random.Random) -> tuple[list[Any], Any]:
    return [
        mutations.mutated(str(v).encode(), rng).decode("utf-8", "replace") for v in column
    ], None


def _gaps(column: list[Any], rng: random.Random) -> tuple[list[Any], Any]:
    return [rng.choice((None, value)) for value in column], None


def _as_type(kind: Any, make: Callable[[Any], Any]) -> Any:
    def made(column: list[Any], rng: random.Random) -> tuple[list[Any], Any]:
        return [make(n) for n, _ in enumerate(column)], kind

    return made


_TYPES: Final[tuple[Any, ...]] = (
    _texts, _gaps,
    _as_type(pa.bool_(), lambda n: n % 2 == 0),
    _as_type(pa.list_(pa.float64()), lambda n: [float(n)] * (n % 3)),
    _as_type(pa.struct([("a", pa.int64())]), lambda n: {"a": n}),
    _as_type(pa.decimal128(38, 2), lambda n: n),
    _as_type(pa.timestamp("ns"), lambda n: n),
    _as_type(pa.timestamp("us", tz="Europe/Berlin"), lambda n: n),
    _as_type(pa.duration("s"), lambda n: n),
    _as_type(pa.date32(), lambda n: n),
    _as_type(pa.time64("us"), lambda n: n),
    _as_type(pa.null(), lambda n: None),
    _as_type(pa.binary(), lambda n: b"\xff\xfe"),
    _as_type(pa.float32(), lambda n: 1.0 + n),
    _as_type(pa.float16(), lambda n: np.float16(1.0 + n)),
    _as_type(pa.uint64(), lambda n: 2**64 - 1 - n),
    _as_type(pa.int64(), lambda n: 2**63 - 1 - n),
    _as_type(pa.float64(), lambda n: (float("nan"), float("inf"), 1e308, -0.0)[n % 4]),
    _as_type(pa.dictionary(pa.int8(), pa.string()), lambda n: "ab"[n % 2]),
    _as_type(pa.map_(pa.string(), pa.int64()), lambda n: [("a", n)]),
    _as_type(pa.large_string(), lambda n: f"{n}"),
)  # fmt: skip

_BYTES: Final = (
    mutations.flip_bits, mutations.set_bytes, mutations.truncate, mutations.cut_out,
    mutations.repeat_piece, mutations.numbers, mutations.words, mutations.deep,
)  # fmt: skip

_OWN: Final[dict[str, tuple[Callable[[bytes, random.Random], bytes], ...]]] = {
    "tensorboard": (_events,),
    "wandb_offline": (_offline,),
    "trackio": (_database,),
    "parquet": (_parquet,),
}
