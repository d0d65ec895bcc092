"""The stages of a servo tick, and which of them made a tick late."""

from __future__ import annotations

from enum import IntEnum

USUAL_WEIGHT = 32  # ticks over which a stage's usual duration is averaged


class Stage(IntEnum):
    """Stages in their order. ``WAKE_UP`` holds all from the due time to the begin of the reading.

    ``NONE`` stands in the record of a tick that was in time.
    """

    NONE = 0
    WAKE_UP = 1
    READ = 2
    DECIDE = 3
    WRITE = 4

    @property
    def label(self) -> str:
        """Its name in reports."""
        return self.name.lower().replace("_", "-")


class StageWatch:
    """Knows how long each stage usually takes, so that the unusual one can be named.

    A serial bus always takes the most of a tick: the culprit is not the longest stage but the one
    that exceeds its usual duration by the most. Late ticks do not count as usual.
    """

    def __init__(self) -> None:
        self._usual_ns = [0, 0, 0, 0]

    @property
    def work_ns(self) -> int:
        """How long a tick's work usually takes, from the begin of the reading to the last byte."""
        return sum(self._usual_ns[1:])

    @property
    def after_reading_ns(self) -> int:
        """How long what follows the reading usually takes."""
        return sum(self._usual_ns[2:])

    def judge(
        self, late: bool, wake_up_ns: int, read_ns: int, decide_ns: int, write_ns: int
    ) -> Stage:
        """The slow stage of a late tick; ``NONE`` of another one, from which it learns."""
        taken = (wake_up_ns, read_ns, decide_ns, write_ns)
        if late:
            return self._slowest(taken)
        usual = self._usual_ns
        for index, taken_ns in enumerate(taken):
            usual[index] += (taken_ns - usual[index]) // USUAL_WEIGHT
        return Stage.NONE

    def _slowest(self, taken: tuple[int, int, int, int]) -> Stage:
        excess = [taken_ns - usual for taken_ns, usual in zip(taken, self._usual_ns, strict=True)]
        return Stage(1 + excess.index(max(excess)))
