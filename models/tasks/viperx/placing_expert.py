"""A scripted expert that grasps the cube and puts it where it should rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.tasks.viperx.expert import (
    CLEAR_NOISE,
    GRASP_NOISE,
    HELD_NOISE,
    MODES,
    WRIST,
    Expert,
    Phase,
    Plan,
    Style,
    grasp_wrist_rad,
    join,
    minimum_jerk,
    scaled_steps,
    shortest_steps,
)
from models.tasks.viperx.kinematics import ARM_JOINTS, Kinematics, grasp_rotation

_OVER_M = 0.006
"""So near above its rest the cube goes down without being lifted first."""

_LARGEST_GRIP_OFFSET_M = 0.015

WRIST_PACE = 1.5
"""Of the speed that all joints together move at: the wrist alone carries little."""


@dataclass(frozen=True)
class PlacingStyle:
    """How one demonstrator places; heights in m above the rest, counts in steps of 20 ms."""

    carry_m: float
    drop_m: float
    retreat_m: float
    lower_steps: int
    open_steps: int
    retreat_steps: int

    @staticmethod
    def sample(rng: np.random.Generator) -> PlacingStyle:
        """A demonstrator at random."""
        return PlacingStyle(
            carry_m=rng.uniform(0.060, 0.085),
            drop_m=rng.uniform(0.002, 0.004),
            retreat_m=rng.uniform(0.060, 0.080),
            lower_steps=int(rng.integers(24, 31)),
            open_steps=int(rng.integers(16, 22)),
            retreat_steps=int(rng.integers(20, 27)),
        )


class PlacingExpert(Expert):
    """Plans from any state of the arm; raises UnreachableError if a thing has left its reach.

    ``rest_m`` gives the cube's centre at its rest, (3,), from the environment state.
    """

    def __init__(
        self,
        kinematics: Kinematics,
        mode: int,
        style: Style,
        placing: PlacingStyle,
        rest_m: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        super().__init__(kinematics, mode, style)
        self._placing, self._rest_m = placing, rest_m

    def reconsider(self, command_rad: np.ndarray, environment: np.ndarray) -> None:
        """Take the mode that is nearer to how the wrist is turned, as people do.

        From in between, a policy then has one thing to learn: to go on the way that it is on.
        """
        now_rad, cube = command_rad[WRIST], environment[:7]
        self._mode = min(MODES, key=lambda mode: abs(grasp_wrist_rad(cube, mode) - now_rad))

    def plan(
        self, position_rad: np.ndarray, command_rad: np.ndarray, environment: np.ndarray
    ) -> Plan:
        """Grasp, carry, lower, let go, retreat; `environment` begins with the cube's pose."""
        cube = environment[:7]
        grasp = self._grasp(position_rad, command_rad, cube)
        command = grasp[-1].path_rad[-1] if grasp else command_rad
        grip_m = self._grip_m(command, cube)
        over, down = self._way_down(command, grip_m, self._rest_m(environment))
        lift = [] if self._is_over(command, over) else self._carry(command, over)
        start = lift[-1].path_rad[-1] if lift else command
        lowering = Phase(self._to(start, down, self._placing.lower_steps), GRASP_NOISE)
        return join(grasp, [*lift, lowering], self._release(lowering.path_rad[-1]))

    def _approach(self, command: np.ndarray, cube: np.ndarray) -> np.ndarray:
        """As to lift, but the wrist turns first: which of the two ways it is shows early."""
        path = super()._approach(command, cube)
        start, goal = command[[WRIST]], path[-1, [WRIST]]
        steps = min(len(path), max(1, shortest_steps(goal - start, WRIST_PACE)))
        path[:, WRIST] = goal
        path[:steps, [WRIST]] = minimum_jerk(start, goal, steps)
        return path

    def _grip_m(self, command: np.ndarray, cube: np.ndarray) -> np.ndarray:
        """The cube's centre in the frame of the commanded tool, (3,): the arm's sag is in it."""
        tool, rotation = self._kinematics.tool_pose(command)
        offset = rotation.T @ (cube[:3] - tool)
        return np.clip(offset, -_LARGEST_GRIP_OFFSET_M, _LARGEST_GRIP_OFFSET_M)

    def _way_down(
        self, command: np.ndarray, grip_m: np.ndarray, rest_m: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Joint angles (6,) with the cube high above its rest, and just above it."""
        bearing = np.arctan2(rest_m[1], rest_m[0])
        yaw = bearing + self._tool_yaw_rad(command) - command[0]
        rotation = grasp_rotation(yaw)
        seed = np.array([bearing, *command[1:ARM_JOINTS]])
        tool_m = rest_m - rotation @ grip_m
        up_m = np.array([0.0, 0.0, 1.0])
        over = self._kinematics.solve(tool_m + self._placing.carry_m * up_m, rotation, seed)
        return over, self._kinematics.solve(tool_m + self._placing.drop_m * up_m, rotation, over)

    def _is_over(self, command: np.ndarray, over: np.ndarray) -> bool:
        """Whether the tool is below the point it would be carried to, but hardly beside it."""
        (tool, _), (goal, _) = map(self._kinematics.tool_pose, (command, over))
        return bool(np.linalg.norm(tool[:2] - goal[:2]) < _OVER_M and tool[2] <= goal[2])

    def _carry(self, command: np.ndarray, over: np.ndarray) -> list[Phase]:
        """Straight up if the cube is too low to travel, then over its rest."""
        tool, rotation = self._kinematics.tool_pose(command)
        goal, _ = self._kinematics.tool_pose(over)
        phases, start = [], command
        if tool[2] < goal[2] - _OVER_M:
            top = np.array([*tool[:2], goal[2]])
            steps = scaled_steps(self._style.lift_steps, top[2] - tool[2], self._style.lift_m)
            rise = self._straight(command, tool, top, rotation, steps)
            phases, start = [Phase(rise, HELD_NOISE)], rise[-1]
        return [*phases, Phase(self._move(start, np.append(over, start[-1])), HELD_NOISE)]

    def _to(self, command: np.ndarray, down: np.ndarray, steps: int) -> np.ndarray:
        tool, _ = self._kinematics.tool_pose(command)
        goal, rotation = self._kinematics.tool_pose(down)
        steps = scaled_steps(steps, tool[2] - goal[2], self._placing.carry_m)
        return self._straight(command, tool, goal, rotation, steps)

    def _release(self, command: np.ndarray) -> list[Phase]:
        """Open, go straight up, stay."""
        opened = np.append(command[:ARM_JOINTS], self._style.open_rad)
        opening = minimum_jerk(command, opened, self._placing.open_steps)
        tool, rotation = self._kinematics.tool_pose(opened)
        top = tool + np.array([0.0, 0.0, self._placing.retreat_m])
        rise = self._straight(opened, tool, top, rotation, self._placing.retreat_steps)
        stay = np.repeat(rise[-1:], self._style.hold_steps, axis=0)
        return [Phase(opening, GRASP_NOISE), Phase(rise, HELD_NOISE), Phase(stay, CLEAR_NOISE)]

    def _tool_yaw_rad(self, command: np.ndarray) -> float:
        """Direction in the plane that the fingers move along."""
        _, rotation = self._kinematics.tool_pose(command)
        return float(np.arctan2(rotation[1, 1], rotation[0, 1]))
