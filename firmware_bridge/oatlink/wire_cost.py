"""What a control cycle of an oatlink controller costs between it and the host.

One SETPOINTS of three knots and one TELEMETRY (docs/oatlink.md, sections 2 to 5). Telemetry comes
at the controller's own pace; counted is one per cycle.
"""

from __future__ import annotations

from firmware_bridge.can_bus.bit_time import BitRates
from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.can_bus.wire_cost import frame_ns, noise
from firmware_bridge.oatlink.can_fd import to_can_fd
from firmware_bridge.wire_cost import TimedCost, WireCost

HEADER_AND_CRC = 13
COBS_OVERHEAD = 2
KNOTS = 3
_FRAME_ID = 0x0A0


def wire_cost(joints: int, baud: int) -> WireCost:
    """On a serial line."""
    around = HEADER_AND_CRC + COBS_OVERHEAD
    return WireCost(0, around + _telemetry(joints), around + _setpoints(joints), baud)


def fd_wire_cost(joints: int, rates: BitRates) -> TimedCost:
    """On CAN-FD, where each travels in one frame."""
    telemetry, setpoints = (
        _fd_frame_ns(HEADER_AND_CRC + body, rates)
        for body in (_telemetry(joints), _setpoints(joints))
    )
    return TimedCost(telemetry, setpoints, f"2 frames at {rates.nominal}/{rates.data} bit/s")


def _setpoints(joints: int) -> int:
    return 5 + 2 * (KNOTS - 1) + 2 * KNOTS * joints


def _telemetry(joints: int) -> int:
    return 9 + 6 * joints


def _fd_frame_ns(payload: int, rates: BitRates) -> int:
    length = len(to_can_fd(bytes(payload)))
    return frame_ns(CanFrame(_FRAME_ID, noise(length), fd=True, switch_rate=True), rates)
