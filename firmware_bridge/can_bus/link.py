"""Question and answer with single devices: for set-up and faults, not for the cycle."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.errors import BusTimeout
from firmware_bridge.transports.can_port import CanTransport

ATTEMPTS = 3
ANSWER_TIMEOUT_NS = 100_000_000
Answer = TypeVar("Answer")


class CanLink:
    """Sends a question and waits for the frame that answers it."""

    def __init__(self, transport: CanTransport, timeout_ns: int = ANSWER_TIMEOUT_NS) -> None:
        self._transport = transport
        self._timeout_ns = timeout_ns

    def ask(
        self,
        question: Sequence[CanFrame],
        answer: Callable[[CanFrame], Answer | None],
        what: str,
        attempts: int = ATTEMPTS,
    ) -> Answer:
        """Return what ``answer`` makes of the first frame that it does not say None to.

        Raises ``BusTimeout`` saying "{what}: no answer", after ``attempts`` questions.
        """
        for _ in range(attempts):
            self._transport.flush()
            self._transport.send(question)
            found = self.listen(answer)
            if found is not None:
                return found
        raise BusTimeout(f"{what}: no answer")

    def listen(
        self, answer: Callable[[CanFrame], Answer | None], timeout_ns: int | None = None
    ) -> Answer | None:
        """Wait for an answer without a question; None when none comes in time."""
        deadline_ns = time.monotonic_ns() + (timeout_ns or self._timeout_ns)
        while (frame := self._transport.receive(deadline_ns)) is not None:
            found = answer(frame)
            if found is not None:
                return found
        return None

    def forget(self) -> None:
        """Throw away what has come so far, so that ``listen`` hears only what is new."""
        self._transport.flush()

    def tell(self, frames: Sequence[CanFrame]) -> None:
        """Send frames that have no answer."""
        self._transport.send(frames)
