"""Bringing CiA 402 drives up and down through their object dictionaries."""

from __future__ import annotations

import time

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.can_bus.link import CanLink
from firmware_bridge.cia402.dialect import Cia402Dialect
from firmware_bridge.cia402.network import SdoNetwork
from firmware_bridge.cia402.objects import (
    CSP_SUPPORTED,
    CYCLIC_SYNCHRONOUS_POSITION,
    HOLD_AFTER_QUICK_STOP,
    NMT_ID,
    PDOS,
    QUICK_STOP_ON_LOST_HOST,
    Controlword,
    DriveState,
    NmtCommand,
    Object,
    Pdo,
    drive_state,
)
from firmware_bridge.errors import BridgeError, DeviceError

STATE_TIMEOUT_NS = 500_000_000
PDO_OFF = 0x8000_0000
NO_REMOTE = 0x4000_0000
_WAY_UP = {  # what leads on from each state to "operation enabled"
    DriveState.FAULT: Controlword.FAULT_RESET,
    DriveState.SWITCH_ON_DISABLED: Controlword.SHUTDOWN,
    DriveState.READY_TO_SWITCH_ON: Controlword.SWITCH_ON,
    DriveState.SWITCHED_ON: Controlword.ENABLE_OPERATION,
    DriveState.QUICK_STOP_ACTIVE: Controlword.DISABLE_VOLTAGE,
}


