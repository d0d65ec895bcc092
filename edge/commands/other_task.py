"""A robot before another simulated task, or with another bundle, than its file says."""

from __future__ import annotations

from edge.bundle import read_manifest
from edge.commands.bundles import find_bundle
from edge.errors import UsageError
from edge.robot import Robot
from models.tasks import TASK_NAMES, get_task

REAL_EPISODE_S = 8.0
MARGIN_S = 2.0  # a robot waits for its first plan, and for what the machine holds up


def with_task(robot: Robot, task: str) -> Robot:
    """The robot before another simulated task, whose bundle it takes unless told otherwise.

    Raises UsageError for a real robot and for an unknown task.
    """
    if not robot.emulated:
        raise UsageError(f"--task is {task!r}, but robot {robot.name} has real ports")
    if task not in TASK_NAMES:
        raise UsageError(f"--task is {task!r}, allowed are {', '.join(TASK_NAMES)}")
    return robot.model_copy(update={"plant": task, "bundle": task})


def planning_with(robot: Robot, bundle_name: str) -> Robot:
    """The robot with a bundle that its file does not name: in FP32 where that lacks its precision.

    The file's precision was chosen for the file's bundle. Raises BundleError if there is none.
    """
    has = read_manifest(find_bundle(bundle_name))[0].graphs
    if robot.planner.precision in has:
        return robot
    planner = robot.planner.model_copy(update={"precision": "fp32"})
    return robot.model_copy(update={"planner": planner})


def longest_episode_s(robot: Robot) -> float:
    """How long an episode may last unless told otherwise: its task's time, and a margin."""
    if not robot.emulated or robot.plant not in TASK_NAMES:
        return REAL_EPISODE_S
    task = get_task(robot.plant)
    longest_s: float = task.max_steps / task.rate_hz + MARGIN_S
    return longest_s
