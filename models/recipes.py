"""The shipped recipes as data: task, sizes, schedules, loss weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from models.layers import DROPOUT_MODES
from models.policy import PolicyConfig
from models.tasks.metaworld.names import PREFIX as METAWORLD
from models.tasks.metaworld.names import TASK_KEY, TEN, TEN_NAME
from models.tasks.metaworld.task import RATE_HZ, REFERENCE_NAMES, MetaWorldTask
from models.tasks.robosuite.names import PREFIX as ROBOSUITE
from models.tasks.so101.lift import JOINT_NAMES as SO101_JOINTS
from models.tasks.viperx.lift import JOINT_NAMES as VIPERX_JOINTS
from models.tokenizer import TokenizerConfig
from models.training import Schedule, within

TokenizerVariant = Literal["paper", "conditioned", "observed"]
"""What a tokenizer sees besides the chunk: nothing, the previous command, the observation."""

POSE = ("x", "y", "z", "qw", "qx", "qy", "qz")
_CUBE = tuple(f"cube_{element}" for element in POSE)
_LOWER_CUBE = tuple(f"lower_cube_{element}" for element in POSE)


@dataclass(frozen=True)
class Feature:
    """One observation feature: what its elements are, and in which unit."""

    names: tuple[str, ...]
    unit: str


FORECAST = within(
    Schedule(steps=20_000, batch_size=256, learning_rate=1e-3, weight_decay=0.05), 20_000
)
"""Of what a tokenizer expects that sees the observation: small layers, so many steps are cheap."""


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
    forecast_schedule: Schedule = FORECAST


def _features(joints: tuple[str, ...], scene: tuple[str, ...]) -> dict[str, Feature]:
    """What an arm's policy observes; ``scene`` names the elements of its environment state."""
    return {
        "observation.state": Feature(joints, "rad"),
        "observation.environment_state": Feature(scene, "m, unit quaternion"),
        "observation.command": Feature(joints, "rad"),
    }


def with_tokenizer(recipe: Recipe, variant: TokenizerVariant) -> Recipe:
    """The recipe with the paper's tokenizer, or one conditioned on command or observation."""
    observed = recipe.policy.features if variant == "observed" else {}
    tokenizer = replace(
        recipe.tokenizer,
        conditioned_on_command=variant == "conditioned",
        observed=dict(observed),
        observed_steps=recipe.policy.n_obs_steps,
    )
    return replace(recipe, tokenizer=tokenizer)


def _viperx(name: str, scene: tuple[str, ...], demonstrations: int = 800) -> Recipe:
    """A task of the ViperX; ``scene`` names the elements of its environment state."""
    features = _features(VIPERX_JOINTS, scene)
    return Recipe(
        name=name,
        task=name,
        features=features,
        action=Feature(VIPERX_JOINTS, "rad"),
        tokenizer=TokenizerConfig(),
        policy=PolicyConfig(features={key: len(f.names) for key, f in features.items()}),
        tokenizer_schedule=Schedule(steps=7_000, batch_size=64, learning_rate=2e-3),
        policy_schedule=Schedule(
            steps=7_000, batch_size=128, learning_rate=1e-3, weight_decay=0.05
        ),
        joint_weights=(2.0, 2.0, 2.0, 1.0, 1.0, 0.4, 0.6),
        demonstrations=demonstrations,
    )


def _lifting(name: str, scene: tuple[str, ...]) -> Recipe:
    """A policy of a quarter of the size, as good here: a plan stays in a core's own cache."""
    recipe = _viperx(name, scene)
    return replace(
        recipe,
        policy=replace(recipe.policy, dim=64, layers=3, heads=2),
        policy_schedule=replace(recipe.policy_schedule, steps=12_000, bfloat16=True),
    )


def _placing(name: str, scene: tuple[str, ...]) -> Recipe:
    """A task of the ViperX that ends with the cube let go, to the centimetre: tokens tell little.

    Held-out surprise stays with that of training for as long as this trains: nothing to drop out.
    The forecast's held-out error falls all along too.
    """
    recipe = _viperx(name, scene, 2400)
    recipe = replace(
        recipe,
        policy=replace(recipe.policy, dropout=0.0),
        forecast_schedule=within(FORECAST, 40_000),
        policy_schedule=replace(recipe.policy_schedule, steps=20_000, bfloat16=True),
    )
    return with_tokenizer(recipe, "observed")


def _so101(name: str, scene: tuple[str, ...]) -> Recipe:
    """A task of the SO-101: smaller models than the ViperX's, its demonstrations vary less."""
    features = _features(SO101_JOINTS, scene)
    return Recipe(
        name=name,
        task=name,
        features=features,
        action=Feature(SO101_JOINTS, "rad"),
        tokenizer=TokenizerConfig(action_dim=len(SO101_JOINTS)),
        policy=PolicyConfig(
            features={key: len(f.names) for key, f in features.items()}, dim=96, layers=3, heads=3
        ),
        tokenizer_schedule=Schedule(steps=3_000, batch_size=64, learning_rate=2e-3),
        policy_schedule=Schedule(
            steps=3_000, batch_size=128, learning_rate=1e-3, weight_decay=0.05
        ),
        joint_weights=(2.0, 2.0, 2.0, 1.5, 0.5, 0.6),
    )


RECIPES = {
    "viperx-lift": _lifting("viperx-lift", _CUBE),
    "viperx-pick-place": _placing("viperx-pick-place", (*_CUBE, "tray_x", "tray_y")),
    "viperx-stack": _placing("viperx-stack", (*_CUBE, *_LOWER_CUBE)),
    "so101-lift": _so101("so101-lift", _CUBE),
}


