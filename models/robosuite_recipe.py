"""The recipe of robosuite's tasks, which are one robot and one object each."""

from __future__ import annotations

from models.recipes import POSE, Feature, Recipe, of_a_hand
from models.tasks.robosuite.names import RATE_HZ
from models.tasks.robosuite.task import REFERENCE_NAMES, RobosuiteTask


def robosuite(task: str) -> Recipe:
    """One of the tasks by its whole name; raises ValueError if there is no such one."""
    features = {
        "observation.state": Feature((*REFERENCE_NAMES[:6], "fingers_apart"), "m, rad"),
        "observation.environment_state": Feature(
            tuple(f"object_{element}" for element in POSE), "m, unit quaternion"
        ),
        "observation.command": Feature(REFERENCE_NAMES, "m, rad, effort"),
    }
    name = RobosuiteTask(task).name.replace("/", "-")
    return of_a_hand(name, task, features, (2.0, 2.0, 2.0, 0.5, 0.5, 1.0, 0.5), RATE_HZ)
