"""One recorded demonstration: noise and a shove on what is executed, clean references as labels."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

import numpy as np

from models.tasks.demonstrations import Episode
from models.tasks.noise import OrnsteinUhlenbeck
from models.tasks.viperx.expert import MODES, Plan, minimum_jerk, shortest_steps
from models.tasks.viperx.expert_policy import DROPPED_M
from models.tasks.viperx.kinematics import UnreachableError

if TYPE_CHECKING:
    from models.tasks.arm_task import ArmTask

NOISE_MAX_RAD = 0.02
SHOVE_PROBABILITY = 0.5
_SHOVE_PACE = 1.5
_SHOVED_TOOL_MIN_M = 0.03
_MAX_PLANS = 5


class _Outcome(Enum):
    """Why the execution of a plan ended."""

    DONE = auto()
    SHOVED = auto()
    NOTICED = auto()
    DROPPED = auto()
    TOO_LONG = auto()


class Recorder:
    """Runs the expert on the plant and keeps what happened; one object records one episode."""

    def __init__(self, task: ArmTask, rng: np.random.Generator) -> None:
        self._task, self._rng = task, rng
        self._plant, self._kinematics = task.make_plant(), task.make_kinematics()
        self._mode = int(rng.choice(MODES))
        self._expert = task.make_expert(self._kinematics, self._mode, rng)
        self._noise = OrnsteinUhlenbeck(rng, rng.uniform(0, NOISE_MAX_RAD), task.home_rad.size)
        spread_rad = np.array(task.spread.start_rad)
        self._command = task.home_rad + rng.uniform(-1, 1, spread_rad.size) * spread_rad
        self._rows: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, bool]] = []
        self._success = task.make_success()
        self._error_m = task.misjudgement(rng)

    def record(self) -> Episode | None:
        """The episode, or None if it did not end with the task done."""
        self._plant.reset(self._rng, self._command)
        try:
            done = self._run()
        except UnreachableError:
            return None
        return self._episode() if done else None

    def _run(self) -> bool:
        plan = self._plan()
        shove_step = self._shove_step(plan)
        for _ in range(_MAX_PLANS):
            outcome = self._follow(plan, shove_step)
            if outcome in (_Outcome.DONE, _Outcome.TOO_LONG):
                break
            if outcome is _Outcome.SHOVED:
                self._shove()
                self._expert.reconsider(self._command, self._plant.environment_state)
            plan, shove_step = self._plan(), None
        return self._success.update(self._plant) and self._task.is_done(self._plant)

    def _plan(self) -> Plan:
        self._noise.reset()
        plant = self._plant
        believed = plant.environment_state
        if self._error_m is not None:
            believed = believed + self._error_m
        return self._expert.plan(plant.position_rad, self._command, believed)

    def _shove_step(self, plan: Plan) -> int | None:
        """When to shove the arm, if at all: never while the fingers close or have let go."""
        if self._rng.random() >= SHOVE_PROBABILITY:
            return None
        if self._rng.random() < 0.7:
            return int(self._rng.integers(2, plan.close_step))
        return int(self._rng.integers(plan.lift_step + 2, plan.release_step - 4))

    def _notice_step(self, plan: Plan) -> int | None:
        """When a misjudgement is noticed: on the way with the cube, before it is let go."""
        if self._error_m is None:
            return None
        return int(self._rng.integers(plan.lift_step + 2, plan.release_step))

    def _follow(self, plan: Plan, shove_step: int | None) -> _Outcome:
        """Execute a plan as far as it holds; what a misjudgement leads to is no label."""
        notice_step = self._notice_step(plan)
        for step, clean in enumerate(plan.reference_rad):
            if len(self._rows) >= self._task.max_steps:
                return _Outcome.TOO_LONG
            if step == shove_step:
                return _Outcome.SHOVED
            if step == notice_step:
                self._error_m = None
                return _Outcome.NOTICED
            if self._dropped(plan, step):
                return _Outcome.DROPPED
            noise = self._noise.next(plan.noise_scale[step])
            right = self._error_m is None or step < plan.lift_step
            self._execute(clean, clean + noise, valid=right)
        return _Outcome.DONE

    def _dropped(self, plan: Plan, step: int) -> bool:
        if not plan.lift_step + 8 <= step < plan.release_step:
            return False
        plant = self._plant
        return self._expert.tool_to_cube_m(plant.position_rad, plant.cube_pose) > DROPPED_M

    def _shove(self) -> None:
        """Displace the commanded arm smoothly; these steps are no labels."""
        start, goal = self._command.copy(), self._shove_goal()
        steps = max(int(self._rng.integers(8, 15)), shortest_steps(goal - start, _SHOVE_PACE))
        for executed in minimum_jerk(start, goal, steps):
            self._execute(goal, executed, valid=False)

    def _shove_goal(self) -> np.ndarray:
        plant, rng = self._plant, self._rng
        holding = self._expert.holds(plant.position_rad, self._command, plant.cube_pose)
        goal, shove_rad = self._command.copy(), np.array(self._task.spread.shove_rad)
        for _ in range(20):
            offset = np.clip(rng.standard_normal(shove_rad.size), -2, 2) * shove_rad
            goal[:-1] = self._command[:-1] + offset * (0.5 if holding else 1.0)
            if self._kinematics.tool_pose(goal)[0][2] > _SHOVED_TOOL_MIN_M:
                break
        if not holding and rng.random() < 0.3:
            goal[-1] = rng.uniform(0.0, 1.0)
        return goal

    def _execute(self, clean: np.ndarray, executed: np.ndarray, valid: bool) -> None:
        plant = self._plant
        scene = plant.environment_state
        row = (plant.position_rad, scene, self._command.copy(), clean.copy(), valid)
        self._rows.append(row)
        plant.track(self._command, executed)
        self._command = executed
        self._success.update(plant)

    def _episode(self) -> Episode:
        columns = [np.array(column) for column in zip(*self._rows, strict=True)]
        state, scene, command, action = (column.astype(np.float32) for column in columns[:4])
        return Episode(state, scene, command, action, columns[4].astype(bool), self._mode)
