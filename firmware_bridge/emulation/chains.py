"""Chains of emulated servos as robots ship with them."""

from __future__ import annotations

from firmware_bridge.dynamixel.registers import DRIVE_MODE_REVERSE, Register
from firmware_bridge.emulation.control_table import XM430_W350
from firmware_bridge.emulation.dynamixel_servo import DynamixelServo, Mount

BAUD_CODE_1M = 3
VIPERX_IDS = (1, 2, 4, 6, 7, 8, 9)
VIPERX_SHADOWS = {2: 3, 4: 5}
VIPERX_SMALL = (8, 9)  # XM430; the others are XM540


def plain_chain(joints: int) -> list[DynamixelServo]:
    """Servos 1, 2, 3, … one per joint."""
    return [_servo(joint + 1, Mount(joint)) for joint in range(joints)]


def viperx_chain() -> list[DynamixelServo]:
    """The nine servos of a ViperX-300 S in joint order, leaders before their shadows.

    Servos 3 and 5 face their leaders, so they are mounted and driven in reverse, and their
    secondary id makes them follow (the maker's default set-up).
    """
    chain = []
    for joint, servo_id in enumerate(VIPERX_IDS):
        chain.append(_servo(servo_id, Mount(joint)))
        if servo_id in VIPERX_SHADOWS:
            chain.append(_shadow(VIPERX_SHADOWS[servo_id], joint, servo_id))
    for servo in chain:
        if servo.servo_id in VIPERX_SMALL:
            servo.table[Register.MODEL_NUMBER] = XM430_W350
    return chain


def _servo(servo_id: int, mount: Mount) -> DynamixelServo:
    servo = DynamixelServo(servo_id, mount)
    servo.table[Register.RETURN_DELAY_TIME] = 0
    servo.table[Register.BAUD_RATE] = BAUD_CODE_1M
    return servo


def _shadow(servo_id: int, joint: int, leader_id: int) -> DynamixelServo:
    servo = _servo(servo_id, Mount(joint, direction=-1))
    servo.table[Register.SECONDARY_ID] = leader_id
    servo.table[Register.DRIVE_MODE] = DRIVE_MODE_REVERSE
    return servo
