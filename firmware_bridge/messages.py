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

    Only ``edge.safety`` makes one (a test scans the source for any other maker). ``position_rad``
    has shape (joints,), float64; ``stamp_ns`` is the monotonic time of the tick it was made for.
    """

    stamp_ns: int
    position_rad: Float64Array
