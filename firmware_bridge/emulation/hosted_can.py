"""A simulated CAN bus and the motors on it, served from somebody else's loop.

The bus is the one that every client of its channel joins, and its motors are controllers of the
same process: no message of theirs crosses a socket, and their owner's loop serves everything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from firmware_bridge.can_bus.bit_time import BitRates
from firmware_bridge.can_bus.broker import Broker
from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.can_bus.node import Event, EventKind
from firmware_bridge.can_bus.rendezvous import take_channel
from firmware_bridge.emulation.can_motor import CanMotor
from firmware_bridge.emulation.can_robot import REACTION_NS
from firmware_bridge.errors import PortError

NS_PER_MS = 1_000_000
TICK_NS = 5 * NS_PER_MS  # between looks at watchdogs and cyclic frames
ROUNDS = 16  # of frames that answer frames, in one call
TRANSMIT_FRAMES = 16
"""Of a motor, waiting for the bus; where nobody acknowledges, later ones are lost."""


class HostedCan(Broker):
    """The bus of ``channel`` with ``motors`` that share one controller on it.

    ``measure`` is called with the time before motors hear a frame: their measurements are then to
    be those of now. Call ``serve`` whenever a descriptor of ``filenos`` is readable or the time
    ``next_due_ns`` has come. Raises ``PortError`` where the channel has a bus already.
    """

    def __init__(
        self,
        channel: str,
        rates: BitRates,
        motors: Sequence[CanMotor],
        measure: Callable[[int], None],
    ) -> None:
        taken = take_channel(channel)
        if taken is None:
            raise PortError(f"channel {channel} has a bus already")
        super().__init__(channel, rates, *taken)
        self._motors = list(motors)
        self._measure = measure
        self._node = self.bus.attach()
        self._heard: list[CanFrame] = []
        self._tick_ns = time.monotonic_ns()

    def serve(self, now_ns: int) -> None:
        """Hear the clients, let everything on the bus happen until now, and the motors answer."""
        if self.bus.is_landing(now_ns):
            self.hear_clients()  # without asking who said something: each moment makes it later
            self._tell(self.bus.advance(now_ns))
        else:
            self.run_once(0)
        for _ in range(ROUNDS):
            if not self._heard:
                break
            self._answer(now_ns)
            self._tell(self.bus.advance(now_ns))
        if now_ns >= self._tick_ns:
            self._tick_ns = now_ns + TICK_NS
            for motor in self._motors:
                self._say(motor.tick(now_ns), now_ns)

    def _answer(self, now_ns: int) -> None:
        heard, self._heard = self._heard, []
        self._measure(now_ns)
        for frame in heard:
            for motor in self._motors:
                self._say(motor.hear(frame), frame.stamp_ns + REACTION_NS)

    def _say(self, frames: list[CanFrame], ready_ns: int) -> None:
        room = TRANSMIT_FRAMES * len(self._motors) - len(self._node.queue)
        for frame in frames[: max(0, room)]:
            self.bus.queue(self._node, frame, ready_ns)

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            if event.node is self._node and event.kind is EventKind.FRAME and event.frame:
                self._heard.append(event.frame)
        super()._tell(events)

    def filenos(self) -> list[int]:
        """Descriptors that are readable when a client says something, or a new one comes."""
        return [self._listener.fileno(), *self._clients]

    def next_due_ns(self) -> int:
        """Monotonic time at which ``serve`` has something to do of itself."""
        due_ns = self.bus.next_due_ns()
        return self._tick_ns if due_ns is None else min(due_ns, self._tick_ns)
