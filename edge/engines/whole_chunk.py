"""For budgets that outlast the head of a chunk: the whole chunk instead."""

from __future__ import annotations

from collections.abc import Sequence

from edge.bundle import Manifest
from edge.engines import Condition, Engine, Float32Array
from edge.rates import period_ns
from edge.shared_memory import Record


class WholeChunk:
    """An ``Engine`` around another, whose ``decode`` gives what ``decode_full`` gives."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._decoded = 0
        self._actions: Float32Array | None = None

    def place(self, tokens: Sequence[int], condition: Condition | None = None) -> None:
        """See ``Decoder.place``."""
        self._engine.place(tokens, condition)
        self._decoded = 0

    def prefill(self, features: Record) -> None:
        """See ``Engine.prefill``."""
        self._engine.prefill(features)
        self._decoded = 0

    def next_token(self) -> int:
        """See ``Engine.next_token``."""
        return self._engine.next_token()

    def decode(self, prefix: int) -> Float32Array:
        """All actions, shape (action_horizon, joints), from the first ``prefix`` tokens."""
        self._actions = self._engine.decode_full(prefix)
        self._decoded = prefix
        return self._actions

    def decode_full(self, prefix: int) -> Float32Array:
        """The same; what was decoded last is not decoded again."""
        if self._actions is not None and prefix == self._decoded:
            return self._actions
        return self.decode(prefix)


def for_budget(engine: Engine, manifest: Manifest, budget_ns: int) -> Engine:
    """The engine as a planner of this budget uses it."""
    return WholeChunk(engine) if outlasts_the_head(budget_ns, manifest) else engine


def outlasts_the_head(budget_ns: int, manifest: Manifest) -> bool:
    """Whether half of a chunk's head is over when a plan of this budget is out.

    Such a head would hardly be followed (``edge.chunks``) before its whole comes.
    """
    action = manifest.action
    return 2 * budget_ns > action.head_steps * period_ns(action.rate_hz)
