"""What a control cycle costs on a wire: bytes times bit time, before any software is counted."""

from __future__ import annotations

from dataclasses import dataclass

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class WireCost:
    """Bytes of one cycle: the question for all joint states, its answers, the setpoints.

    ``bits_per_byte`` counts start and stop bits. The line is half duplex: nothing overlaps.
    """

    question_bytes: int
    answer_bytes: int
    setpoint_bytes: int
    baud: int
    bits_per_byte: int = 10

    @property
    def read_ns(self) -> int:
        """Time that reading all joints keeps the line busy."""
        return self._time_ns(self.question_bytes + self.answer_bytes)

    @property
    def write_ns(self) -> int:
        """Time that writing all setpoints keeps the line busy."""
        return self._time_ns(self.setpoint_bytes)

    @property
    def cycle_ns(self) -> int:
        """Both."""
        return self.read_ns + self.write_ns

    def _time_ns(self, count: int) -> int:
        return -(-count * self.bits_per_byte * NS_PER_S // self.baud)  # rounded up
