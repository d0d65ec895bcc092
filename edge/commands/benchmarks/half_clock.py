"""An engine as on a core at half its clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from edge.engines import Engine, Float32Array
from edge.shared_memory import Record

T = TypeVar("T")


class HalfClock:
    """An ``Engine`` around another: each stage takes as long again, which is spun away."""

    def __init__(self, engine: Engine, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._engine, self._clock = engine, clock

    def place(self, tokens: Sequence[int], command: Float32Array | None = None) -> None:
        """See ``Decoder.place``."""
        self._engine.place(tokens, command)

    def prefill(self, features: Record) -> None:
        """See ``Engine.prefill``."""
        self._twice(lambda: self._engine.prefill(features))

    def next_token(self) -> int:
        """See ``Engine.next_token``."""
        return self._twice(self._engine.next_token)

    def decode(self, prefix: int) -> Float32Array:
        """See ``Decoder.decode``."""
        return self._twice(lambda: self._engine.decode(prefix))

    def decode_full(self, prefix: int) -> Float32Array:
        """See ``Decoder.decode_full``."""
        return self._twice(lambda: self._engine.decode_full(prefix))

    def _twice(self, stage: Callable[[], T]) -> T:
        begun_ns = self._clock()
        result = stage()
        end_ns = 2 * self._clock() - begun_ns
        while self._clock() < end_ns:
            pass
        return result
