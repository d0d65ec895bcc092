"""Where ``canopen`` puts what an emulated node says."""

from __future__ import annotations

from typing import Any

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.emulation.can_motor import NS_PER_MS


class Outbox:
    """The two methods of a python-can bus that ``canopen`` needs, in front of a list of frames."""

    def __init__(self) -> None:
        self.frames: list[CanFrame] = []
        self._periodic: list[Periodic] = []

    def send(self, message: Any) -> None:
        """Keep a message until it is taken."""
        self.frames.append(CanFrame(message.arbitration_id, bytes(message.data)))

    def send_periodic(self, message: Any, period: float) -> Periodic:
        """Repeat a message every ``period`` [s], from the next tick on."""
        task = Periodic(message, round(period * 1000) * NS_PER_MS)
        self._periodic.append(task)
        return task

    def tick(self, now_ns: int) -> None:
        """Send what is due again."""
        self._periodic = [task for task in self._periodic if not task.stopped]
        for task in self._periodic:
            if now_ns >= task.due_ns:
                task.due_ns = max(task.due_ns + task.period_ns, now_ns)
                self.send(task.message)

    def take(self) -> list[CanFrame]:
        """The frames sent since the last call."""
        frames, self.frames = self.frames, []
        return frames


class Periodic:
    """A message that is repeated until stopped."""

    def __init__(self, message: Any, period_ns: int) -> None:
        self.message = message
        self.period_ns = period_ns
        self.due_ns = 0
        self.stopped = False

    def modify_data(self, message: Any) -> None:
        """Go on with another message."""
        self.message = message

    def stop(self) -> None:
        """Repeat no more."""
        self.stopped = True
