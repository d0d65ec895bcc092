"""What programs only read: packed weights above all, each in memory once.

The pass over an observation and that of a token have most of their weights in common, and so have
the two decodes. Kept apart they would be twice what a core's own cache can hold.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge.engines.native.memory import Array, aligned, new_block


class Constants:
    """One block for the constants of several programs. They are placed first, then bound."""

    def __init__(self) -> None:
        self._offsets: dict[bytes, int] = {}
        self._block: npt.NDArray[np.uint8] | None = None

    def place(self, value: Array) -> int:
        """Where a value is in the block, in bytes; the same for equal ones."""
        content = value.tobytes()
        if content not in self._offsets:
            self._offsets[content] = self._size
            self._block = None
        return self._offsets[content]

    @property
    def block(self) -> npt.NDArray[np.uint8]:
        """The bytes of everything that was placed."""
        if self._block is None:
            self._block = new_block(self._size)
            for content, offset in self._offsets.items():
                self._block[offset : offset + len(content)] = np.frombuffer(content, np.uint8)
        return self._block

    @property
    def _size(self) -> int:
        if not self._offsets:
            return 0
        content, offset = next(reversed(self._offsets.items()))
        return aligned(offset + len(content))
