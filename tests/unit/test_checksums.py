"""Checksums of TensorBoard's records: a flipped bit is a damaged event, never another number."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from flopline.errors import FloplineError
from flopline.logs.checksums import crc32c
from flopline.logs.readers import read_log
from tests.conftest import ROOT

EVENTS = ROOT / "tests/fixtures/logs/tensorboard/simple"
COLUMNS = {"loss": "train/loss"}


@pytest.mark.parametrize(
    ("record", "crc"),
    [
        (b"123456789", 0xE3069283),  # the check value of CRC-32C
        (bytes(32), 0x8A9136AA),  # RFC 3720, appendix B.4, and the next two
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"", 0),
    ],
)
def test_published_values(record: bytes, crc: int) -> None:
    assert crc32c([b"before", record, b"after"])[1] == crc


def bit_by_bit(record: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in record:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def test_records_of_all_lengths_side_by_side() -> None:
    rng = np.random.default_rng(3)
    records = [rng.bytes(size) for size in [*range(9), *range(60, 70), 128, 129, 1000]]
    assert crc32c(records) == [bit_by_bit(record) for record in records]


def losses(path: Path) -> list[float]:
    return list(read_log(path, COLUMNS).rows["loss"])


def test_no_flipped_bit_makes_another_loss(tmp_path: Path) -> None:
    file = next(EVENTS.glob("*tfevents*"))
    right = set(losses(file))
    data = file.read_bytes()
    copy = tmp_path / file.name
    for place in np.random.default_rng(1).integers(0, len(data), 60).tolist():
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(place) % 8
        copy.write_bytes(flipped)
        try:
            reading = read_log(copy, COLUMNS)
        except FloplineError as error:  # all events of the loss are gone
            assert "no column 'train/loss'" in str(error)
            continue
        assert set(reading.rows["loss"]) <= right
        assert "not_parsed" in reading.dropped["reason"].tolist()


def test_a_writer_that_leaves_checksums_out_is_read(tmp_path: Path) -> None:
    file = next(EVENTS.glob("*tfevents*"))
    data = bytearray(shutil.copy(file, tmp_path / file.name).read_bytes())
    place = 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 8], "little")
        data[place + 8 : place + 12] = data[place + 12 + size : place + 16 + size] = bytes(4)
        place += 16 + size
    (tmp_path / file.name).write_bytes(data)
    assert losses(tmp_path / file.name) == losses(file)
