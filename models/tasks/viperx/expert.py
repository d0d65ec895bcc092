"""A scripted expert: plans of joint references at 50 Hz that grasp and lift the cube.

The same cube can be grasped with the wrist turned left or right; which is the caller's choice.
"""

from dataclasses import dataclass

import numpy as np

from models.tasks.viperx.kinematics import Kinematics, grasp_rotation
from models.tasks.viperx.lift import CUBE_HALF_SIZE_M

MODES = (0, 1)
WRIST = 5
"""The joint that turns the fingers about the vertical."""
MODE_WRIST_RAD = (np.pi / 4, -np.pi / 4)
CRUISE_RAD_S = 1.6
ACCELERATION_RAD_S2 = 12.0
_STEP_S = 0.02
# A minimum-jerk motion (Flash and Hogan, 1985) over distance d in time T peaks at these times
# d / T and d / T^2.
_PEAK_SPEED, _PEAK_ACCELERATION = 1.875, 5.774
_SHORTEST_MOVE_STEPS = 10
_SHORTEST_STRAIGHT_STEPS = 5
CLEAR_NOISE, GRASP_NOISE, HELD_NOISE = 1.0, 0.25, 0.5
_HELD_DISTANCE_M = 0.02
_STALLED_GRIPPER_RAD = 0.1


@dataclass(frozen=True)
class Style:
    """How one demonstrator moves; heights in m above the cube's centre, gripper angles in rad."""

    pace: float
    clear_m: float
    grasp_m: float
    lift_m: float
    open_rad: float
    closed_rad: float
    descend_steps: int
    close_steps: int
    lift_steps: int
    hold_steps: int

    @staticmethod
    def sample(rng: np.random.Generator) -> "Style":
        """A demonstrator at random."""
        return Style(
            pace=rng.uniform(0.8, 1.0),
            clear_m=rng.uniform(0.055, 0.085),
            grasp_m=rng.uniform(-0.002, 0.005),
            lift_m=rng.uniform(0.115, 0.145),
            open_rad=rng.uniform(0.76, 0.86),
            closed_rad=rng.uniform(0.10, 0.17),
            descend_steps=int(rng.integers(21, 28)),
            close_steps=int(rng.integers(27, 33)),
            lift_steps=int(rng.integers(25, 33)),
            hold_steps=int(rng.integers(12, 22)),
        )


@dataclass(frozen=True)
class Plan:
    """References for the ticks to come, (T, n) rad, and how much noise each bears, (T,) in 0..1.

    The fingers begin to close at `close_step`, the cube is held from `lift_step` on and let go at
    `release_step`: T where that is not planned.
    """

    reference_rad: np.ndarray
    noise_scale: np.ndarray
    close_step: int
    lift_step: int
    release_step: int


@dataclass(frozen=True)
class Phase:
    """A part of a plan: references, one a row, and how much noise they bear."""

    path_rad: np.ndarray
    noise: float


def join(grasp: list[Phase], held: list[Phase], released: list[Phase]) -> Plan:
    """One plan of consecutive phases; the last one of `grasp` closes the fingers."""
    phases = [*grasp, *held, *released]
    lengths = [len(phase.path_rad) for phase in phases]
    return Plan(
        reference_rad=np.concatenate([phase.path_rad for phase in phases]),
        noise_scale=np.repeat([phase.noise for phase in phases], lengths),
        close_step=sum(lengths[: max(0, len(grasp) - 1)]),
        lift_step=sum(lengths[: len(grasp)]),
        release_step=sum(lengths[: len(grasp) + len(held)]),
    )


