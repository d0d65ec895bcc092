"""One reading of the robot's joints, and the reader of a robot with one bus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from firmware_bridge.bus import JointBus
from firmware_bridge.errors import BusTimeout, DeviceError, ProtocolError
from firmware_bridge.messages import JointState


@dataclass(frozen=True, slots=True)
class Reading:
    """The last good state of the joints, whether this tick brought all of it, and if not, why.

    ``refused``: a device says that it has stopped, or its port is gone: it must be enabled anew.
    """

    state: JointState | None
    fresh: bool
    fault: str
    refused: bool = False


class Reader(Protocol):
    """Where readings come from."""

    def read(self) -> Reading:
        """This tick's reading. Raises PortError when there is no port left at all."""


class JointReader:
    """Reads the bus once a tick. A lost or broken answer ages the last state, nothing worse."""

    def __init__(self, bus: JointBus) -> None:
        self._bus = bus
        self._state: JointState | None = None

    def read(self) -> Reading:
        """One transaction on the bus. Raises PortError when the port itself is gone."""
        try:
            self._state = self._bus.read_state()
        except (BusTimeout, ProtocolError) as error:
            return Reading(self._state, False, str(error))
        except DeviceError as error:
            return Reading(self._state, False, str(error), refused=True)
        return Reading(self._state, True, "")
