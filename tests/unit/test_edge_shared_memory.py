from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.shared_memory import Mailbox, Ring

DTYPE = np.dtype([("number", "<i8"), ("values", "<f8", (5,))])


def record(number: int) -> np.ndarray:
    made = np.zeros((), DTYPE)
    made["number"] = number
    made["values"] = number
    return made


def test_a_record_is_taken_once_and_stays_the_latest(tmp_path: Path) -> None:
    writer = Mailbox(tmp_path / "box", DTYPE, create=True)
    reader = Mailbox(tmp_path / "box", DTYPE)
    assert reader.take() is None
    assert reader.latest() is None
    writer.post(record(7))
    taken = reader.take()
    assert taken is not None
    assert taken == record(7)
    assert reader.take() is None
    assert reader.latest() == record(7)


def test_only_the_newest_record_is_taken(tmp_path: Path) -> None:
    writer = Mailbox(tmp_path / "box", DTYPE, create=True)
    reader = Mailbox(tmp_path / "box", DTYPE)
    for number in range(1, 6):
        writer.post(record(number))
    assert reader.take() == record(5)


def test_every_reader_takes_for_itself(tmp_path: Path) -> None:
    writer = Mailbox(tmp_path / "box", DTYPE, create=True)
    readers = [Mailbox(tmp_path / "box", DTYPE) for _ in range(2)]
    writer.post(record(1))
    assert [reader.take() == record(1) for reader in readers] == [True, True]


def test_a_writer_that_comes_back_goes_on_where_it_was(tmp_path: Path) -> None:
    Mailbox(tmp_path / "box", DTYPE, create=True).post(record(1))
    reader = Mailbox(tmp_path / "box", DTYPE)
    reader.take()
    Mailbox(tmp_path / "box", DTYPE).post(record(2))
    assert reader.take() == record(2)


def test_a_box_is_created_once_and_opened_only_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Mailbox(tmp_path / "box", DTYPE)
    Mailbox(tmp_path / "box", DTYPE, create=True)
    with pytest.raises(FileExistsError):
        Mailbox(tmp_path / "box", DTYPE, create=True)


def test_a_ring_gives_every_record_in_order(tmp_path: Path) -> None:
    writer = Ring(tmp_path / "ring", DTYPE, 8, create=True)
    reader = Ring(tmp_path / "ring", DTYPE, 8)
    numbers = []
    for number in range(1, 41):
        writer.append(record(number))
        if number % 5 == 0:
            numbers += [int(taken["number"]) for taken in reader.drain()]
    assert numbers == list(range(1, 41))
    assert reader.dropped == 0


def test_a_reader_that_falls_behind_counts_what_it_missed(tmp_path: Path) -> None:
    writer = Ring(tmp_path / "ring", DTYPE, 8, create=True)
    reader = Ring(tmp_path / "ring", DTYPE, 8)
    for number in range(1, 101):
        writer.append(record(number))
    numbers = [int(taken["number"]) for taken in reader.drain()]
    assert numbers == list(range(101 - len(numbers), 101))
    assert len(numbers) >= 6
    assert reader.dropped == 100 - len(numbers)
    assert len(reader.drain()) == 0


WRITER = """
import sys
from pathlib import Path
import numpy as np
from edge.shared_memory import Mailbox, Ring
from tests.unit.test_edge_shared_memory import DTYPE, record
box = Mailbox(Path(sys.argv[1]), DTYPE)
ring = Ring(Path(sys.argv[2]), DTYPE, 4096)
for number in range(1, 3001):
    box.post(record(number))
    ring.append(record(number))
"""


def test_two_processes_share_whole_records_in_order(tmp_path: Path) -> None:
    box = Mailbox(tmp_path / "box", DTYPE, create=True)
    ring = Ring(tmp_path / "ring", DTYPE, 4096, create=True)
    command = [sys.executable, "-c", WRITER, str(tmp_path / "box"), str(tmp_path / "ring")]
    newest, numbers = 0, []
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as writer:
        while writer.poll() is None:
            taken = box.take()
            if taken is not None:
                assert (taken["values"] == taken["number"]).all()
                assert int(taken["number"]) > newest
                newest = int(taken["number"])
            numbers += [int(one["number"]) for one in ring.drain()]
    assert writer.returncode == 0
    numbers += [int(one["number"]) for one in ring.drain()]
    assert numbers == list(range(1, 3001))
    assert ring.dropped == 0
    assert box.latest() == record(3000)
