"""Which core each process keeps to, where robot.yaml leaves it open.

Servo and planner get one each: two real-time processes on one core push each other about, and a
planner that was moved finds none of its weights in the new core's caches.
"""

from __future__ import annotations

import os

from edge.robot import Robot


def assign_cores(robot: Robot, allowed: set[int] | None = None) -> Robot:
    """The robot with a core for the servo and another for the planner; those named stay.

    ``allowed`` is what this process may use if left out. The servo gets the last core: interrupts
    tend to go to the first. With one core alone nothing is assigned.
    """
    cores = sorted(os.sched_getaffinity(0) if allowed is None else allowed)
    servo, planner = robot.servo.core, robot.planner.core
    if len(cores) < 2:
        return robot
    servo = servo if servo is not None else _last(cores, planner)
    planner = planner if planner is not None else _last(cores, servo)
    return robot.model_copy(
        update={
            "servo": robot.servo.model_copy(update={"core": servo}),
            "planner": robot.planner.model_copy(update={"core": planner}),
        }
    )


def _last(cores: list[int], taken: int | None) -> int:
    return next(core for core in reversed(cores) if core != taken)
