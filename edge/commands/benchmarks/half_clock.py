"""An engine as on a core at half its clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from edge.engines import Engine, Float32Array
from edge.shared_memory import Record


class HalfClock:
    """An ``Engine`` around another: each stage takes as long again, which is spun away."""

    def __init__(self, engine: Engine, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._engine, self._clock = engine, clock

    def place(self, tokens: Sequence[int], command: Float32Array | None = None) -> None:
        """See ``Decoder.place``."""
        self._engine.place(tokens, command)

    def prefill(self, features: Record) -> None:
        """See ``Engine.prefill``."""
        begun_ns = self._clock()
        self._engine.prefill(features)
        self._spin(begun_ns)

    def next_token(self) -> int:
        """See ``Engine.next_token``."""
        begun_ns = self._clock()
        token = self._engine.next_token()
        self._spin(begun_ns)
        return token

    def decode(self, prefix: int) -> Float32Array:
        """See ``Decoder.decode``."""
        begun_ns = self._clock()
        actions = self._engine.decode(prefix)
        self._spin(begun_ns)
        return actions

    def decode_full(self, prefix: int) -> Float32Array:
        """See ``Decoder.decode_full``."""
        begun_ns = self._clock()
        actions = self._engine.decode_full(prefix)
        self._spin(begun_ns)
        return actions

    def _spin(self, begun_ns: int) -> None:
        end_ns = 2 * self._clock() - begun_ns
        while self._clock() < end_ns:
            pass
