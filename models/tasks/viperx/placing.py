"""What pick-and-place and stacking share: where things may lie, and when the cube is placed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.tasks.viperx.lift import CUBE_HALF_SIZE_M, CUBE_X_M, CUBE_Y_M

MAX_STEPS = 450

TRAY_FLOOR_M = 0.002
TRAY_X_M = (0.26, 0.36)
TRAY_Y_M = (-0.20, 0.20)
TRAY_DISTANCE_M = 0.14
LOWER_CUBE_DISTANCE_M = 0.10
"""Least distance between the centres: the open gripper goes down beside the other thing."""

MISJUDGED_SHARE = 0.5
MISJUDGED_M = 0.02
"""Standing deviation per axis of where a demonstrator at first believes the rest to be, cut at two
of them: about as far as policies carried the cube astray that had never seen it done."""

REST_HEIGHT_M = 0.005
"""Half the range of heights that count as resting on what is below."""

REST_SPEED_M_S = 0.01
REST_TICKS = 25


@dataclass(frozen=True)
class Placement:
    """How the cube is now: its centre from where it should rest (x, y, z) in m, the speed of the
    fastest cube's centre in m/s, and whether the arm touches a cube."""

    offset_m: np.ndarray
    speed_m_s: float
    touched: bool


class HasPlacement(Protocol):
    """What the success predicate needs of a plant."""

    @property
    def placement(self) -> Placement:
        """How the cube is now."""


class PlacingSuccess:
    """The cube rests where it should, let go, for `REST_TICKS` consecutive ticks of 50 Hz.

    Its centre is within `tolerance_m` of the right place in the plane and within `REST_HEIGHT_M`
    of the right height; no cube is touched by the arm or faster than `REST_SPEED_M_S`.
    """

    def __init__(self, tolerance_m: float) -> None:
        self._tolerance_m, self._ticks = tolerance_m, 0

    def update(self, plant: HasPlacement) -> bool:
        """Account for one tick; True from the tick on which the cube counts as placed."""
        if self._ticks < REST_TICKS:
            self._ticks = self._ticks + 1 if is_placed(plant.placement, self._tolerance_m) else 0
        return self._ticks >= REST_TICKS


def is_placed(placement: Placement, tolerance_m: float) -> bool:
    """Whether the cube rests where it should at this moment, let go."""
    x_m, y_m, z_m = placement.offset_m
    return bool(
        np.hypot(x_m, y_m) <= tolerance_m
        and abs(z_m) <= REST_HEIGHT_M
        and placement.speed_m_s <= REST_SPEED_M_S
        and not placement.touched
    )


def sample_tray_m(rng: np.random.Generator, cube_m: np.ndarray) -> np.ndarray:
    """Centre of the tray on the table, x and y in m, (2,), clear of a cube at x, y, …"""
    return _sample_apart(rng, TRAY_X_M, TRAY_Y_M, cube_m, TRAY_DISTANCE_M)


def sample_lower_cube_pose(rng: np.random.Generator, cube_m: np.ndarray) -> np.ndarray:
    """Pose at rest of the lower cube, turned at random, (7,), clear of a cube at x, y, …"""
    place_m = _sample_apart(rng, CUBE_X_M, CUBE_Y_M, cube_m, LOWER_CUBE_DISTANCE_M)
    half_turn = rng.uniform(-np.pi / 4, np.pi / 4) / 2
    return np.array([*place_m, CUBE_HALF_SIZE_M, np.cos(half_turn), 0.0, 0.0, np.sin(half_turn)])


def sample_misjudgement_m(rng: np.random.Generator, scene_size: int) -> np.ndarray | None:
    """An error of the environment state, (scene_size,), in where to put the cube; None for none."""
    if rng.random() >= MISJUDGED_SHARE:
        return None
    error_m = np.zeros(scene_size)
    error_m[7:9] = np.clip(rng.standard_normal(2), -2, 2) * MISJUDGED_M
    return error_m


def rest_in_tray_m(environment: np.ndarray) -> np.ndarray:
    """Where the cube's centre rests, (3,), by the pick-and-place environment state, (9,)."""
    return np.array([*environment[7:9], TRAY_FLOOR_M + CUBE_HALF_SIZE_M])


def rest_on_cube_m(environment: np.ndarray) -> np.ndarray:
    """Where the upper cube's centre rests, (3,), by the stacking environment state, (14,)."""
    return environment[7:10] + np.array([0.0, 0.0, 2 * CUBE_HALF_SIZE_M])


def _sample_apart(
    rng: np.random.Generator,
    x_m: tuple[float, float],
    y_m: tuple[float, float],
    other_m: np.ndarray,
    distance_m: float,
) -> np.ndarray:
    """A point of the rectangle at least so far from x, y of `other_m`; the ranges leave room."""
    while True:
        point_m = np.array([rng.uniform(*x_m), rng.uniform(*y_m)])
        if np.linalg.norm(point_m - other_m[:2]) >= distance_m:
            return point_m
