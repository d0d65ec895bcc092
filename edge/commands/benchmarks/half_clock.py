"""An engine as on a core at half its clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from edge.engines import Condition, Engine, Float32Array
from edge.latency import Profile
from edge.shared_memory import Record


class HalfClock:
    """An ``Engine`` around another: each stage takes as much longer as it usually takes.

    The difference is spun away. What the system tears into a stage is not doubled: a slower clock
    does not make that longer. A whole chunk counts as a head, nobody waits for the rest of it.
    """

    def __init__(
        self, engine: Engine, profile: Profile, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._engine, self._profile, self._clock = engine, profile, clock
        self._tokens = 0

    def place(self, tokens: Sequence[int], condition: Condition | None = None) -> None:
        """See ``Decoder.place``."""
        self._engine.place(tokens, condition)

    def prefill(self, features: Record) -> None:
        """See ``Engine.prefill``."""
        self._tokens = 0
        self._engine.prefill(features)
        self._spin(self._profile.prefill_ns)

    def next_token(self) -> int:
        """See ``Engine.next_token``."""
        token = self._engine.next_token()
        self._spin(self._profile.token_ns[self._tokens])
        self._tokens += 1
        return token

    def decode(self, prefix: int) -> Float32Array:
        """See ``Decoder.decode``."""
        actions = self._engine.decode(prefix)
        self._spin(self._profile.decode_ns)
        return actions

    def decode_full(self, prefix: int) -> Float32Array:
        """See ``Decoder.decode_full``."""
        actions = self._engine.decode_full(prefix)
        self._spin(self._profile.decode_ns)
        return actions

    def _spin(self, duration_ns: int) -> None:
        end_ns = self._clock() + duration_ns
        while self._clock() < end_ns:
            pass
