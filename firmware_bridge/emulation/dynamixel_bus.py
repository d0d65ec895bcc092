"""A half-duplex chain of emulated servos: bytes in, answers and their timing out."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from firmware_bridge.dynamixel import codec
from firmware_bridge.dynamixel.codec import ErrorNumber, Instruction, Packet, Status
from firmware_bridge.dynamixel.parser import PacketParser
from firmware_bridge.dynamixel.registers import Register
from firmware_bridge.dynamixel.units import RETURN_DELAY_UNIT_US, WATCHDOG_UNIT_MS
from firmware_bridge.emulation.dynamixel_servo import DynamixelServo
from firmware_bridge.emulation.wire import Reply

_BULK_BLOCK = struct.Struct("<BHH")  # id, address, length


class EmulatedDynamixelBus:
    """Lets every servo hear every packet and puts their answers in order.

    ``absent`` ids are silent, as if unplugged. ``tamper`` is called with each answer's bytes and
    returns what really reaches the host (b"" loses it): the door for faults. The manual leaves open
    what follows a silent servo in a sync read: here the others answer plainly, and a common (fast)
    answer ends before it. ``measure`` is called before a servo's measurements are looked at.
    """

    def __init__(self, servos: Sequence[DynamixelServo]) -> None:
        self.servos = list(servos)
        self.absent: set[int] = set()
        self.tamper: Callable[[bytes], bytes] | None = None
        self.watchdog_trips = 0
        self.measure: Callable[[], None] = lambda: None
        self.changed = True  # a write or a trip happened since the plant last took its goals
        self._named: dict[int, list[DynamixelServo]] = {}
        self._following: dict[int, list[DynamixelServo]] = {}
        self._parser = PacketParser()
        self._heard_ns: int | None = None
        self._handlers: dict[int, Callable[[Packet], list[Reply]]] = {
            Instruction.PING: self._ping,
            Instruction.READ: self._read,
            Instruction.WRITE: self._write,
            Instruction.REBOOT: self._reboot,
            Instruction.SYNC_READ: self._sync_read,
            Instruction.SYNC_WRITE: self._sync_write,
            Instruction.FAST_SYNC_READ: self._fast_sync_read,
            Instruction.BULK_READ: self._bulk_read,
            Instruction.BULK_WRITE: self._bulk_write,
        }

    def receive(self, data: bytes, now_ns: int) -> list[Reply]:
        """Take bytes that have arrived on the wire and return the answers to them."""
        replies: list[Reply] = []
        for packet in self._parser.feed(data):
            if packet.instruction == Instruction.STATUS:
                continue
            self._heard_ns = now_ns
            self._call_the_roll()
            handler = self._handlers.get(packet.instruction, self._unknown)
            replies += self._tampered(handler(packet))
        return replies

    def check_watchdogs(self, now_ns: int) -> None:
        """Trip the watchdog of each servo that has heard no instruction for too long."""
        if self._heard_ns is None:
            return
        silence_ns = now_ns - self._heard_ns
        if silence_ns <= WATCHDOG_UNIT_MS * 1_000_000:
            return
        self.measure()
        for servo in self.servos:
            if servo.check_watchdog(silence_ns):
                self.watchdog_trips += 1
                self.changed = True

    def _tampered(self, replies: list[Reply]) -> list[Reply]:
        if self.tamper is None:
            return replies
        return [Reply(reply.delay_ns, self.tamper(reply.data)) for reply in replies]

    def _call_the_roll(self) -> None:
        """Who hears the coming packet under which id: a servo takes one in with the ids it has."""
        self._named, self._following = {}, {}
        for servo in self.servos:
            servo_id, secondary_id = servo.servo_id, servo.secondary_id
            if servo_id in self.absent:
                continue
            self._named.setdefault(servo_id, []).append(servo)
            if secondary_id is not None and secondary_id != servo_id:
                self._following.setdefault(secondary_id, []).append(servo)

    def _addressed(self, device_id: int) -> list[DynamixelServo]:
        """Servos that answer to an id, in the order of their ids."""
        if device_id == codec.BROADCAST_ID:
            return [servo for servo_id in sorted(self._named) for servo in self._named[servo_id]]
        return self._named.get(device_id, [])

    def _ping(self, packet: Packet) -> list[Reply]:
        return [
            _reply(
                servo, ErrorNumber.NONE, servo.read(Register.MODEL_NUMBER, 2)[1] + _firmware(servo)
            )
            for servo in self._addressed(packet.device_id)
        ]

    def _read(self, packet: Packet) -> list[Reply]:
        if len(packet.parameters) != 4 or packet.device_id == codec.BROADCAST_ID:
            return self._unknown(packet)
        address, length = struct.unpack("<HH", packet.parameters)
        self.measure()
        return [
            _reply(servo, *servo.read(address, length))
            for servo in self._addressed(packet.device_id)
            if servo.return_level >= 1
        ]

    def _write(self, packet: Packet) -> list[Reply]:
        if len(packet.parameters) < 3:
            return self._unknown(packet)
        address = int.from_bytes(packet.parameters[:2], "little")
        answers = self._write_one(packet.device_id, address, packet.parameters[2:])
        if packet.device_id == codec.BROADCAST_ID:
            return []
        return [_reply(servo, error) for servo, error in answers if servo.return_level == 2]

    def _write_one(
        self, device_id: int, address: int, data: bytes
    ) -> list[tuple[DynamixelServo, int]]:
        """Write to whoever hears the id; returns the error of each whose own id it is."""
        self.changed = True
        for follower in self._following.get(device_id, ()):
            follower.write(address, data, ram_only=True)
        return [(servo, servo.write(address, data)) for servo in self._addressed(device_id)]

    def _sync_write(self, packet: Packet) -> list[Reply]:
        parameters = packet.parameters
        address = int.from_bytes(parameters[:2], "little")
        length = int.from_bytes(parameters[2:4], "little")
        if length == 0 or len(parameters) < 4 or (len(parameters) - 4) % (length + 1):
            return []
        for at in range(4, len(parameters), length + 1):
            self._write_one(parameters[at], address, parameters[at + 1 : at + 1 + length])
        return []

    def _bulk_write(self, packet: Packet) -> list[Reply]:
        """Blocks of id, address, length and data; nobody answers. A block cut off counts not."""
        parameters, at = packet.parameters, 0
        while at + _BULK_BLOCK.size <= len(parameters):
            device_id, address, length = _BULK_BLOCK.unpack_from(parameters, at)
            at += _BULK_BLOCK.size
            data = parameters[at : at + length]
            if not data or len(data) < length:
                break
            self._write_one(device_id, address, data)
            at += length
        return []

    def _bulk_read(self, packet: Packet) -> list[Reply]:
        """Blocks of id, address and length: each servo answers by itself, in their order."""
        if packet.device_id != codec.BROADCAST_ID or len(packet.parameters) % _BULK_BLOCK.size:
            return []
        self.measure()
        return [
            _reply(servo, *servo.read(address, length))
            for device_id, address, length in _BULK_BLOCK.iter_unpack(packet.parameters)
            for servo in self._addressed(device_id)[:1]
        ]

    def _reboot(self, packet: Packet) -> list[Reply]:
        self.changed = True
        servos = self._addressed(packet.device_id)
        replies = [_reply(servo, ErrorNumber.NONE) for servo in servos if servo.return_level == 2]
        for servo in servos:
            servo.reboot()
        return [] if packet.device_id == codec.BROADCAST_ID else replies

    def _sync_read(self, packet: Packet) -> list[Reply]:
        return [_reply(servo, *answer) for servo, answer in self._sync_answers(packet) if servo]

    def _fast_sync_read(self, packet: Packet) -> list[Reply]:
        answers: list[Status] = []
        delay_ns = 0
        asked = self._sync_answers(packet)
        for servo, (error, data) in asked:
            if servo is None:
                break
            delay_ns += _delay_ns(servo)
            answers.append(Status(servo.servo_id, error | servo.alert, data))
        if not answers:
            return []
        whole = codec.fast_sync_status(answers)
        if len(answers) < len(asked):  # the header promised more: the host sees a packet cut off
            return [Reply(delay_ns, whole[: -codec.CRC_LENGTH])]
        return [Reply(delay_ns, whole)]

    def _sync_answers(
        self, packet: Packet
    ) -> list[tuple[DynamixelServo | None, tuple[int, bytes]]]:
        """What each asked servo answers, in the question's order; None stands for a silent one."""
        if packet.device_id != codec.BROADCAST_ID or len(packet.parameters) < 5:
            return []
        address, length = struct.unpack_from("<HH", packet.parameters)
        self.measure()
        found = [next(iter(self._addressed(i)), None) for i in packet.parameters[4:]]
        return [(servo, servo.read(address, length) if servo else (0, b"")) for servo in found]

    def _unknown(self, packet: Packet) -> list[Reply]:
        if packet.device_id == codec.BROADCAST_ID:
            return []
        return [
            _reply(servo, ErrorNumber.INSTRUCTION)
            for servo in self._addressed(packet.device_id)
            if servo.return_level == 2
        ]


def _firmware(servo: DynamixelServo) -> bytes:
    return servo.read(Register.FIRMWARE_VERSION, 1)[1]


def _delay_ns(servo: DynamixelServo) -> int:
    return servo.table[Register.RETURN_DELAY_TIME] * RETURN_DELAY_UNIT_US * 1000


def _reply(servo: DynamixelServo, error: int, data: bytes = b"") -> Reply:
    return Reply(_delay_ns(servo), codec.status(servo.servo_id, error | servo.alert, data))
