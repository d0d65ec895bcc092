"""Parts that tests of ``edge`` are made of: a robot of two joints, its manifest, a bus."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from edge.bundle import Manifest
from edge.robot import Robot, parse_robot
from firmware_bridge.errors import BridgeError, BusTimeout
from firmware_bridge.messages import Float64Array, JointState, SafeSetpoint

POSE_KEY = "observation.environment_state"
STEP_NS = 20_000_000
TICK_NS = 5_000_000
LIMITS = {
    "min_position": -1.0,
    "max_position": 2.0,
    "max_velocity": 3.0,
    "max_acceleration": 30.0,
    "max_jerk": 3000.0,
}
JOINT = {"group": "arm", "bus": "arm", "home_rad": 0.5, "max_tracking_error_rad": 0.6}
ROBOT: dict[str, Any] = {
    "name": "twojoint",
    "bundle": "none",
    "servo": {"rate_hz": 200, "lock_memory": False},
    "planner": {"budget_us": 10_000, "lock_memory": False},
    "buses": {"arm": {"protocol": "dynamixel", "port": "/dev/null-port"}},
    "trackers": {POSE_KEY: {"socket": "/nowhere/pose.socket", "max_age_ms": 200}},
    "joints": [
        {"name": "waist", "id": 1, **JOINT},
        {"name": "gripper", "id": 2, **JOINT, "max_tracking_error_rad": None},
    ],
    "joint_limits": {"waist": dict(LIMITS), "gripper": dict(LIMITS)},
}
_REMOVE = object()


def robot_data(**changes: Any) -> dict[str, Any]:
    """``ROBOT`` with values replaced by path, ``servo__rate_hz=100``; numbers index lists."""
    data = copy.deepcopy(ROBOT)
    for path, value in changes.items():
        *parents, last = [int(key) if key.isdigit() else key for key in path.split("__")]
        node: Any = data
        for key in parents:
            node = node[key]
        if value is _REMOVE:
            del node[last]
        else:
            node[last] = value
    return data


def without(path: str) -> dict[str, Any]:
    """``ROBOT`` without the key at a path."""
    return robot_data(**{path: _REMOVE})


def make_robot(**changes: Any) -> Robot:
    """The robot of ``robot_data``."""
    return parse_robot(robot_data(**changes), "test")


def make_manifest(**changes: Any) -> Manifest:
    """A bundle's manifest for that robot: 8 actions, 4 of them executed, 4 tokens of 60 codes."""
    joints = ("waist", "gripper")
    files = {f"fp32/{graph}.onnx": graph for graph in ("prefill", "step", "decode", "decode_full")}
    fields: dict[str, Any] = {
        "name": "tiny",
        "task": "none",
        "n_obs_steps": 2,
        "observation": [
            {"key": "observation.state", "size": 2},
            {"key": POSE_KEY, "size": 3},
            {"key": "observation.command", "size": 2},
        ],
        "action": {
            "names": joints,
            "unit": "rad",
            "rate_hz": 50.0,
            "action_horizon": 8,
            "execution_horizon": 4,
            "head_steps": 2,
            "minimum": (-1.0, -1.0),
            "maximum": (1.0, 1.0),
        },
        "tokenizer": {
            "levels": (5, 4, 3),
            "tokens": 4,
            "trained_prefixes": (1, 2, 4),
            "conditioned_on": "observation.command",
        },
        "caches": {"cross": (1, 2, 2, 8), "self": (1, 2, 1, 1, 4, 8)},
        "graphs": {"fp32": {graph: file for file, graph in files.items()}},
        "files": {file: {"sha256": "0" * 64, "bytes": 0} for file in files},
    }
    return Manifest.model_validate({**fields, **changes})


class MemoryBus:
    """A bus that reaches every setpoint at once; ``faults`` are raised by the next reads.

    ``refusals`` are raised by the next calls of ``enable``.
    """

    def __init__(
        self, clock: Callable[[], int], position_rad: Iterable[float] = (0.0, 0.0)
    ) -> None:
        self.position_rad: Float64Array = np.array(list(position_rad))
        self.velocity_rad_s: Float64Array = np.zeros_like(self.position_rad)
        self.faults: list[BridgeError] = []
        self.refusals: list[BridgeError] = []
        self.sent: list[SafeSetpoint] = []
        self.enabled = 0
        self._clock = clock

    def open(self) -> None: ...

    def read_state(self) -> JointState:
        if self.faults:
            raise self.faults.pop(0)
        zeros = np.zeros_like(self.position_rad)
        velocity_rad_s = self.velocity_rad_s.copy()
        return JointState(self._clock(), self.position_rad.copy(), velocity_rad_s, zeros)

    def write_setpoints(self, setpoint: SafeSetpoint) -> None:
        self.sent.append(setpoint)
        self.position_rad = setpoint.position_rad.copy()
        if setpoint.velocity_rad_s is not None:
            self.velocity_rad_s = setpoint.velocity_rad_s.copy()

    def enable(self) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.enabled += 1

    def disable(self) -> None: ...

    def close(self) -> None: ...


def lost(ids: str = "1") -> BusTimeout:
    """The fault of a lost packet."""
    return BusTimeout(f"no answer from {ids}")
