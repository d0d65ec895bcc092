"""Error counters and states of one CAN controller (ISO 11898-1:2015, 12.1.4 fault confinement)."""

from __future__ import annotations

from enum import Enum

WARNING_LIMIT = 96
PASSIVE_LIMIT = 127
BUS_OFF_LIMIT = 255
STEP = 8
RECEIVE_AFTER_PASSIVE = 119  # the standard allows 119 to 127
RECEIVE_CEILING = 255


class ErrorState(Enum):
    """What a controller may do: everything, no dominant error flags, nothing."""

    ACTIVE = "error-active"
    WARNING = "error-warning"  # active, and close to passive
    PASSIVE = "error-passive"
    BUS_OFF = "bus-off"


class ErrorCounters:
    """Transmit and receive error counter; each method is one rule of the standard."""

    def __init__(self) -> None:
        self.transmit = 0
        self.receive = 0
        self._bus_off = False

    @property
    def state(self) -> ErrorState:
        """The state that the counters amount to; bus-off stays until ``recover``."""
        if self._bus_off:
            return ErrorState.BUS_OFF
        worst = max(self.transmit, self.receive)
        if worst > PASSIVE_LIMIT:
            return ErrorState.PASSIVE
        return ErrorState.WARNING if worst >= WARNING_LIMIT else ErrorState.ACTIVE

    @property
    def on_bus(self) -> bool:
        """Tell whether the controller takes part."""
        return not self._bus_off

    @property
    def passive(self) -> bool:
        """Tell whether it is error-passive."""
        return self.state is ErrorState.PASSIVE

    def sent(self) -> None:
        """A frame of its own went through."""
        self.transmit = max(0, self.transmit - 1)

    def received(self) -> None:
        """A frame of another node arrived whole."""
        if self.receive > PASSIVE_LIMIT:
            self.receive = RECEIVE_AFTER_PASSIVE
        else:
            self.receive = max(0, self.receive - 1)

    def transmission_failed(self, steps: int = 1) -> None:
        """Errors while it was transmitting; beyond the limit it goes bus-off."""
        self.transmit += STEP * steps
        if self.transmit > BUS_OFF_LIMIT:
            self._bus_off = True

    def acknowledge_missing(self) -> None:
        """Nobody acknowledged; an error-passive transmitter does not count that."""
        if not self.passive:
            self.transmission_failed()

    def reception_failed(self, first: bool = False, dominant_steps: int = 0) -> None:
        """An error in a frame of another node: 1, and 8 more for the node that saw it first.

        ``dominant_steps``: times that the bus stayed dominant for 8 bits after its error flag.
        """
        step = 1 + (STEP if first else 0) + STEP * dominant_steps
        self.receive = min(RECEIVE_CEILING, self.receive + step)

    def recover(self) -> None:
        """Back after 128 times 11 recessive bits: both counters at 0."""
        self.transmit = self.receive = 0
        self._bus_off = False
