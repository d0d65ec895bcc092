"""Bringing servos up and down, one verified question at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from firmware_bridge.dynamixel.config import DynamixelConfig
from firmware_bridge.dynamixel.link import ServoLink
from firmware_bridge.dynamixel.registers import OperatingMode, Register, describe_hardware_error
from firmware_bridge.dynamixel.units import INT32_LIMIT, Float64Array, watchdog_units
from firmware_bridge.errors import BridgeError, DeviceError

WATCHDOG_TRIPPED = -1
_SINGLE_TURN = (OperatingMode.POSITION,)


class ServoSetup:
    """Check, enable and disable for all servos of a bus."""

    def __init__(self, link: ServoLink, config: DynamixelConfig) -> None:
        self._link = link
        self._config = config

    def check(self) -> tuple[Float64Array, Float64Array]:
        """Check every servo; returns the lowest and highest goal of each joint [ticks], (joints,).

        A servo without torque gets return delay 0 and its watchdog cleared, which moves nothing;
        one that holds a load is left as it is. Raises ``BusTimeout`` or ``DeviceError``.
        """
        for device_id in self._config.all_ids:
            self._link.ping(device_id)
            self._check_servo(device_id)
        for leader, followers in self._config.shadows.items():
            for follower in followers:
                self._check_shadow(leader, follower)
        limits = np.array([self._goal_limits(i) for i in self._config.ids], dtype=np.float64)
        return limits[:, 0], limits[:, 1]

    def _check_servo(self, device_id: int) -> None:
        mode = self._link.read(device_id, Register.OPERATING_MODE)
        if mode not in OperatingMode.__members__.values():
            raise DeviceError(f"servo {device_id} is in operating mode {mode}, not a position mode")
        self._raise_hardware_error(device_id)
        if self._has_torque(device_id):
            return
        if self._link.read(device_id, Register.RETURN_DELAY_TIME):
            self._link.write(device_id, Register.RETURN_DELAY_TIME, 0)
        self._link.write(device_id, Register.BUS_WATCHDOG, 0)

    def _check_shadow(self, leader: int, follower: int) -> None:
        secondary_id = self._link.read(follower, Register.SECONDARY_ID)
        if secondary_id != leader:
            raise DeviceError(
                f"servo {follower} has secondary id {secondary_id}, so it does not follow {leader}"
            )

    def _goal_limits(self, device_id: int) -> tuple[int, int]:
        if self._link.read(device_id, Register.OPERATING_MODE) not in _SINGLE_TURN:
            return -INT32_LIMIT, INT32_LIMIT
        low = self._link.read(device_id, Register.MIN_POSITION_LIMIT)
        return low, self._link.read(device_id, Register.MAX_POSITION_LIMIT)

    def _raise_hardware_error(self, device_id: int) -> None:
        bits = self._link.read(device_id, Register.HARDWARE_ERROR_STATUS)
        if bits:
            raise DeviceError(f"servo {device_id} reports: {describe_hardware_error(bits)}")

    def _has_torque(self, device_id: int) -> bool:
        return self._link.read(device_id, Register.TORQUE_ENABLE) == 1

    def enable(self) -> None:
        """Torque on where the arm stands; if one servo fails, those switched on here go off."""
        switched: list[int] = []
        try:
            for device_id in self._config.ids:
                if not self._has_torque(device_id):
                    switched.append(device_id)
                self._enable_servo(device_id)
            for device_id in self._config.shadow_ids:
                self._verify_follower(device_id)
        except BridgeError:
            self._switch_off(tuple(switched))
            raise
        self._arm_watchdogs()

    def _enable_servo(self, device_id: int) -> None:
        link = self._link
        link.write(device_id, Register.BUS_WATCHDOG, 0)  # a tripped one refuses goals
        link.write(device_id, Register.PROFILE_ACCELERATION, 0)
        link.write(device_id, Register.PROFILE_VELOCITY, 0)  # the stream itself is smooth
        present = link.read(device_id, Register.PRESENT_POSITION)
        low, high = self._goal_limits(device_id)
        if not low <= present <= high:
            raise DeviceError(
                f"servo {device_id} stands at {present}, outside {low} to {high} ticks"
            )
        link.write(device_id, Register.GOAL_POSITION, present)
        link.write(device_id, Register.TORQUE_ENABLE, 1)
        if not self._has_torque(device_id):
            raise DeviceError(f"servo {device_id} confirmed torque and has none")

    def _verify_follower(self, device_id: int) -> None:
        if not self._has_torque(device_id):
            raise DeviceError(f"servo {device_id} has no torque although its leader has")

    def _arm_watchdogs(self) -> None:
        units = watchdog_units(self._config.watchdog_ms)
        for device_id in self._config.all_ids:
            self._link.write(device_id, Register.BUS_WATCHDOG, units)

    def raise_if_watchdog_tripped(self) -> None:
        """Raise ``DeviceError`` if one of the servos stopped because this side had been silent."""
        for device_id in self._config.ids:
            if self._link.read(device_id, Register.BUS_WATCHDOG) == WATCHDOG_TRIPPED:
                raise DeviceError(
                    f"servo {device_id} stopped: its bus watchdog tripped; enable again"
                )

    def raise_if_limp(self, ids: Sequence[int]) -> None:
        """Raise ``DeviceError`` naming the first of these servos that has no torque."""
        for device_id in ids:
            if not self._has_torque(device_id):
                raise DeviceError(f"servo {device_id} was silent and has no torque: it rebooted")

    def disable(self) -> None:
        """Torque off everywhere; raises the first error after every servo has been asked."""
        failures = self._switch_off(self._config.all_ids)
        if failures:
            raise failures[0]

    def _switch_off(self, ids: tuple[int, ...]) -> list[BridgeError]:
        failures: list[BridgeError] = []
        for device_id in ids:
            try:
                self._link.write(device_id, Register.TORQUE_ENABLE, 0)
                self._link.write(device_id, Register.BUS_WATCHDOG, 0)
            except BridgeError as error:
                failures.append(error)
        return failures
