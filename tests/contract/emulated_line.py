"""An emulated robot that runs in a thread while a test talks to its port."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from firmware_bridge.emulation.dynamixel_servo import DynamixelServo
from firmware_bridge.emulation.paced_pty import PacedPty
from firmware_bridge.emulation.plant import FirstOrderPlant
from firmware_bridge.emulation.robot import EmulatedRobot

TURN_NS = 5_000_000
PATIENCE_S = 10.0
LOOKS = 2000  # 10 s at least


class EmulatedLine:
    """Context manager: ``robot`` runs until the block ends or ``unplug`` is called."""

    def __init__(self, servos: Sequence[DynamixelServo], endpoint: PacedPty) -> None:
        joints = 1 + max(servo.mount.joint for servo in servos)
        self.plant = FirstOrderPlant(joints)
        self.robot = EmulatedRobot(self.plant, servos, endpoint)
        self.bus = self.robot.bus
        self.path = endpoint.path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def servo(self, servo_id: int) -> DynamixelServo:
        return next(servo for servo in self.bus.servos if servo.servo_id == servo_id)

    def unplug(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self.robot.endpoint.close()

    def __enter__(self) -> EmulatedLine:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.unplug()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.robot.run_until(time.monotonic_ns() + TURN_NS)


def eventually(holds: Callable[[], bool]) -> bool:
    """Wait until ``holds``, for a bounded number of looks: clocks run on while a busy machine keeps
    everything here waiting.
    """
    for _ in range(LOOKS):
        if holds():
            return True
        time.sleep(0.005)
    return False
