"""An emulated chain of Feetech STS servos."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from firmware_bridge.emulation.motor import Motor
from firmware_bridge.emulation.wire import Reply
from firmware_bridge.feetech import codec
from firmware_bridge.feetech.codec import Instruction, Packet, PacketParser
from firmware_bridge.feetech.config import CENTRE_TICKS, MA_PER_CURRENT_UNIT, RAD_PER_TICK
from firmware_bridge.feetech.registers import (
    SIGN_BIT,
    WIDTH,
    Register,
    from_sign_magnitude,
    to_sign_magnitude,
)

TABLE_SIZE = 71
EEPROM_END = 40
STS3215 = 777
RETURN_DELAY_UNIT_NS = 2_000
READ_ONLY = (range(5), range(56, TABLE_SIZE))
MAX_TICKS = 4095


class FeetechServo(Motor):
    """One STS servo: memory table, EEPROM lock, torque, status bits.

    Angles count from the centre (2048 ticks). Not modelled: the other operating modes, goal time
    and speed, and the homing offset.
    """

    def __init__(self, joint: int, servo_id: int) -> None:
        super().__init__(joint, servo_id)
        self.table = bytearray(TABLE_SIZE)
        self.status = 0
        for register, value in _DEFAULTS.items():
            self.set(register, value)
        self.set(Register.ID, servo_id)

    def get(self, register: Register) -> int:
        """Value of a register."""
        raw = int.from_bytes(self.table[register : register + WIDTH[register]], "little")
        return from_sign_magnitude(raw, SIGN_BIT[register]) if register in SIGN_BIT else raw

    def set(self, register: Register, value: int) -> None:
        """Set a register, whoever may."""
        raw = to_sign_magnitude(value, SIGN_BIT[register]) if register in SIGN_BIT else value
        self.table[register : register + WIDTH[register]] = raw.to_bytes(WIDTH[register], "little")

    def read(self, address: int, length: int) -> bytes:
        """Bytes of the table with fresh measurements; those beyond its end read 0."""
        self._measure()
        return bytes(self.table[address : address + length]).ljust(length, b"\0")

    def _measure(self) -> None:
        ticks = round(self.position_rad / RAD_PER_TICK) + CENTRE_TICKS
        self.set(Register.PRESENT_POSITION, max(-32767, min(32767, ticks)))
        self.set(Register.PRESENT_SPEED, round(self.velocity_rad_s / RAD_PER_TICK))
        current = round(self.current_ma / MA_PER_CURRENT_UNIT)
        self.set(Register.PRESENT_CURRENT, max(-32767, min(32767, current)))
        self.table[Register.STATUS] = self.status

    def write(self, address: int, data: bytes) -> None:
        """Write bytes; what is read-only or locked stays as it is."""
        for at, byte in enumerate(data, start=address):
            if any(at in part for part in READ_ONLY) or at >= TABLE_SIZE:
                continue
            if at >= EEPROM_END or not self.table[Register.LOCK]:
                self.table[at] = byte
        self._obey(range(address, address + len(data)))

    def _obey(self, written: range) -> None:
        if Register.GOAL_POSITION in written:
            low, high = self.get(Register.MIN_ANGLE_LIMIT), self.get(Register.MAX_ANGLE_LIMIT)
            goal = self.get(Register.GOAL_POSITION)
            if low < high:
                goal = max(low, min(high, goal))
            self.move_to((goal - CENTRE_TICKS) * RAD_PER_TICK)
        if Register.TORQUE_ENABLE in written:
            wanted = self.table[Register.TORQUE_ENABLE] == 1 and not self.status
            self.table[Register.TORQUE_ENABLE] = int(wanted)
            (self.grip if wanted else self.release)()

    def fail(self, bits: int) -> None:
        """Raise status bits; the servo lets go."""
        self.status |= bits
        self.table[Register.TORQUE_ENABLE] = 0
        self.release()

    def aim_here(self) -> None:
        """Make the present position the goal."""
        super().aim_here()
        self._measure()
        self.set(Register.GOAL_POSITION, self.get(Register.PRESENT_POSITION))

    def hold(self) -> None:
        """Torque on where it stands."""
        self.aim_here()
        self.table[Register.TORQUE_ENABLE] = 1
        self.grip()

    def restart(self) -> None:
        """Power lost and back: RAM as at power-on, no torque, no complaints."""
        super().restart()
        self.status = 0
        for register, value in _DEFAULTS.items():
            if register >= EEPROM_END:
                self.set(register, value)


_DEFAULTS = {
    Register.FIRMWARE_MAJOR: 3,
    Register.FIRMWARE_MINOR: 10,
    Register.MODEL_NUMBER: STS3215,
    Register.RESPONSE_LEVEL: 1,
    Register.MAX_ANGLE_LIMIT: MAX_TICKS,
    Register.RETURN_DELAY_TIME: 0,
    Register.TORQUE_ENABLE: 0,
    Register.GOAL_POSITION: CENTRE_TICKS,
    Register.TORQUE_LIMIT: 1000,
    Register.LOCK: 1,
    Register.PRESENT_VOLTAGE: 120,
    Register.PRESENT_TEMPERATURE: 32,
}


class FeetechChain:
    """Lets every servo hear every packet and puts their answers in order (a ``WireDevice``).

    ``tamper`` is called with each answer's bytes and returns what really reaches the host (b""
    loses it): the door for faults.
    """

    def __init__(self, servos: Sequence[FeetechServo]) -> None:
        self.servos = list(servos)
        self.tamper: Callable[[bytes], bytes] | None = None
        self._parser = PacketParser()

    def receive(self, data: bytes, now_ns: int) -> list[Reply]:
        """Take bytes that have arrived on the wire and return the answers to them."""
        del now_ns
        replies: list[Reply] = []
        for packet in self._parser.feed(data):
            replies += self._answers(packet)
        if self.tamper is None:
            return replies
        return [Reply(reply.delay_ns, self.tamper(reply.data)) for reply in replies]

    def _servo(self, servo_id: int) -> FeetechServo | None:
        found = (s for s in self.servos if s.table[Register.ID] == servo_id and s.power)
        return next(found, None)

    def _answers(self, packet: Packet) -> list[Reply]:
        parameters = packet.parameters
        if packet.code == Instruction.SYNC_READ and len(parameters) >= 2:
            asked = [self._servo(i) for i in parameters[2:]]
            return [_reply(s, s.read(parameters[0], parameters[1])) for s in asked if s]
        if packet.code == Instruction.SYNC_WRITE and len(parameters) >= 2:
            self._sync_write(parameters)
            return []
        if packet.device_id == codec.BROADCAST_ID:
            return []
        servo = self._servo(packet.device_id)
        return [] if servo is None else self._answer(servo, packet)

    def _answer(self, servo: FeetechServo, packet: Packet) -> list[Reply]:
        parameters = packet.parameters
        if packet.code == Instruction.PING:
            return [_reply(servo)]
        if packet.code == Instruction.READ and len(parameters) == 2:
            return [_reply(servo, servo.read(*parameters))]
        if packet.code == Instruction.WRITE and len(parameters) >= 2:
            servo.write(parameters[0], parameters[1:])
            return [_reply(servo)] if servo.table[Register.RESPONSE_LEVEL] else []
        if packet.code == Instruction.REBOOT:
            servo.restart()
        return []

    def _sync_write(self, parameters: bytes) -> None:
        address, length = parameters[0], parameters[1]
        for at in range(2, len(parameters) - length, length + 1):
            servo = self._servo(parameters[at])
            if servo is not None:
                servo.write(address, parameters[at + 1 : at + 1 + length])


def _reply(servo: FeetechServo, data: bytes = b"") -> Reply:
    delay_ns = servo.table[Register.RETURN_DELAY_TIME] * RETURN_DELAY_UNIT_NS
    return Reply(delay_ns, codec.encode(servo.table[Register.ID], servo.status, data))
