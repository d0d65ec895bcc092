"""What crosses the border between the runtime and a motor bus.

Units are SI: rad, rad/s, mA, and monotonic nanoseconds. Conversion to a controller's own ticks
stands in its codec and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class JointState:
    """One coherent reading of a bus's joints, in the order of the bus's configuration.

    ``position_rad``, ``velocity_rad_s`` and ``current_ma`` have shape (joints,), float64.
    ``stamp_ns`` is the monotonic time at which the request for the reading had been sent.
    """

    stamp_ns: int
    position_rad: Float64Array
    velocity_rad_s: Float64Array
    current_ma: Float64Array


@final
@dataclass(frozen=True, slots=True)
class SafeSetpoint:
    """Joint targets that passed the safety filter; the only thing that a bus writes.

    Only ``edge.safety`` makes one (a test scans the source for any other maker), and ``part`` takes
    some of its joints. ``position_rad`` has shape (joints,), float64; ``stamp_ns`` is the monotonic
    time of the tick it was made for. ``velocity_rad_s``, shape (joints,) too, is there for robots
    with joints that take velocities: those follow it, and their positions are its integral.
    """

    stamp_ns: int
    position_rad: Float64Array
    velocity_rad_s: Float64Array | None = None

    def part(self, joints: npt.NDArray[np.intp]) -> SafeSetpoint:
        """The targets of some joints (indices), as they are, in that order."""
        velocity_rad_s = None if self.velocity_rad_s is None else self.velocity_rad_s[joints]
        return SafeSetpoint(self.stamp_ns, self.position_rad[joints], velocity_rad_s)
