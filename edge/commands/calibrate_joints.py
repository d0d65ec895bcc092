"""``oat-edge calibrate joints``: zeros, directions and travel, measured on the limp arm."""

from __future__ import annotations

import sys
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from calibration.joints import JointMeasurement
    from edge.commands.calibrate_view import CalibrateView
    from edge.commands.keys import Keys
    from edge.joint_calibration import JointCalibration
    from edge.robot import Robot
    from firmware_bridge.bus import JointBus

READ_S = 0.05
SILENCE_NS = 1_000_000_000  # a bus that says nothing for so long has gone
WARNING = "Hold the arm: with Enter torque goes off, and an arm without brakes falls."


def joints(
    robot: Annotated[str, typer.Argument(help="A built-in robot, or the path of a robot.yaml.")],
    out: Annotated[Path, typer.Option(help="The YAML file to write; robot.yaml names it.")],
    port: Annotated[list[str] | None, typer.Option(help="BUS=DEVICE, replaces a port.")] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(help="JOINT=RAD: its angle in the reference posture; 0 where none is given."),
    ] = None,
    margin_rad: Annotated[
        float, typer.Option(min=0, max=0.5, help="Limits lie so far within the stops.")
    ] = 0.02,
    import_lerobot: Annotated[
        Path | None, typer.Option(help="Convert this file of LeRobot's instead of measuring.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Measure a robot's joints by moving its limp arm, or take over LeRobot's measurements."""
    from edge.commands.calibrate_files import converted, write
    from edge.commands.options import pairs
    from edge.errors import UsageError
    from edge.robot import load_robot

    loaded = load_robot(robot, uncalibrated=True)
    if out.exists() and not force:
        raise UsageError(f"--out {out}: exists; give --force to replace it")
    angles = _angles(loaded, pairs("--reference", reference))
    if import_lerobot is not None:
        made = converted(import_lerobot, loaded, angles)
    else:
        made = _measure(_on_ports(loaded, pairs("--port", port)), angles, margin_rad)
    write(made, out)
    _print(made)
    print(f"written to {out}; in robot.yaml: calibration: {out.name}")
    _warn_if_unfit(robot, out)


def _measure(robot: Robot, angles: dict[str, float], margin_rad: float) -> JointCalibration:
    from calibration.joint_travel import Subject
    from calibration.joints import JointMeasurement
    from edge.buses import build_only_bus
    from edge.commands.calibrate_view import LiveTable, PlainLines
    from edge.commands.keys import Keys
    from edge.errors import RunError

    subjects = [Subject(j.name, j.id, j.direction, angles[j.name]) for j in robot.joints]
    measurement = JointMeasurement(subjects, margin_rad)
    bus = build_only_bus(_bare(robot))
    bus.open()
    try:
        with Keys() as keys, LiveTable() if sys.stdout.isatty() else PlainLines() as view:
            _release(bus, keys, view)
            _steps(measurement, bus, keys, view)
    finally:
        bus.close()
    try:
        source = f"measured on {date.today().isoformat()}"
        made: JointCalibration = measurement.result(robot.name, source)
    except ValueError as error:
        raise RunError(f"calibrate: {error}") from error
    return made


def _release(bus: JointBus, keys: Keys, view: CalibrateView) -> None:
    from edge.commands.keys import ENTER

    while (key := keys.poll(READ_S)) != ENTER:
        _stop_if_asked(key)
        view.update(WARNING, "", [])
    bus.disable()


def _steps(m: JointMeasurement, bus: JointBus, keys: Keys, view: CalibrateView) -> None:
    from calibration.joints import Step
    from edge.commands.keys import ENTER
    from firmware_bridge.errors import BusTimeout

    heard_ns = time.monotonic_ns()
    while m.step is not Step.DONE:
        try:
            m.feed(bus.read_state().position_rad)
            heard_ns = time.monotonic_ns()
        except BusTimeout:
            if time.monotonic_ns() - heard_ns > SILENCE_NS:
                raise
        view.update(m.prompt, m.notice, m.rows())
        key = keys.poll(READ_S)
        _stop_if_asked(key)
        if key == ENTER:
            m.confirm()
        elif key == "s":
            m.skip()
    view.update(m.prompt, m.notice, m.rows())


def _stop_if_asked(key: str | None) -> None:
    from edge.errors import RunError

    if key == "q":
        raise RunError("calibrate: left; nothing is written, and torque stays as it is")


def _bare(robot: Robot) -> Robot:
    """The robot whose joint angles are its servos' own."""
    update = {"direction": 1, "zero_rad": 0.0}
    return robot.model_copy(
        update={"joints": tuple(joint.model_copy(update=update) for joint in robot.joints)}
    )


def _on_ports(robot: Robot, ports: dict[str, str]) -> Robot:
    """The robot with ports replaced. Raises UsageError for an unknown bus or an emulated port."""
    from edge.errors import UsageError
    from edge.robot_buses import EMULATED

    for name in ports:
        if name not in robot.buses:
            have = ", ".join(robot.buses)
            raise UsageError(f"--port {name}={ports[name]}: no bus {name!r}; there is {have}")
    buses = {
        name: bus.model_copy(update={"port": ports.get(name, bus.port)})
        for name, bus in robot.buses.items()
    }
    for name, bus in buses.items():
        if bus.port == EMULATED:
            raise UsageError(
                f"robot {robot.name}: bus {name} is emulated: give --port {name}=DEVICE"
            )
    return robot.model_copy(update={"buses": buses})


def _angles(robot: Robot, given: dict[str, str]) -> dict[str, float]:
    """Every joint's angle in the posture, rad. Raises UsageError naming what is wrong."""
    from edge.errors import UsageError

    angles = {joint.name: 0.0 for joint in robot.joints}
    for name, text in given.items():
        if name not in angles:
            raise UsageError(f"--reference {name}={text}: no joint {name!r}")
        try:
            angles[name] = float(text)
        except ValueError as error:
            raise UsageError(f"--reference {name}={text}: no number") from error
        if not -7 < angles[name] < 7:
            raise UsageError(f"--reference {name}={text}: allowed is -7 to 7 rad")
    return angles


def _print(made: JointCalibration) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("joint", title=f"calibration of {made.robot}, rad", title_justify="left")
    for heading in ("servo id", "direction", "zero", "lowest", "highest"):
        table.add_column(heading, justify="right")
    for name, joint in made.joints.items():
        ends = (joint.min_position, joint.max_position)
        stops = ("-" if end is None else f"{end:.4f}" for end in ends)
        table.add_row(name, str(joint.id), f"{joint.direction:+d}", f"{joint.zero_rad:.4f}", *stops)
    Console().print(table)


def _warn_if_unfit(robot: str, out: Path) -> None:
    from edge.errors import ConfigError
    from edge.robot import load_robot

    try:
        load_robot(robot, calibration=out)
    except ConfigError as error:
        print(f"oat-edge: warning: the robot cannot run so: {error}", file=sys.stderr)
