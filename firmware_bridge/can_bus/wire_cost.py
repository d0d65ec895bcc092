"""What a control cycle costs on a CAN bus, by protocol: its frames to the bit, and the gaps.

Data are taken to need as few stuff bits as real values do; no bus can be faster.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.can_bus.bit_time import INTERMISSION_BITS, NS_PER_S, BitRates, frame_bits
from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.wire_cost import TimedCost

_TYPICAL = bytes.fromhex("3f1aa50c7e9344d2") * 8


@dataclass(frozen=True, slots=True)
class CanCycle:
    """Frames of one cycle: those that every joint needs, and the setpoints that all share.

    Where answers to setpoints are the next reading, nothing else asks for them.
    """

    read: tuple[CanFrame, ...]
    write: tuple[CanFrame, ...]
    shared: tuple[CanFrame, ...] = ()

    def cost(self, joints: int, rates: BitRates) -> TimedCost:
        """Of so many joints."""
        read_ns = joints * sum(frame_ns(frame, rates) for frame in self.read)
        write_ns = joints * sum(frame_ns(frame, rates) for frame in self.write)
        write_ns += sum(frame_ns(frame, rates) for frame in self.shared)
        frames = joints * (len(self.read) + len(self.write)) + len(self.shared)
        is_fd = any(frame.fd for frame in (*self.read, *self.write))
        speed = f"{rates.nominal}/{rates.data}" if is_fd else f"{rates.nominal}"
        return TimedCost(read_ns, write_ns, f"{frames} frames at {speed} bit/s")


def noise(length: int) -> bytes:
    """Data of a length."""
    return _TYPICAL[:length]


def frame_ns(frame: CanFrame, rates: BitRates) -> int:
    """A frame, and the gap behind it."""
    gap_ns = INTERMISSION_BITS * NS_PER_S // rates.nominal
    return rates.duration_ns(frame_bits(frame)) + gap_ns


def _classic(can_id: int, length: int, remote: bool = False) -> CanFrame:
    return CanFrame(can_id, noise(length), remote=remote)


def _fd(can_id: int, length: int) -> CanFrame:
    return CanFrame(can_id, noise(length), can_id > 0x7FF, fd=True, switch_rate=True)


CYCLES = {
    "odrive": CanCycle((_classic(0x09, 8, remote=True), _classic(0x09, 8)), (_classic(0x0C, 8),)),
    "damiao": CanCycle((_classic(0x11, 8),), (_classic(0x01, 8),)),
    "moteus": CanCycle((_fd(0x100, 20),), (_fd(0x8001, 24),)),
    "cia402": CanCycle((_classic(0x181, 8),), (_classic(0x201, 6),), (CanFrame(0x80),)),
}
