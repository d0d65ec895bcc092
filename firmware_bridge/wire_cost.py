"""What a control cycle costs on a wire: bits times bit time, before any software is counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

NS_PER_S = 1_000_000_000


class CycleCost(Protocol):
    """The wire time of one cycle. What is written and what is read do not overlap."""

    @property
    def read_ns(self) -> int:
        """Time that reading all joints keeps the line busy."""

    @property
    def write_ns(self) -> int:
        """Time that writing all setpoints keeps the line busy."""

    @property
    def cycle_ns(self) -> int:
        """Both."""

    @property
    def text(self) -> str:
        """What it is made of, for a person."""


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

    @property
    def text(self) -> str:
        """Bytes of a cycle, and the baud rate."""
        count = self.question_bytes + self.answer_bytes + self.setpoint_bytes
        return f"{count} bytes at {self.baud} baud"

    def _time_ns(self, count: int) -> int:
        return -(-count * self.bits_per_byte * NS_PER_S // self.baud)  # rounded up


@dataclass(frozen=True, slots=True)
class TimedCost:
    """Times that a protocol states of itself, and what they are made of."""

    read_ns: int
    write_ns: int
    text: str

    @property
    def cycle_ns(self) -> int:
        """Both."""
        return self.read_ns + self.write_ns
