"""A recipe for recorded data of any robot: features, action and rate are those of the data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from models.data.errors import DataError
from models.data.formats import read_recording
from models.data.recording import ACTION, COMMAND, Recording
from models.policy import PolicyConfig
from models.recipes import Feature, Recipe
from models.tokenizer import TokenizerConfig
from models.training import Schedule

CUSTOM = "custom"
UNIT = "as recorded"


def custom_recipe(data: Path, rate_hz: float | None, task: str = CUSTOM) -> Recipe:
    """Every vector that was observed, and the action; ``rate_hz`` where the data says none.

    ``task`` is where the data comes from, if a policy of it can be evaluated there.

    Raises DataError for data that cannot be read or trained on, and where no rate is known or two
    differ.
    """
    recording = read_recording(data)
    keys = sorted({key for key in recording.columns if key != ACTION} | {COMMAND})
    features = {key: _feature(recording, key) for key in keys}
    action = _feature(recording, ACTION)
    size = len(action.names)
    return Recipe(
        name=task.replace("/", "-"),
        task=task,
        features=features,
        action=action,
        tokenizer=replace(TokenizerConfig(), action_dim=size),
        policy=PolicyConfig(features={key: len(f.names) for key, f in features.items()}),
        tokenizer_schedule=Schedule(steps=7_000, batch_size=64, learning_rate=2e-3),
        policy_schedule=Schedule(
            steps=7_000, batch_size=128, learning_rate=1e-3, weight_decay=0.05
        ),
        joint_weights=(1.0,) * size,
        rate_hz=_rate_hz(recording, rate_hz),
        demonstrations=len(recording.lengths),
    )


def _feature(recording: Recording, key: str) -> Feature:
    """A column's elements, numbered where they have no names; a command is named as the action."""
    source = ACTION if key == COMMAND else key
    size = recording.columns[source].shape[1]
    names = recording.names.get(source) or tuple(f"{source}_{i}" for i in range(size))
    return Feature(names, UNIT)


def _rate_hz(recording: Recording, given_hz: float | None) -> float:
    recorded_hz = recording.rate_hz
    if recorded_hz is None:
        if given_hz is None:
            raise DataError(f"{recording.source}: it says no rate; give --rate-hz")
        return given_hz
    if given_hz not in (None, recorded_hz):
        raise DataError(
            f"{recording.source}: its rate is {recorded_hz:g} Hz, --rate-hz is {given_hz:g}"
        )
    return recorded_hz
