"""``oat-edge run`` as a person starts it, and an arm on a pseudo-terminal for it to drive."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from edge.commands.bundles import shipped_bundles
from edge.tracker import encode
from firmware_bridge.dynamixel.registers import Register
from firmware_bridge.emulation.chains import viperx_chain
from firmware_bridge.emulation.dynamixel_servo import DynamixelServo
from firmware_bridge.emulation.paced_pty import PacedPty
from tests.contract.emulated_line import EmulatedLine
from tests.edge_parts import POSE_KEY
from tests.needs import missing

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
LAST_WORDS_S = 10.0
CUBE = np.array([0.3, 0.0, 0.02, 1.0, 0.0, 0.0, 0.0], np.float32)
NO_TORCH = """
import sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "onnxscript", "safetensors"):
            raise ImportError(f"{name} is walled off", name=name)
sys.meta_path.insert(0, Wall())
"""


def policy_bundle() -> str:
    """The shipped policy, or the bundle that OAT_EDGE_TEST_BUNDLE names."""
    named = os.environ.get("OAT_EDGE_TEST_BUNDLE")
    if named is None and "viperx-lift" not in shipped_bundles():
        missing("the shipped bundle viperx-lift")
    return named or "viperx-lift"


# What a shell starts in the background ignores interrupts, and so would all that it starts.
ENTRY = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from edge.commands.main import main
main()
"""


def start(
    folder: Path, *arguments: str, without_torch: bool = False, policy: str | None = None
) -> subprocess.Popen[str]:
    """Start a run whose log is ``folder / 'run.mcap'``."""
    environment = dict(os.environ)
    if without_torch:
        wall = folder / "wall"
        wall.mkdir()
        (wall / "sitecustomize.py").write_text(NO_TORCH, encoding="utf-8")
        environment["PYTHONPATH"] = str(wall)
    command = [sys.executable, "-c", ENTRY, "run", *arguments, "--log", str(folder / "run.mcap")]
    command += ["--bundle", policy or policy_bundle()]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], patience_s: float = PATIENCE_S) -> tuple[int, str, str]:
    """Exit code and what was printed to standard output and standard error.

    Raises AssertionError with both where it does not end in time; it is killed then.
    """
    try:
        out, err = process.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"no end within {patience_s:g} s; {_last_words(process)}") from None
    finally:
        process.kill()
        process.wait()
    return process.returncode, out, err


def _last_words(process: subprocess.Popen[str]) -> str:
    """What a killed run had printed; its own children, which hold the pipes too, may outlive it."""
    try:
        out, err = process.communicate(timeout=LAST_WORDS_S)
    except subprocess.TimeoutExpired as error:
        out, err = (_text(part) for part in (error.stdout, error.stderr))
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    return f"standard error:\n{err}\nstandard output:\n{out}"


def _text(printed: str | bytes | None) -> str:
    return printed.decode(errors="replace") if isinstance(printed, bytes) else printed or ""


def await_status(path: Path, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first status that is wanted; the run writes about 20 a second."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if path.exists():
            status: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if wanted(status):
                return status
        time.sleep(0.01)
    raise AssertionError("the run never came to the wanted status")


def robot_yaml(folder: Path, **changes: Any) -> Path:
    """The built-in arm on a port and a tracker socket in ``folder``; ``a__b=1`` sets a key."""
    text = resources.files("edge").joinpath("robots").joinpath("viperx.yaml").read_text("utf-8")
    data = yaml.safe_load(text)
    data["buses"]["arm"]["port"] = str(folder / "arm.tty")
    data["trackers"][POSE_KEY]["socket"] = str(folder / "pose.socket")
    for path, value in changes.items():
        *parents, last = path.split("__")
        node = data
        for key in parents:
            node = node[key]
        node[last] = value
    file = folder / "robot.yaml"
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    return file


class Arm(EmulatedLine):
    """Emulated servos on ``folder / 'arm.tty'``, and a tracker that sends ``pose`` at 100 Hz.

    ``torque_seen`` tells whether any servo ever had torque.
    """

    def __init__(self, folder: Path, servos: Sequence[DynamixelServo] | None = None) -> None:
        endpoint = PacedPty(1_000_000, folder / "arm.tty")
        super().__init__(viperx_chain() if servos is None else servos, endpoint)
        self.pose = CUBE.copy()
        self.torque_seen = False
        self._socket = folder / "pose.socket"
        self._tracking = threading.Thread(target=self._track, daemon=True)

    def start_tracking(self) -> None:
        self._tracking.start()

    def stop_tracking(self) -> None:
        self._stop.set()
        self._tracking.join()

    def _track(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            while not self._stop.wait(0.01):
                torque = [servo.table[Register.TORQUE_ENABLE] for servo in self.bus.servos]
                self.torque_seen |= any(torque)
                try:
                    sender.sendto(encode(time.monotonic_ns(), self.pose), str(self._socket))
                except OSError:
                    continue  # nobody listens yet, or any more


@contextmanager
def tracked_arm(folder: Path) -> Iterator[Arm]:
    """An arm that is powered, and seen."""
    with Arm(folder) as arm:
        arm.start_tracking()
        try:
            yield arm
        finally:
            arm.stop_tracking()
