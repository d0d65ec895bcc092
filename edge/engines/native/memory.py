"""Where a program's values live: constants, inputs and outputs, and scratch that is used again.

Every value is a NumPy array while the program is laid out, so that NumPy works out what reshaping,
transposing, splitting and broadcasting mean; at the end each becomes a base and an offset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

CONSTANTS, SCRATCH, FIRST_OUTER = 0, 1, 2
"""Bases: of all constants, of scratch, and of the first input; outputs follow the inputs."""

ALIGNMENT = 64  # bytes: a cache line, and the widest vector


class Place(NamedTuple):
    """A base, and bytes from there."""

    base: int
    offset: int


def owner(value: Array) -> Array:
    """The array whose memory a view shows."""
    while isinstance(value.base, np.ndarray):
        value = value.base
    return value


def is_whole(value: Array) -> bool:
    """Whether a view shows all of its memory, in order."""
    return bool(value.flags.c_contiguous) and value.nbytes == owner(value).nbytes


def aligned(size: int) -> int:
    """The next multiple of ALIGNMENT."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def new_block(size: int) -> npt.NDArray[np.uint8]:
    """Bytes that begin at a multiple of ALIGNMENT."""
    block = np.zeros(size + ALIGNMENT, np.uint8)
    start = -block.ctypes.data % ALIGNMENT
    return block[start : start + size]


class Memory:
    """Hands out arrays for a program's values, and says in the end where each is."""

    def __init__(self) -> None:
        self._constants: dict[int, Array] = {}
        self._outer: dict[int, str] = {}
        self._owned: list[Array] = []  # kept alive, so that no id is given twice

    def scratch(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Room for a value that the program makes."""
        return self._own(np.empty(shape, dtype))

    def constant(self, value: Array) -> Array:
        """A value that never changes."""
        kept = self._own(np.array(value, order="C"))
        self._constants[id(kept)] = kept
        return kept

    def input(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """A value that the caller writes."""
        value = self.scratch(shape, dtype)
        self._outer[id(value)] = name
        return value

    def make_output(self, name: str, value: Array) -> bool:
        """Let a value be where the caller reads ``name``; False if it must be copied there."""
        own = owner(value)
        if not is_whole(value) or id(own) in self._constants or id(own) in self._outer:
            return False
        self._outer[id(own)] = name
        return True

    def places(
        self,
        uses: Iterable[tuple[Array, ...]],
        bases: Mapping[str, int],
        offset: Callable[[Array], int],
    ) -> tuple[dict[int, Place], int]:
        """Place by id of owner; bytes of scratch.

        ``uses`` are the arrays of every operation in turn; ``bases``, the inputs and outputs;
        ``offset`` says where among the constants one is.
        """
        constants = {key: Place(CONSTANTS, offset(it)) for key, it in self._constants.items()}
        scratch, size = self._shared([[owner(value) for value in values] for values in uses])
        outer = {key: Place(bases[name], 0) for key, name in self._outer.items()}
        return constants | scratch | outer, size

    def _own(self, value: Array) -> Array:
        self._owned.append(value)
        return value

    def _shared(self, uses: list[list[Array]]) -> tuple[dict[int, Place], int]:
        """Scratch of values that are never needed at once is the same; first fit."""
        last = {id(own): step for step, owners in enumerate(uses) for own in owners}
        places: dict[int, Place] = {}
        held: dict[int, tuple[int, int]] = {}  # start and end by id
        size = 0
        for step, owners in enumerate(uses):
            for own in owners:
                if id(own) in places or id(own) in self._constants or id(own) in self._outer:
                    continue
                start = _first_gap(sorted(held.values()), own.nbytes)
                held[id(own)] = start, start + own.nbytes
                places[id(own)] = Place(SCRATCH, start)
                size = max(size, start + own.nbytes)
            held = {key: span for key, span in held.items() if last[key] > step}
        return places, size


def _first_gap(spans: list[tuple[int, int]], size: int) -> int:
    start = 0
    for begin, end in spans:
        if start + size <= begin:
            break
        start = max(start, aligned(end))
    return start
