"""A host's end of an oatlink: frames out and in, requests until answered, the clock."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TypeVar

from firmware_bridge.errors import BusTimeout, DeviceError
from firmware_bridge.oatlink import messages, wire
from firmware_bridge.oatlink.clock import ClockEstimator, TimeSample
from firmware_bridge.oatlink.codes import Result
from firmware_bridge.oatlink.lines import PayloadLine
from firmware_bridge.oatlink.messages import Ack, Welcome
from firmware_bridge.oatlink.wire import Frame, Header, MessageType, Sealer

RETRY_NS = 50_000_000
REQUEST_TIMEOUT_NS = 3_000_000_000  # an arm of many motors takes its time; QEMU's pty takes 1 s
TIME_TIMEOUT_NS = 20_000_000
FIRST_EXCHANGES = 8
MAX_EXCHANGES = 40

T = TypeVar("T")
FrameHandler = Callable[[Frame], None]


class OatLink:
    """One session over a line; ``on_frame`` is handed everything that nobody waits for."""

    def __init__(self, line: PayloadLine, key: bytes, on_frame: FrameHandler) -> None:
        self.clock = ClockEstimator()
        self.session = wire.NO_SESSION
        self.damaged = 0
        self.foreign = 0  # frames that claim another session: the controller may have rebooted
        self._line = line
        self._sealer = Sealer(key)
        self._on_frame = on_frame
        self._sequence = 0
        self._nonce = 0

    def restart(self) -> None:
        """Begin a tenure: a new nonce, no session, no clock."""
        self._nonce = secrets.randbits(32)
        self._sequence = 0
        self.session = wire.NO_SESSION
        self.clock.restart()
        self._line.flush()

    def send(self, message_type: MessageType, body: bytes = b"") -> int:
        """Send one message; returns its sequence number."""
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._send_as(self._sequence, message_type, body)
        return self._sequence

    def _send_as(self, sequence: int, message_type: MessageType, body: bytes) -> None:
        time_us = 0
        if message_type != MessageType.HELLO:
            time_us = self.clock.controller_us(time.monotonic_ns())
        payload = self._sealer.seal(Header(message_type, sequence, time_us), self.session, body)
        self._line.send(payload)

    def receive(self, deadline_ns: int) -> list[Frame]:
        """Wait for news until the deadline; returns the good frames among it."""
        payloads = self._line.receive(deadline_ns)
        now_us = self.clock.controller_us(time.monotonic_ns())
        frames = []
        for payload in payloads:
            frame = self._sealer.open(payload, self.session, now_us)
            if frame is not None:
                frames.append(frame)
                continue
            self.damaged += 1
            self.foreign += wire.session_hint(payload) != self.session & 0xFFFF
        return frames

    def ask_welcome(self) -> None:
        """Send HELLO and wait for nothing; the WELCOME goes to ``on_frame``."""
        self.send(MessageType.HELLO, messages.pack_word(self._nonce))

    def take_welcome(self, frame: Frame) -> Welcome | None:
        """The record of a WELCOME to us, its session taken over; None for anything else."""
        if frame.header.message_type != MessageType.WELCOME:
            return None
        welcome = messages.unpack_welcome(frame.body)
        if welcome is None or welcome.nonce != self._nonce:
            return None
        if welcome.boot_id != self.session:
            self.session = welcome.boot_id
            self.clock.restart()
            self.clock.guess(time.monotonic_ns(), frame.header.time_us)
        return welcome

    def hello(self) -> Welcome:
        """Say HELLO until answered. Raises ``BusTimeout``."""
        body = messages.pack_word(self._nonce)
        answer = self._repeat(MessageType.HELLO, body, self.take_welcome)
        if answer is None:
            raise BusTimeout("no answer from the controller (HELLO)")
        return answer

    def request(self, message_type: MessageType, body: bytes = b"", what: str = "") -> None:
        """Repeat one request until it is done. Raises ``BusTimeout`` or ``DeviceError``."""
        what = what or message_type.name
        sequence = (self._sequence + 1) & 0xFFFF

        def final(frame: Frame) -> Ack | None:
            if frame.header.message_type != MessageType.ACK:
                return None
            ack = messages.unpack_ack(frame.body)
            if ack is None or ack.sequence != sequence or ack.result == Result.IN_PROGRESS:
                return None
            return ack

        ack = self._repeat(message_type, body, final)
        if ack is None:
            raise BusTimeout(f"no answer from the controller ({what})")
        if ack.result != Result.DONE:
            raise DeviceError(f"the controller refuses {what}: {describe_result(ack)}")

    def _repeat(
        self, message_type: MessageType, body: bytes, answer: Callable[[Frame], T | None]
    ) -> T | None:
        self._sequence = sequence = (self._sequence + 1) & 0xFFFF
        give_up_ns = time.monotonic_ns() + REQUEST_TIMEOUT_NS
        while time.monotonic_ns() < give_up_ns:
            self._send_as(sequence, message_type, body)
            found = self._await(answer, time.monotonic_ns() + RETRY_NS)
            if found is not None:
                return found
        return None

    def _await(self, answer: Callable[[Frame], T | None], deadline_ns: int) -> T | None:
        found = None
        while found is None and time.monotonic_ns() < deadline_ns:
            for frame in self.receive(deadline_ns):
                taken = answer(frame) if found is None else None
                if taken is None:
                    self._on_frame(frame)
                else:
                    found = taken
        return found

    def exchange_time(self, timeout_ns: int) -> TimeSample | None:
        """Ask for the controller's time once; None if the answer does not come in time."""
        sent_ns = time.monotonic_ns()
        token = sent_ns // 1000 % (1 << 32)

        def reply(frame: Frame) -> TimeSample | None:
            if frame.header.message_type != MessageType.TIME_REPLY:
                return None
            times = messages.unpack_time_reply(frame.body)
            if times is None or times[0] != token:
                return None
            received_us = wire.near(times[1], frame.header.time_us)
            busy_us = frame.header.time_us - received_us
            return TimeSample(sent_ns, time.monotonic_ns(), received_us, busy_us)

        self.send(MessageType.TIME, messages.pack_word(token))
        return self._await(reply, sent_ns + timeout_ns)

    def synchronise(self) -> None:
        """Learn the clock from scratch, by rapid exchanges. Raises ``BusTimeout``."""
        samples: list[TimeSample] = []
        for _ in range(MAX_EXCHANGES):
            sample = self.exchange_time(TIME_TIMEOUT_NS)
            samples += [sample] if sample is not None else []
            if len(samples) == FIRST_EXCHANGES:
                self.clock.begin(samples)
                return
        raise BusTimeout("the controller does not answer TIME")

    def follow_clock(self, timeout_ns: int) -> None:
        """One exchange more, while running."""
        sample = self.exchange_time(timeout_ns)
        if sample is not None:
            self.clock.add(sample)


def describe_result(ack: Ack) -> str:
    """An ACK's result in words."""
    known = ack.result in Result.__members__.values()
    text = Result(ack.result).name.lower().replace("_", " ") if known else f"result {ack.result}"
    if ack.result in (Result.MOTOR_SILENT, Result.MOTOR_REFUSES):
        return text.replace("motor", f"motor {ack.detail}")
    return f"{text} (joint {ack.detail})" if ack.result == Result.BAD_VALUE else text
