"""Scripted experts of the robosuite tasks: grasp, carry, lower, let go, retreat.

What to do next follows from what is observed, so an expert goes on from wherever hand and object
are, also after a slip. Where an object can be taken with the hand turned one way or another, which
way is drawn at random.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.tasks.robosuite.names import PREFIX

OPEN, CLOSED = -1.0, 1.0
HOVER_M, NEAR_M, ALIGNED_RAD = 0.08, 0.006, 0.06
GRASPED_M = 0.006
LOST_M, EMPTY_M = 0.05, 0.005
"""An object so far from the grasp, or fingers so close together, hold nothing."""

STILL_M, SETTLING_STEPS = 0.0005, 5
"""Fingers that move less in a step have arrived, but not so soon after they were told to go."""

FAST_M, SLOW_M, TURN_RAD = 0.02, 0.01, 0.08
"""Steps of the reference: on the way, near things, and turning."""

BASE_M = np.array([-0.56, 0.0])
MOST_TURN_RAD = 2.4
"""How far the hand may be turned from the middle, as the base sees it."""

HOME_YAW_RAD = -np.pi / 4
IN_PLACE_M = 0.02


@dataclass(frozen=True)
class Handling:
    """How one object is taken and where it goes, lengths in m, world's axes.

    ``grasp``: where fingers take it, in its own frame; ``symmetry_rad``: turned so far it is taken
    alike. ``target``: x y of its place, None to lift it alone; ``turned_rad``: how it is turned
    there, None as it comes. ``carry``: height of its middle on the way; ``release``: below it
    is let go; ``guided``: below it stands in its place, however it lies; ``tolerance``: how near
    its middle must be to go down.
    """

    grasp: tuple[float, float, float]
    symmetry_rad: float
    carry: float
    target: tuple[float, float] | None = None
    turned_rad: float | None = None
    release: float = 0.0
    guided: float = 0.0
    tolerance: float = 0.01


HANDLING = {
    "Lift": Handling((0.0, 0.0, 0.0), np.pi / 2, carry=0.95),
    "Can": Handling(
        (0.0, 0.0, 0.01), np.pi / 2, 1.0, target=(0.145, 0.325), release=0.875, tolerance=0.015
    ),
    "Square": Handling(
        (0.06, 0.0, 0.0), np.pi, 1.0, (0.23, 0.1), np.pi, 0.88, guided=0.945, tolerance=0.004
    ),
}


class Expert:
    """The expert for one episode; `mode` counts the ways to turn the hand that it chose among."""

    def __init__(self, task: str, rng: np.random.Generator) -> None:
        self._handling = HANDLING[task.removeprefix(PREFIX)]
        self.mode = int(rng.integers(2))
        self._grasp_yaw: float | None = None
        self._fingers_m, self._effort, self._told_for = np.inf, OPEN, 0

    def reference(self, state: np.ndarray, scene: np.ndarray, command: np.ndarray) -> np.ndarray:
        """The reference for one step later, (7,), from what is observed, (7,) each."""
        item, heading = scene[:3], _heading(scene[3:])
        grasp = item + _turned(heading) @ np.array(self._handling.grasp)
        settled = self._fingers_settled(state[6], command[6])
        act = self._holding if command[6] > 0 else self._reaching
        return act(state, item, heading, grasp, command, settled)

    def _fingers_settled(self, apart_m: float, effort: float) -> bool:
        """Whether they do not move any more since they were last told to close or to open."""
        same = (effort > 0) == (self._effort > 0)
        self._told_for = self._told_for + 1 if same else 0
        moved, self._fingers_m, self._effort = abs(apart_m - self._fingers_m), apart_m, effort
        return self._told_for >= SETTLING_STEPS and moved < STILL_M

    def _reaching(
        self,
        state: np.ndarray,
        item: np.ndarray,
        heading: float,
        grasp: np.ndarray,
        command: np.ndarray,
        settled: bool,
    ) -> np.ndarray:
        """Fingers open: over the object, down to it, close; or away from where it was placed."""
        hand, yaw = state[:3], self._yaw(heading, _bearing(item))
        if self._is_placed(item):
            if not settled:
                return np.append(command[:6], OPEN)
            away = np.append(command[:2], self._handling.carry)
            return _towards(command, away, command[5], SLOW_M)
        if np.linalg.norm(grasp - hand) < GRASPED_M:
            return np.append(command[:6], CLOSED)
        if self._is_over(grasp, hand) and abs(yaw - state[5]) < ALIGNED_RAD:
            return _towards(command, grasp, yaw, SLOW_M)
        above = grasp + np.array([0.0, 0.0, HOVER_M])
        if hand[2] < grasp[2] + HOVER_M / 2 and not self._is_over(grasp, hand):
            above[:2] = hand[:2]
        return _towards(command, above, yaw, FAST_M)

    def _holding(
        self,
        state: np.ndarray,
        item: np.ndarray,
        heading: float,
        grasp: np.ndarray,
        command: np.ndarray,
        settled: bool,
    ) -> np.ndarray:
        """Fingers closed: up, across, down, and open there; open too if there is nothing."""
        plan, hand = self._handling, state[:3]
        if state[6] < EMPTY_M or np.linalg.norm(grasp - hand) > LOST_M:
            return np.append(command[:6], OPEN)
        if not settled:
            return command.copy()
        up = np.append(command[:2], hand[2] + plan.carry - item[2])
        if plan.target is None:
            return _towards(command, up, command[5], SLOW_M, CLOSED)
        yaw = self._placing_yaw(heading, state[5])
        there = np.array(plan.target) - _turned(yaw - state[5])[:2, :2] @ (item - hand)[:2]
        across = np.append(there, hand[2] + plan.carry - item[2])
        off = np.linalg.norm(item[:2] - plan.target)
        fits = off < plan.tolerance and abs(yaw - state[5]) < ALIGNED_RAD / 2
        if fits or (off < IN_PLACE_M and item[2] < plan.guided):
            if item[2] < plan.release:
                return np.append(command[:6], OPEN)
            down = np.append(there, hand[2] - item[2] + plan.release - 0.02)
            return _towards(command, down, yaw, SLOW_M, CLOSED)
        if item[2] < plan.carry - 0.03 and np.linalg.norm(there - hand[:2]) > 2 * plan.tolerance:
            return _towards(command, up, command[5], SLOW_M, CLOSED)
        return _towards(command, across, yaw, FAST_M, CLOSED)

    def _is_over(self, grasp: np.ndarray, hand: np.ndarray) -> bool:
        """Whether to go down: near when high, and not so far off when low that it would touch."""
        allowed = NEAR_M if hand[2] > grasp[2] + HOVER_M / 2 else 3 * NEAR_M
        return bool(np.linalg.norm((grasp - hand)[:2]) < allowed)

    def _is_placed(self, item: np.ndarray) -> bool:
        plan = self._handling
        if plan.target is None:
            return False
        return bool(np.linalg.norm(item[:2] - plan.target) < 0.05 and item[2] < plan.release + 0.03)

    def _yaw(self, heading: float, bearing: float) -> float:
        """How far the hand is turned to take an object: chosen once, then as near as can be."""
        period = self._handling.symmetry_rad
        ways = [heading + HOME_YAW_RAD + turn * period for turn in range(-4, 5)]
        if self._grasp_yaw is None:
            possible = [way for way in ways if abs(way - bearing) < MOST_TURN_RAD]
            nearest = sorted(possible, key=lambda way: abs(way - HOME_YAW_RAD))[:2]
            self._grasp_yaw = nearest[self.mode % len(nearest)]
        return min(ways, key=lambda way: abs(way - self._grasp_yaw))

    def _placing_yaw(self, heading: float, yaw: float) -> float:
        """How far the hand is turned when what it holds fits its place."""
        wanted = self._handling.turned_rad
        if wanted is None:
            return yaw
        return float(np.angle(np.exp(1j * (yaw + wanted - heading))))


def _towards(
    command: np.ndarray, position: np.ndarray, yaw: float, step_m: float, fingers: float = OPEN
) -> np.ndarray:
    """The next reference on the straight way there, the hand level."""
    way, turn = position - command[:3], np.array([0.0, 0.0, yaw]) - command[3:6]
    length = float(np.linalg.norm(way))
    reach = command[:3] + way * min(1.0, step_m / max(length, 1e-9))
    return np.concatenate([reach, command[3:6] + np.clip(turn, -TURN_RAD, TURN_RAD), [fingers]])


def _heading(quaternion: np.ndarray) -> float:
    """Rotation about the vertical of a quaternion w x y z, rad."""
    w, x, y, z = quaternion
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def _bearing(position: np.ndarray) -> float:
    """Direction in which the arm's base sees a position, rad."""
    ahead, left = position[:2] - BASE_M
    return float(np.arctan2(left, ahead))


def _turned(yaw: float) -> np.ndarray:
    """The rotation about the vertical, (3, 3)."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
