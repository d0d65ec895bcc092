"""``oat-edge emulate``: a robot's motor bus on a pseudo-terminal, with physics behind it."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from firmware_bridge.emulation.plant import Plant
    from firmware_bridge.emulation.robot import EmulatedRobot

TURN_NS = 100_000_000  # how soon a signal ends the loop


def emulate(
    protocol: Annotated[str, typer.Argument(help="Wire protocol: dynamixel.")] = "dynamixel",
    joints: Annotated[int, typer.Option(help="Servos on the bus.", min=1, max=252)] = 7,
    link: Annotated[Path | None, typer.Option(help="Symbolic link to make to the port.")] = None,
    plant: Annotated[str, typer.Option(help="What the servos move: simple or viperx.")] = "simple",
    baud: Annotated[int, typer.Option(help="Speed of the line.", min=9600)] = 1_000_000,
) -> None:
    """Emulate a bus of servos on a pseudo-terminal until interrupted; prints the port's path."""
    from firmware_bridge.errors import PortError

    if protocol != "dynamixel":
        _usage(f"protocol {protocol!r} is not known (known: dynamixel)")
    try:
        robot = make_robot(plant, joints, link, baud)
    except ValueError as error:
        _usage(str(error))
    except PortError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from error
    print(robot.endpoint.path, flush=True)
    _serve(robot)


def make_robot(plant: str, joints: int, link: Path | None, baud: int) -> EmulatedRobot:
    """Build servos, line and plant; raises ``ValueError`` for an unknown plant, ``PortError``."""
    from firmware_bridge.emulation.chains import plain_chain, viperx_chain
    from firmware_bridge.emulation.paced_pty import PacedPty
    from firmware_bridge.emulation.plant import FirstOrderPlant
    from firmware_bridge.emulation.robot import EmulatedRobot

    if plant == "simple":
        return EmulatedRobot(FirstOrderPlant(joints), plain_chain(joints), PacedPty(baud, link))
    if plant == "viperx":
        robot = EmulatedRobot(_viperx_plant(), viperx_chain(), PacedPty(baud, link))
        robot.hold()  # limp, it would have fallen before the first client comes
        return robot
    raise ValueError(f"plant {plant!r} is not known (known: simple, viperx)")


def _viperx_plant() -> Plant:
    from models.tasks.viperx.plant import ViperXPlant

    plant: Any = ViperXPlant()
    return plant  # type: ignore[no-any-return]


def _serve(robot: EmulatedRobot) -> None:
    """Run until SIGTERM or SIGINT; the link goes with the port."""
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        while not stopped:
            robot.run_until(time.monotonic_ns() + TURN_NS)
    finally:
        robot.endpoint.close()


def _usage(message: str) -> None:
    print(message, file=sys.stderr)
    raise typer.Exit(2)