class Expert:
    """Plans from any state of the arm; raises UnreachableError if the cube has left its reach.

    Joint arrays are (n,), the gripper's last. What is the ViperX's own stands in the class's
    constants and in ``_grasp_at``.
    """

    CUBE_HALF_SIZE_M = CUBE_HALF_SIZE_M
    OPEN_RAD = 0.7
    """The gripper is open beyond this."""

    def __init__(self, kinematics: Kinematics, mode: int, style: Style) -> None:
        if mode not in MODES:
            raise ValueError(f"grasp mode {mode} is not one of {MODES}")
        self._kinematics, self._mode, self._style = kinematics, mode, style

    def reconsider(self, command_rad: np.ndarray, environment: np.ndarray) -> None:
        """Make up its mind anew, after the arm was shoved; one that lifts stays with its mode."""

    def holds(self, position_rad: np.ndarray, command_rad: np.ndarray, cube: np.ndarray) -> bool:
        """Whether the gripper is stalled on the cube, from measured and commanded angles."""
        stalled = position_rad[-1] - command_rad[-1] > _STALLED_GRIPPER_RAD
        return stalled and self.tool_to_cube_m(position_rad, cube) < _HELD_DISTANCE_M

    def tool_to_cube_m(self, position_rad: np.ndarray, cube: np.ndarray) -> float:
        """Distance between the tool point and the cube's centre in m."""
        tool, _ = self._kinematics.tool_pose(position_rad)
        return float(np.linalg.norm(tool - cube[:3]))

    def plan(self, position_rad: np.ndarray, command_rad: np.ndarray, cube: np.ndarray) -> Plan:
        """Grasp and lift from the reference `command_rad`, with the cube at its pose (7,)."""
        phases = self._grasp(position_rad, command_rad, cube)
        lift = self._lift(phases[-1].path_rad[-1] if phases else command_rad)
        hold = np.repeat(lift[-1:], self._style.hold_steps, axis=0)
        held = [Phase(lift, HELD_NOISE), Phase(hold, HELD_NOISE)]
        return join(phases, held, [])

    def _grasp(self, position: np.ndarray, command: np.ndarray, cube: np.ndarray) -> list[Phase]:
        """Until the fingers are closed on the cube; nothing if they already are."""
        if self.holds(position, command, cube):
            return []
        reach = self._approach(command, cube)
        descent = self._descend(reach[-1], cube)
        closing = self._close(descent[-1])
        return [
            Phase(reach, CLEAR_NOISE),
            Phase(descent, GRASP_NOISE),
            Phase(closing, GRASP_NOISE),
        ]

    def _approach(self, command: np.ndarray, cube: np.ndarray) -> np.ndarray:
        """To a point above the cube with the gripper open; level if already over it."""
        tool, _ = self._kinematics.tool_pose(command)
        above_m = tool[2] - cube[2] - self._style.grasp_m
        sideways_m = np.linalg.norm(tool[:2] - cube[:2])
        over_cube = command[-1] > self.OPEN_RAD and sideways_m < 0.005 + 0.25 * above_m
        height_m = min(above_m, self._style.clear_m) if over_cube else self._style.clear_m
        goal = self._grasp_at(cube, cube[2] + self._style.grasp_m + max(0.0, height_m))
        return self._move(command, np.append(goal, self._style.open_rad))

    def _descend(self, command: np.ndarray, cube: np.ndarray) -> np.ndarray:
        tool, rotation = self._kinematics.tool_pose(command)
        bottom = np.array([*cube[:2], cube[2] + self._style.grasp_m])
        steps = scaled_steps(self._style.descend_steps, tool[2] - bottom[2], self._style.clear_m)
        return self._straight(command, tool, bottom, rotation, steps)

    def _close(self, command: np.ndarray) -> np.ndarray:
        goal = np.append(command[:-1], self._style.closed_rad)
        return minimum_jerk(command, goal, self._style.close_steps)

    def _lift(self, command: np.ndarray) -> np.ndarray:
        tool, rotation = self._kinematics.tool_pose(command)
        top = np.array([*tool[:2], self.CUBE_HALF_SIZE_M + self._style.lift_m])
        steps = scaled_steps(self._style.lift_steps, top[2] - tool[2], self._style.lift_m)
        return self._straight(command, tool, top, rotation, steps)

    def _grasp_at(self, cube: np.ndarray, height_m: float) -> np.ndarray:
        """Joint angles of this mode's grasp over the cube, tool at `height_m`."""
        bearing = np.arctan2(cube[1], cube[0])
        yaw = grasp_yaw_rad(cube, self._mode)
        wrist = grasp_wrist_rad(cube, self._mode)
        seed = np.array([bearing, -0.1, 0.6, 0.0, 1.1, wrist])
        goal = np.array([*cube[:2], height_m])
        return self._kinematics.solve(goal, grasp_rotation(yaw), seed)

    def _move(self, command: np.ndarray, goal: np.ndarray) -> np.ndarray:
        steps = max(_SHORTEST_MOVE_STEPS, shortest_steps(goal - command, self._style.pace))
        return minimum_jerk(command, goal, steps)

    def _straight(
        self,
        command: np.ndarray,
        start_m: np.ndarray,
        end_m: np.ndarray,
        rotation: np.ndarray,
        steps: int,
    ) -> np.ndarray:
        """A straight line of the tool with a fixed gripper, each step solved from the last."""
        arm, rows = command[:-1], []
        for point in minimum_jerk(start_m, end_m, steps):
            arm = self._kinematics.solve(point, rotation, arm)
            rows.append(np.append(arm, command[-1]))
        return np.array(rows)


def grasp_yaw_rad(cube: np.ndarray, mode: int) -> float:
    """Turn of the fingers about the vertical that fits the cube at its pose (7,) in a mode."""
    bearing = np.arctan2(cube[1], cube[0])
    wanted = bearing + np.pi / 2 - MODE_WRIST_RAD[mode]
    return nearest_quarter_turn(yaw_rad(cube[3:]), wanted)


def grasp_wrist_rad(cube: np.ndarray, mode: int) -> float:
    """The last joint's angle in that grasp."""
    bearing = np.arctan2(cube[1], cube[0])
    return float(bearing + np.pi / 2 - grasp_yaw_rad(cube, mode))


def shortest_steps(distance_rad: np.ndarray, pace: float = 1.0) -> int:
    """Steps that a minimum-jerk motion over (n,) rad takes at the limits, speed times `pace`."""
    distance = float(np.abs(distance_rad).max())
    by_speed_s = _PEAK_SPEED * distance / (CRUISE_RAD_S * pace)
    by_acceleration_s = np.sqrt(_PEAK_ACCELERATION * distance / ACCELERATION_RAD_S2)
    return round(max(by_speed_s, by_acceleration_s) / _STEP_S)


def minimum_jerk(start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
    """Points 1..steps of the minimum-jerk motion from start to end, (steps, n)."""
    u = np.arange(1, steps + 1)[:, None] / steps
    return start + (end - start) * (10 * u**3 - 15 * u**4 + 6 * u**5)


def scaled_steps(full_steps: int, distance_m: float, full_m: float) -> int:
    """Steps for part of a way at the same peak acceleration as the full way's."""
    share = min(1.0, abs(distance_m) / full_m)
    return max(_SHORTEST_STRAIGHT_STEPS, round(full_steps * float(np.sqrt(share))))


def yaw_rad(quaternion: np.ndarray) -> float:
    """Turn about the vertical of a quaternion w, x, y, z."""
    w, x, y, z = quaternion
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def nearest_quarter_turn(angle_rad: float, wanted_rad: float) -> float:
    """The angle nearest to `wanted_rad` that differs from `angle_rad` by quarter turns."""
    return angle_rad + np.pi / 2 * round((wanted_rad - angle_rad) / (np.pi / 2))
