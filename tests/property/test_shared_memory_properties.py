from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge.shared_memory import Mailbox, Ring

DTYPE = np.dtype([("number", "<i8"), ("values", "<f8", (3,))])
HEAD = 64  # bytes before the first slot
SLOT = 16 + DTYPE.itemsize  # sequence, CRC, record
STRIDE = 64  # from slot to slot: whole cache lines


def record(number: int) -> np.ndarray:
    made = np.zeros((), DTYPE)
    made["number"] = number
    made["values"] = number + 0.5
    return made


@given(
    offset=st.integers(0, SLOT - 1),
    flip=st.integers(1, 255),
    posts=st.integers(1, 6),
)
def test_a_record_with_any_byte_altered_is_not_taken(offset: int, flip: int, posts: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "box"
        box = Mailbox(path, DTYPE, create=True)
        for number in range(1, posts + 1):
            box.post(record(number))
        damage(path, HEAD + STRIDE * (posts % 2) + offset, flip)
        assert Mailbox(path, DTYPE).take() is None
        box.post(record(posts + 1))
        assert Mailbox(path, DTYPE).take() == record(posts + 1)


@given(
    offset=st.integers(0, SLOT - 1),
    flip=st.integers(1, 255),
    victim=st.integers(1, 5),
)
def test_a_damaged_record_in_a_ring_is_counted_and_costs_no_other(
    offset: int, flip: int, victim: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ring"
        ring = Ring(path, DTYPE, 8, create=True)
        for number in range(1, 6):
            ring.append(record(number))
        damage(path, HEAD + STRIDE * victim + offset, flip)
        numbers = [int(one["number"]) for one in ring.drain()]
        assert numbers == [number for number in range(1, 6) if number != victim]
        assert ring.dropped == 1


def damage(path: Path, offset: int, flip: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= flip
    with path.open("r+b") as file:
        file.write(content)


class RingMachine(RuleBasedStateMachine):
    """Against a plain list: what is drained is in order, whole, and what is not is counted."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "ring"
        self._writer = Ring(path, DTYPE, 8, create=True)
        self._reader = Ring(path, DTYPE, 8)
        self._written = 0
        self._drained: list[int] = []

    @rule(count=st.integers(1, 20))
    def append(self, count: int) -> None:
        for _ in range(count):
            self._written += 1
            self._writer.append(record(self._written))

    @rule()
    def drain(self) -> None:
        for one in self._reader.drain():
            assert one == record(int(one["number"]))
            self._drained.append(int(one["number"]))
        assert len(self._drained) + self._reader.dropped == self._written

    @invariant()
    def in_order(self) -> None:
        assert self._drained == sorted(set(self._drained))

    def teardown(self) -> None:
        self._folder.cleanup()


TestRing = RingMachine.TestCase
