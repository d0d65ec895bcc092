"""Bringing ODrive axes up and down."""

from __future__ import annotations

import contextlib

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.can_bus.link import CanLink
from firmware_bridge.errors import BridgeError, BusTimeout, DeviceError
from firmware_bridge.odrive import codec
from firmware_bridge.odrive.codec import AxisState, Command, ControlMode, Heartbeat, InputMode
from firmware_bridge.odrive.dialect import ODriveDialect
from firmware_bridge.odrive.errors import describe_axis_error

HEARTBEAT_TIMEOUT_NS = 500_000_000  # every 100 ms by default
FIRMWARE_WITHOUT_VERSION = (0, 5)


class ODriveSetup:
    """``DeviceSetup`` for the axes of a bus."""

    def __init__(self, link: CanLink, nodes: tuple[int, ...], dialect: ODriveDialect) -> None:
        self._link = link
        self._nodes = nodes
        self._dialect = dialect

    def check(self) -> None:
        """Each axis must give estimates and a heartbeat without errors; learns its firmware."""
        self._dialect.watched = False
        for node in self._nodes:
            self._estimates(node)
        self._learn_firmware()
        for node, beat in self._heartbeats().items():
            self._raise_errors(node, beat)

    def _estimates(self, node: int) -> tuple[float, float]:
        question = codec.ask(node, Command.GET_ENCODER_ESTIMATES)

        def answer(frame: CanFrame) -> tuple[float, float] | None:
            return codec.read_pair(frame.data) if _is(frame, question.can_id) else None

        return self._link.ask([question], answer, f"axis {node} (encoder estimates)")

    def _learn_firmware(self) -> None:
        """0.6 has a version message; an axis that does not answer to it has 0.5."""
        firmware = dict.fromkeys(self._nodes, FIRMWARE_WITHOUT_VERSION)
        unknown = set(self._nodes)

        def answer(frame: CanFrame) -> bool | None:
            node, _ = codec.split_id(frame.can_id)
            version = codec.read_version(frame.data)
            if (
                node in unknown
                and _is(frame, codec.frame_id(node, Command.GET_VERSION))
                and version
            ):
                unknown.discard(node)
                firmware[node] = version.firmware[0], version.firmware[1]
            return True if not unknown else None

        questions = [codec.ask(node, Command.GET_VERSION) for node in self._nodes]
        with contextlib.suppress(BusTimeout):
            self._link.ask(questions, answer, "version", attempts=1)
        self._dialect.firmware.update(firmware)

    def _heartbeats(self, wanted_state: int | None = None) -> dict[int, Heartbeat]:
        """The last heartbeat of each axis, waiting until all show ``wanted_state`` or time is up.

        Raises ``BusTimeout`` naming the axes that sent none.
        """
        beats: dict[int, Heartbeat] = {}

        def answer(frame: CanFrame) -> bool | None:
            node, command = codec.split_id(frame.can_id)
            beat = codec.read_heartbeat(frame.data)
            if command == Command.HEARTBEAT and node in self._nodes and beat is not None:
                beats[node] = beat
            arrived = len(beats) == len(self._nodes)
            fit = wanted_state is None or all(b.axis_state == wanted_state for b in beats.values())
            return True if arrived and fit else None

        self._link.forget()
        self._link.listen(answer, HEARTBEAT_TIMEOUT_NS)
        if missing := [node for node in self._nodes if node not in beats]:
            raise BusTimeout(f"axis {', '.join(map(str, missing))}: no heartbeat")
        return beats

    def _raise_errors(self, node: int, beat: Heartbeat) -> None:
        if beat.axis_error:
            names = describe_axis_error(beat.axis_error, self._dialect.firmware[node])
            raise DeviceError(f"axis {node} reports: {names}")

    def enable(self) -> None:
        """Closed loop where each axis stands; if one fails, all go idle."""
        self._dialect.watched = False
        try:
            for node in self._nodes:
                self._enable_axis(node)
            self._verify(AxisState.CLOSED_LOOP_CONTROL)
        except BridgeError:
            self._link.tell([codec.set_axis_state(node, AxisState.IDLE) for node in self._nodes])
            raise
        self._dialect.watched = True

    def _enable_axis(self, node: int) -> None:
        """Where it stands: its position is the goal, or a velocity of zero."""
        turning = self._dialect.takes_velocity(node)
        control = ControlMode.VELOCITY if turning else ControlMode.POSITION
        mode = codec.set_controller_mode(node, control, InputMode.PASSTHROUGH)
        self._link.tell([codec.clear_errors(node), mode])
        turns, _ = self._estimates(node)
        still = codec.set_input_vel(node, 0.0) if turning else codec.set_input_pos(node, turns)
        run = codec.set_axis_state(node, AxisState.CLOSED_LOOP_CONTROL)
        self._link.tell([still, run])

    def _verify(self, state: AxisState) -> None:
        for node, beat in self._heartbeats(state).items():
            if beat.axis_state != state:
                self._raise_errors(node, beat)
                wanted = state.name.lower().replace("_", " ")
                raise DeviceError(f"axis {node} is in state {beat.axis_state}, not in {wanted}")

    def disable(self) -> None:
        """Idle everywhere, as heartbeats confirm."""
        self._dialect.watched = False
        self._link.tell([codec.set_axis_state(node, AxisState.IDLE) for node in self._nodes])
        self._verify(AxisState.IDLE)

    def raise_if_stopped(self) -> None:
        """Errors of any axis, among them an expired watchdog."""
        for node, beat in self._heartbeats().items():
            self._raise_errors(node, beat)


def _is(frame: CanFrame, can_id: int) -> bool:
    return frame.can_id == can_id and not frame.remote and not frame.extended
