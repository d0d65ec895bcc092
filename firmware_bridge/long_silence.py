"""Devices that were silent for so long that they may have rebooted, which their answers hide."""

from __future__ import annotations

from collections.abc import Sequence

REBOOT_NS = 100_000_000  # no servo is quicker


class LongSilence:
    """Notes who did not answer; says afterwards whom to ask whether it still has its torque."""

    def __init__(self) -> None:
        self._silent: set[int] = set()
        self._since_ns = 0

    def note(self, missing: Sequence[int], now_ns: int) -> None:
        """These ids have not answered a reading that began at ``now_ns``."""
        if not self._silent:
            self._since_ns = now_ns
        self._silent.update(missing)

    def end(self, now_ns: int) -> list[int]:
        """All answer again: the ids to be asked, in order; none after a short silence."""
        silent, self._silent = sorted(self._silent), set()
        return silent if now_ns - self._since_ns > REBOOT_NS else []

    def forget(self) -> None:
        """Whatever has been, torque is on now."""
        self._silent.clear()
