"""Bringing servos up and down, one verified question at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from firmware_bridge.errors import BridgeError, DeviceError
from firmware_bridge.feetech.config import TICKS_PER_TURN
from firmware_bridge.feetech.link import ServoLink
from firmware_bridge.feetech.registers import POSITION_MODE, Register
from firmware_bridge.messages import Float64Array


class ServoSetup:
    """Check, enable and disable for all servos of a bus."""

    def __init__(self, link: ServoLink, ids: tuple[int, ...]) -> None:
        self._link = link
        self._ids = ids

    def check(self) -> tuple[Float64Array, Float64Array]:
        """Check every servo; returns the lowest and highest goal of each [ticks], (joints,).

        A servo without torque gets return delay 0, which moves nothing. Raises ``BusTimeout`` or
        ``DeviceError``.
        """
        for device_id in self._ids:
            self._link.raise_status(device_id)
            mode = self._link.read(device_id, Register.OPERATING_MODE)
            if mode != POSITION_MODE:
                raise DeviceError(f"servo {device_id} is in operating mode {mode}, not position")
            if not self._has_torque(device_id):
                self._shorten_answers(device_id)
        limits = np.array([self._goal_limits(i) for i in self._ids], dtype=np.float64)
        return limits[:, 0], limits[:, 1]

    def _shorten_answers(self, device_id: int) -> None:
        if self._link.read(device_id, Register.RETURN_DELAY_TIME):
            self._link.write(device_id, Register.LOCK, 0)  # else the EEPROM does not take it
            self._link.write(device_id, Register.RETURN_DELAY_TIME, 0)
            self._link.write(device_id, Register.LOCK, 1)

    def _goal_limits(self, device_id: int) -> tuple[int, int]:
        """Angle limits; both 0 stands for none."""
        low = self._link.read(device_id, Register.MIN_ANGLE_LIMIT)
        high = self._link.read(device_id, Register.MAX_ANGLE_LIMIT)
        return (low, high) if low < high else (0, TICKS_PER_TURN - 1)

    def _has_torque(self, device_id: int) -> bool:
        return self._link.read(device_id, Register.TORQUE_ENABLE) == 1

    def enable(self) -> None:
        """Torque on where the arm stands; if one servo fails, those switched on here go off."""
        switched: list[int] = []
        try:
            for device_id in self._ids:
                if not self._has_torque(device_id):
                    switched.append(device_id)
                self._enable_servo(device_id)
        except BridgeError:
            self._switch_off(tuple(switched))
            raise

    def _enable_servo(self, device_id: int) -> None:
        link = self._link
        link.raise_status(device_id)
        link.write(device_id, Register.ACCELERATION, 0)
        link.write(device_id, Register.GOAL_SPEED, 0)  # 0: no limit; the stream itself is smooth
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

    def raise_if_limp(self, ids: Sequence[int]) -> None:
        """Raise ``DeviceError`` naming the first of these servos that has no torque."""
        for device_id in ids:
            if not self._has_torque(device_id):
                raise DeviceError(f"servo {device_id} was silent and has no torque: it rebooted")

    def disable(self) -> None:
        """Torque off everywhere; raises the first error after every servo has been asked."""
        failures = self._switch_off(self._ids)
        if failures:
            raise failures[0]

    def _switch_off(self, ids: tuple[int, ...]) -> list[BridgeError]:
        failures: list[BridgeError] = []
        for device_id in ids:
            try:
                self._link.write(device_id, Register.TORQUE_ENABLE, 0)
            except BridgeError as error:
                failures.append(error)
        return failures
