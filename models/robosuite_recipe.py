"""The recipe of robosuite's tasks, which are one robot and one object each."""

from __future__ import annotations

from models.policy import PolicyConfig
from models.recipes import Feature, Recipe
from models.tasks.robosuite.names import RATE_HZ
from models.tasks.robosuite.task import REFERENCE_NAMES, RobosuiteTask
from models.tokenizer import TokenizerConfig
from models.training import Schedule

_POSE = ("x", "y", "z", "qw", "qx", "qy", "qz")


def robosuite(task: str) -> Recipe:
    """One of the tasks by its whole name; raises ValueError if there is no such one."""
    features = {
        "observation.state": Feature((*REFERENCE_NAMES[:6], "fingers_apart"), "m, rad"),
        "observation.environment_state": Feature(
            tuple(f"object_{element}" for element in _POSE), "m, unit quaternion"
        ),
        "observation.command": Feature(REFERENCE_NAMES, "m, rad, effort"),
    }
    return Recipe(
        name=RobosuiteTask(task).name.replace("/", "-"),
        task=task,
        features=features,
        action=Feature(REFERENCE_NAMES, "m, rad, effort"),
        tokenizer=TokenizerConfig(action_dim=len(REFERENCE_NAMES)),
        policy=PolicyConfig(features={key: len(f.names) for key, f in features.items()}),
        tokenizer_schedule=Schedule(steps=5_000, batch_size=64, learning_rate=2e-3),
        policy_schedule=Schedule(
            steps=5_000, batch_size=128, learning_rate=1e-3, weight_decay=0.05
        ),
        joint_weights=(2.0, 2.0, 2.0, 0.5, 0.5, 1.0, 0.5),
        rate_hz=float(RATE_HZ),
        demonstrations=300,
    )