def metaworld(task: str) -> Recipe:
    """One of MetaWorld's tasks by its whole name; raises ValueError if there is no such one."""
    objects = tuple(f"object_{n}_{element}" for n in (1, 2) for element in POSE)
    features = {
        "observation.state": Feature(("hand_x", "hand_y", "hand_z", "opening"), "m, share"),
        "observation.environment_state": Feature(
            (*objects, "goal_x", "goal_y", "goal_z"), "m, quaternion"
        ),
        "observation.command": Feature(REFERENCE_NAMES, "m, effort"),
    }
    name = MetaWorldTask(task).name.replace("/", "-")
    return of_a_hand(name, task, features, (1.5, 1.5, 1.5, 0.5), RATE_HZ)


def of_a_hand(
    name: str,
    task: str,
    features: dict[str, Feature],
    joint_weights: tuple[float, ...],
    rate_hz: float,
) -> Recipe:
    """A task in which a hand is led, not joints: its actions are what is commanded."""
    action = features["observation.command"]
    return Recipe(
        name=name,
        task=task,
        features=features,
        action=action,
        tokenizer=TokenizerConfig(action_dim=len(action.names)),
        policy=PolicyConfig(features={key: len(f.names) for key, f in features.items()}),
        tokenizer_schedule=Schedule(steps=5_000, batch_size=64, learning_rate=2e-3),
        policy_schedule=Schedule(
            steps=5_000, batch_size=128, learning_rate=1e-3, weight_decay=0.05
        ),
        joint_weights=joint_weights,
        rate_hz=float(rate_hz),
        demonstrations=300,
    )


def metaworld_ten() -> Recipe:
    """One policy for ten of MetaWorld's tasks, told at which it is.

    Its tokenizer sees the observation; what is left to tell bears a faster training.
    """
    one = metaworld(f"{METAWORLD}{TEN[0]}")
    features = one.features | {TASK_KEY: Feature(TEN, "1 for the task at hand")}
    ten = replace(
        one,
        name=TEN_NAME,
        task=TEN_NAME,
        features=features,
        policy=PolicyConfig(features={key: len(f.names) for key, f in features.items()}),
        tokenizer_schedule=replace(one.tokenizer_schedule, learning_rate=5e-3),
        policy_schedule=replace(one.policy_schedule, steps=10_000, bfloat16=True),
        demonstrations=1000,
    )
    return with_tokenizer(ten, "observed")


RECIPES[TEN_NAME] = metaworld_ten()

_LIFT = RECIPES["viperx-lift"]
RECIPES["viperx-lift-small"] = replace(
    _LIFT,
    name="viperx-lift-small",
    tokenizer=replace(_LIFT.tokenizer, dim=32, head_dim=16, encoder_depth=1, decoder_depth=2),
    policy=replace(_LIFT.policy, dim=64, layers=2, heads=4),
    forecast_schedule=within(FORECAST, 1_500),
    tokenizer_schedule=Schedule(steps=1_200, batch_size=64, learning_rate=3e-3),
    policy_schedule=Schedule(steps=1_500, batch_size=64, learning_rate=2e-3, weight_decay=0.05),
)
"""A thirtieth of the compute: minutes of one core, to compare methods rather than to run."""


def get_recipe(name: str) -> Recipe:
    """The named recipe; raises ValueError that names the known ones."""
    if name.startswith(METAWORLD):
        return metaworld(name)
    if name.startswith(ROBOSUITE):
        from models.robosuite_recipe import robosuite

        return robosuite(name)
    if name in RECIPES:
        return RECIPES[name]
    known = ", ".join((*RECIPES, f"{METAWORLD}<task>", f"{ROBOSUITE}<task>"))
    raise ValueError(f"unknown recipe {name!r}; known: {known}")


def scaled(recipe: Recipe, compute: float) -> Recipe:
    """The recipe with ``compute`` times its steps, validated as often; 1 changes nothing."""
    if compute == 1.0:
        return recipe
    names = ("forecast_schedule", "tokenizer_schedule", "policy_schedule")
    schedules = {name: getattr(recipe, name) for name in names}
    return replace(
        recipe, **{name: within(each, each.steps * compute) for name, each in schedules.items()}
    )


def with_nested_dropout(recipe: Recipe, mode: str | None) -> Recipe:
    """The recipe with another way to draw prefixes, if given; ValueError names the known ones."""
    if mode is None:
        return recipe
    if mode not in DROPOUT_MODES:
        raise ValueError(f"nested dropout is {mode!r}, allowed are {', '.join(DROPOUT_MODES)}")
    return replace(recipe, tokenizer=replace(recipe.tokenizer, nested_dropout=mode))


def shortened(recipe: Recipe, tokenizer_steps: int | None, policy_steps: int | None) -> Recipe:
    """The recipe with other numbers of steps where given; raises ValueError below 1.

    ``tokenizer_steps`` are a forecast's too.
    """
    schedules = {
        "forecast_schedule": tokenizer_steps,
        "tokenizer_schedule": tokenizer_steps,
        "policy_schedule": policy_steps,
    }
    for name, steps in schedules.items():
        if steps is not None:
            if steps < 1:
                raise ValueError(f"{name}: steps must be 1 or more, got {steps}")
            recipe = replace(recipe, **{name: replace(getattr(recipe, name), steps=steps)})
    return recipe
