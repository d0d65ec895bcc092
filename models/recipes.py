"""The shipped recipes as data: task, sizes, schedules, loss weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

from models.policy import PolicyConfig
from models.tokenizer import TokenizerConfig
from models.training import Schedule

_JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")
_CUBE = ("cube_x", "cube_y", "cube_z", "cube_qw", "cube_qx", "cube_qy", "cube_qz")


@dataclass(frozen=True)
class Feature:
    """One observation feature: what its elements are, and in which unit."""

    names: tuple[str, ...]
    unit: str


@dataclass(frozen=True)
class Recipe:
    """Everything that determines trained weights, together with the demonstrations."""

    name: str
    task: str
    features: dict[str, Feature]
    action: Feature
    tokenizer: TokenizerConfig
    policy: PolicyConfig
    tokenizer_schedule: Schedule
    policy_schedule: Schedule
    joint_weights: tuple[float, ...]
    rate_hz: float = 50.0
    execution_horizon: int = 16
    early_weight: float = 1.4
    command_noise: float = 0.08
    observation_noise: float = 0.01
    held_out: float = 0.05
    demonstrations: int = 800
    seed: int = 0


VIPERX_FEATURES = {
    "observation.state": Feature(_JOINTS, "rad"),
    "observation.environment_state": Feature(_CUBE, "m, unit quaternion"),
    "observation.command": Feature(_JOINTS, "rad"),
}

RECIPES = {
    "viperx-lift": Recipe(
        name="viperx-lift",
        task="viperx-lift",
        features=VIPERX_FEATURES,
        action=Feature(_JOINTS, "rad"),
        tokenizer=TokenizerConfig(),
        policy=PolicyConfig(features={key: len(f.names) for key, f in VIPERX_FEATURES.items()}),
        tokenizer_schedule=Schedule(steps=7_000, batch_size=64, learning_rate=2e-3),
        policy_schedule=Schedule(
            steps=7_000, batch_size=128, learning_rate=1e-3, weight_decay=0.05
        ),
        joint_weights=(2.0, 2.0, 2.0, 1.0, 1.0, 0.4, 0.6),
    ),
}


def get_recipe(name: str, conditioned: bool = True) -> Recipe:
    """The named recipe, with the paper's tokenizer if not ``conditioned``.

    Raises ValueError that names the known recipes.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; known: {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    return replace(recipe, tokenizer=replace(recipe.tokenizer, conditioned_on_command=conditioned))


def shortened(recipe: Recipe, tokenizer_steps: int | None, policy_steps: int | None) -> Recipe:
    """The recipe with other numbers of steps where given; raises ValueError below 1."""
    schedules = {"tokenizer_schedule": tokenizer_steps, "policy_schedule": policy_steps}
    for name, steps in schedules.items():
        if steps is not None:
            if steps < 1:
                raise ValueError(f"{name}: steps must be 1 or more, got {steps}")
            recipe = replace(recipe, **{name: replace(getattr(recipe, name), steps=steps)})
    return recipe
