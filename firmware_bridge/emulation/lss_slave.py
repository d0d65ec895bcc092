"""The device's side of layer setting services (CiA 305): chosen by identity, given a node id."""

from __future__ import annotations

import struct

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.cia402.lss import (
    CONFIGURATION,
    SELECT_FIRST,
    SELECTED,
    SET_NODE,
    STORE,
    SWITCH_GLOBAL,
    Identity,
    answer,
)
from firmware_bridge.cia402.objects import MAX_NODE

OUT_OF_RANGE = 1
_WORD = struct.Struct("<I")


class LssSlave:
    """``pending`` is the node id that the next reset of communication brings, ``stored`` the one
    that power brings.
    """

    def __init__(self, identity: Identity, node: int) -> None:
        self.identity = identity
        self.pending = self.stored = node
        self._configuring = False
        self._matched = 0  # parts of the identity that fitted so far

    def hear(self, frame: CanFrame) -> list[CanFrame]:
        """Take a frame of the master."""
        if len(frame.data) != 8 or frame.remote:
            return []
        command, data = frame.data[0], frame.data[1:]
        if command == SWITCH_GLOBAL:
            self._configuring, self._matched = data[0] == CONFIGURATION, 0
        elif SELECT_FIRST <= command < SELECT_FIRST + len(self.identity):
            return self._select(command - SELECT_FIRST, _WORD.unpack(data[:4])[0])
        elif command == SET_NODE and self._configuring:
            return [self._set_node(data[0])]
        elif command == STORE and self._configuring:
            self.stored = self.pending
            return [answer(STORE)]
        return []

    def _select(self, part: int, value: int) -> list[CanFrame]:
        in_order = part == 0 or part == self._matched
        self._matched = part + 1 if in_order and value == self.identity[part] else 0
        if self._matched < len(self.identity):
            return []
        self._configuring, self._matched = True, 0
        return [answer(SELECTED)]

    def _set_node(self, node: int) -> CanFrame:
        if not 1 <= node <= MAX_NODE:
            return answer(SET_NODE, bytes((OUT_OF_RANGE,)))
        self.pending = node
        return answer(SET_NODE)
