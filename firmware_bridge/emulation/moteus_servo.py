"""One emulated moteus controller."""

from __future__ import annotations

import math
from collections.abc import Callable

from firmware_bridge.can_bus.frame import FD_LENGTHS, MAX_STANDARD_ID, CanFrame, fd_padded
from firmware_bridge.emulation.can_motor import CanMotor
from firmware_bridge.moteus import codec, console
from firmware_bridge.moteus.codec import ANSWER, READ, WRITE, Mode, Register, Subframe

RAD_PER_TURN = 2.0 * math.pi
DEFAULT_TIMEOUT_S = 0.1  # servo.default_timeout_s
DIAGNOSTIC_REGISTERS = {0x100: 0x0, 0x101: 0x0001_0500, 0x102: 0x0115}  # model, firmware, multiplex
NS_PER_S = 1_000_000_000
NO_SUCH_REGISTER = 1


class MoteusServo(CanMotor):
    """Modes, position commands, the latching watchdog, faults and register questions.

    What a command leaves out takes its default, as in the real one: no position means "stay where
    you are", no timeout means 0.1 s. When the watchdog trips, the servo holds with zero velocity
    (``servo.timeout_mode`` 12) and refuses position commands until it has been stopped.
    """

    def __init__(self, joint: int, servo_id: int) -> None:
        super().__init__(joint, servo_id)
        self.mode = int(Mode.STOPPED)
        self.fault = 0
        self._said = b""  # console output that nobody has fetched
        self._saved_id = servo_id
        self._timeout_s = DEFAULT_TIMEOUT_S
        self._heard_ns = 0

    def hear(self, frame: CanFrame) -> list[CanFrame]:
        """Obey and answer a frame to this servo."""
        destination = frame.can_id & 0x7F
        if not self.power or frame.remote or destination != self.device_id or not frame.fd:
            return []
        if frame.can_id & ~0xFFFF:
            return []
        if frame.data[:1] in (bytes((console.CLIENT_DATA,)), bytes((console.CLIENT_POLL,))):
            return self._converse(frame)
        subframes = list(codec.parse(frame.data))
        writes = {s.register: s.value for s in subframes if s.kind == WRITE}
        if writes:
            self._obey(writes, frame.stamp_ns)
        if not frame.can_id & codec.ANSWER_WANTED:
            return []
        source = frame.can_id >> 8 & 0x7F
        can_id = self.device_id << 8 | source
        answer = b""
        for piece in self._answer(subframes):
            if len(answer) + len(piece) <= FD_LENGTHS[-1]:  # what does not fit is left out
                answer += piece
        padded = fd_padded(answer, codec.NOP)
        extended = can_id > MAX_STANDARD_ID
        return [CanFrame(can_id, padded, extended, fd=True, switch_rate=frame.switch_rate)]

    def _converse(self, frame: CanFrame) -> list[CanFrame]:
        """The diagnostic console: ``conf set id.id N`` and ``conf write`` are what it knows."""
        data = frame.data
        if data[0] == console.CLIENT_DATA:
            command = data[console.HEAD : console.HEAD + data[2]].decode(errors="replace").strip()
            self._said += self._run(command.split())
            return []
        piece, self._said = self._said[: data[2]], self._said[data[2] :]
        head = bytes((console.SERVER_DATA, console.CHANNEL, len(piece)))
        return [codec.frame(codec.answer_id(self.device_id), head + piece)]

    def _run(self, words: list[str]) -> bytes:
        if words == ["conf", "write"]:
            self._saved_id = self.device_id
            return b"OK\r\n"
        settable = words[:3] == ["conf", "set", "id.id"] and len(words) == 4
        if settable and words[3].isdecimal() and 1 <= int(words[3]) <= codec.MAX_ID:
            self.device_id = int(words[3])
            return b"OK\r\n"
        return b"ERR unknown command\r\n"

    def _obey(self, writes: dict[int, float], now_ns: int) -> None:
        mode = writes.get(Register.MODE)
        if mode == Mode.STOPPED:
            self.mode, self.fault = int(Mode.STOPPED), 0
            self.release()
        elif mode == Mode.POSITION and self.mode in (Mode.STOPPED, Mode.POSITION):
            self._take_position(writes, now_ns)

    def _take_position(self, writes: dict[int, float], now_ns: int) -> None:
        self.mode = int(Mode.POSITION)
        self._heard_ns = now_ns
        timeout_s = writes.get(Register.COMMAND_TIMEOUT, math.nan)
        self._timeout_s = DEFAULT_TIMEOUT_S if math.isnan(timeout_s) else timeout_s
        turns = writes.get(Register.COMMAND_POSITION, math.nan)
        self.move_to(self.position_rad if math.isnan(turns) else turns * RAD_PER_TURN)
        self.grip()

    def _answer(self, subframes: list[Subframe]) -> list[bytes]:
        """Runs of registers of one width are answered together, up to three in a subframe."""
        reads = [s for s in subframes if s.kind == READ]
        pieces: list[bytes] = []
        while reads:
            run = [reads.pop(0)]
            while reads and len(run) < 3 and _continues(run[-1], reads[0]):
                run.append(reads.pop(0))
            pieces.append(self._answer_run(run))
        return pieces

    def _answer_run(self, run: list[Subframe]) -> bytes:
        first = run[0]
        values = [(s, self._value(s.register)) for s in run]
        if any(value is None for _, value in values):
            return bytes((codec.READ_ERROR, first.register & 0x7F, NO_SUCH_REGISTER))
        head = bytes((ANSWER | first.width << 2 | len(run), *_varuint(first.register)))
        packed = [codec.pack(s.width, s.register, value or 0.0) for s, value in values]
        return head + b"".join(packed)

    def _value(self, register: int) -> float | None:
        measure = _MEASURED.get(register)
        if measure is not None:
            return measure(self)
        return DIAGNOSTIC_REGISTERS.get(register, 0.0 if register < 0x100 else None)

    def tick(self, now_ns: int) -> list[CanFrame]:
        """The watchdog of position mode."""
        silence_ns = now_ns - self._heard_ns
        watched = self.mode == Mode.POSITION and math.isfinite(self._timeout_s)
        if watched and silence_ns > self._timeout_s * NS_PER_S:
            self.watchdog_trips += 1
            self.mode = int(Mode.TIMEOUT)
            self.aim_here()
        return []

    def fail(self, code: int) -> None:
        """Take a fault: torque goes until the servo is stopped."""
        self.mode, self.fault = int(Mode.FAULT), code
        self.release()

    def hold(self) -> None:
        """Position mode without a watchdog, where it stands."""
        self.mode, self._timeout_s = int(Mode.POSITION), math.inf
        self.aim_here()
        self.grip()

    def restart(self) -> None:
        """As at power-on."""
        super().restart()
        self.device_id, self._said = self._saved_id, b""
        self.mode, self.fault = int(Mode.STOPPED), 0


_MEASURED: dict[int, Callable[[MoteusServo], float]] = {
    Register.MODE: lambda servo: servo.mode,
    Register.POSITION: lambda servo: servo.position_rad / RAD_PER_TURN,
    Register.VELOCITY: lambda servo: servo.velocity_rad_s / RAD_PER_TURN,
    Register.TORQUE: lambda servo: 0.0,
    Register.Q_CURRENT: lambda servo: servo.current_ma / 1000.0,
    Register.VOLTAGE: lambda servo: 24.0,
    Register.TEMPERATURE: lambda servo: 32.0,
    Register.FAULT: lambda servo: servo.fault,
}


def _continues(before: Subframe, after: Subframe) -> bool:
    return after.register == before.register + 1 and after.width == before.width


def _varuint(value: int) -> bytes:
    return bytes((value,)) if value < 0x80 else bytes((value & 0x7F | 0x80, value >> 7))