class Cia402Setup:
    """``DeviceSetup`` for the drives of a bus; ``cycle_ms`` is what drives interpolate over."""

    def __init__(
        self,
        link: CanLink,
        network: SdoNetwork,
        nodes: tuple[int, ...],
        dialect: Cia402Dialect,
        host_id: int,
        watchdog_ms: int,
        cycle_ms: int,
    ) -> None:
        self._link = link
        self._network = network
        self._nodes = nodes
        self._dialect = dialect
        self._host_id = host_id
        self._watchdog_ms = watchdog_ms
        self._cycle_ms = cycle_ms

    def check(self) -> None:
        """Each drive must know CSP and have no fault; a drive at rest gets its PDOs.

        A drive that is enabled already keeps them, if they are the ones used here.
        """
        self._dialect.watched = False
        counts: dict[int, int] = {}
        for node in self._nodes:
            if not self._network.read(node, Object.SUPPORTED_DRIVE_MODES) & CSP_SUPPORTED:
                raise DeviceError(f"drive {node} has no cyclic synchronous position mode")
            counts[node] = self._counts_per_turn(node)
            self._prepare(node)
        self._dialect.set_counts_per_turn(counts)

    def _counts_per_turn(self, node: int) -> int:
        increments = self._network.read(node, Object.POSITION_ENCODER_RESOLUTION, 1)
        turns = self._network.read(node, Object.POSITION_ENCODER_RESOLUTION, 2)
        if increments < 1 or turns < 1:
            raise DeviceError(f"drive {node} tells an impossible resolution {increments}/{turns}")
        return increments // turns

    def _prepare(self, node: int) -> None:
        state = self._state(node)
        if state is DriveState.FAULT:
            code = self._network.read(node, Object.ERROR_CODE)
            raise DeviceError(f"drive {node} reports: fault {code:#06x}")
        if state is DriveState.OPERATION_ENABLED:
            self._check_pdos(node)
        else:
            self._configure(node)

    def _configure(self, node: int) -> None:
        self._nmt(NmtCommand.PRE_OPERATIONAL, node)
        for pdo in PDOS:
            self._configure_pdo(node, pdo)
        self._network.write(node, Object.INTERPOLATION_TIME, self._cycle_ms, 1)
        self._network.write(node, Object.INTERPOLATION_TIME, -3, 2)
        self._nmt(NmtCommand.START, node)
        self._dialect.started_anew.discard(node)

    def _nmt(self, command: NmtCommand, node: int) -> None:
        self._link.tell([CanFrame(NMT_ID, bytes((command, node)))])

    def _configure_pdo(self, node: int, pdo: Pdo) -> None:
        """In the order that CiA 301 demands: off, unmapped, mapped, counted, on."""
        write, can_id = self._network.write, pdo.base_id + node
        communication, mapping, entries = pdo.communication, pdo.mapping, pdo.entries
        write(node, communication, PDO_OFF | NO_REMOTE | can_id, 1)
        write(node, communication, pdo.kind, 2)
        write(node, mapping, 0, 0)
        for sub, entry in enumerate(entries, start=1):
            write(node, mapping, entry, sub)
        write(node, mapping, len(entries), 0)
        write(node, communication, NO_REMOTE | can_id, 1)

    def _check_pdos(self, node: int) -> None:
        for pdo in PDOS:
            count = self._network.read(node, pdo.mapping, 0)
            found = tuple(self._network.read(node, pdo.mapping, sub + 1) for sub in range(count))
            if found != pdo.entries:
                raise DeviceError(f"drive {node} is enabled with other PDOs ({pdo.mapping:04x}h)")

    def _state(self, node: int) -> DriveState:
        return drive_state(self._network.read(node, Object.STATUSWORD))

    def enable(self) -> None:
        """Operation enabled where each drive stands; if one fails, those switched on go off."""
        self._dialect.watched = False
        switched: list[int] = []
        try:
            for node in self._nodes:
                if self._state(node) is not DriveState.OPERATION_ENABLED:
                    switched.append(node)
                if node in self._dialect.started_anew:
                    self._configure(node)
                self._enable_drive(node)
            self._arm_heartbeats(self._watchdog_ms)
        except BridgeError:
            self._switch_off(tuple(switched))
            raise
        self._dialect.watched = True

    def _enable_drive(self, node: int) -> None:
        network = self._network
        network.write(node, Object.CONSUMER_HEARTBEAT, 0, 1)
        network.write(node, Object.ABORT_CONNECTION_OPTION, QUICK_STOP_ON_LOST_HOST)
        network.write(node, Object.QUICK_STOP_OPTION, HOLD_AFTER_QUICK_STOP)
        network.write(node, Object.MODES_OF_OPERATION, CYCLIC_SYNCHRONOUS_POSITION)
        network.write(node, Object.TARGET_POSITION, network.read(node, Object.POSITION_ACTUAL))
        deadline_ns = time.monotonic_ns() + STATE_TIMEOUT_NS
        while (state := self._state(node)) is not DriveState.OPERATION_ENABLED:
            if time.monotonic_ns() > deadline_ns:
                raise DeviceError(f"drive {node} does not enable operation: {state.label}")
            if state is DriveState.FAULT:
                network.write(node, Object.CONTROLWORD, Controlword.DISABLE_VOLTAGE)
            if state in _WAY_UP:
                network.write(node, Object.CONTROLWORD, _WAY_UP[state])
            target = network.read(node, Object.POSITION_ACTUAL)
            network.write(node, Object.TARGET_POSITION, target)

    def _arm_heartbeats(self, watchdog_ms: int) -> None:
        entry = self._host_id << 16 | watchdog_ms if watchdog_ms else 0
        for node in self._nodes:
            self._link.tell(self._dialect.heartbeat())
            self._network.write(node, Object.CONSUMER_HEARTBEAT, entry, 1)

    def disable(self) -> None:
        """Voltage off everywhere; raises the first error after every drive has been asked."""
        self._dialect.watched = False
        failures = self._switch_off(self._nodes)
        if failures:
            raise failures[0]

    def _switch_off(self, nodes: tuple[int, ...]) -> list[BridgeError]:
        failures: list[BridgeError] = []
        for node in nodes:
            try:
                self._network.write(node, Object.CONSUMER_HEARTBEAT, 0, 1)
                self._network.write(node, Object.CONTROLWORD, Controlword.DISABLE_VOLTAGE)
                if self._state(node) is DriveState.OPERATION_ENABLED:
                    raise DeviceError(f"drive {node} is still enabled")
            except BridgeError as error:
                failures.append(error)
        return failures

    def raise_if_stopped(self) -> None:
        """Raise for any drive that is no longer in operation."""
        for node in self._nodes:
            state = self._state(node)
            if state is not DriveState.OPERATION_ENABLED:
                raise DeviceError(f"drive {node} left operation: {state.label}; enable again")
