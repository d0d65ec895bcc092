"""An untrained pair just wide enough to have layers that are worth quantizing."""

from __future__ import annotations

from functools import cache
from typing import Any

from calibration.graphs import build_graphs
from calibration.observations import Observations
from calibration.products import Graphs
from models.checkpoint import Checkpoint
from tests.unit.tiny_models import (
    as_stored,
    observations,
    tiny_checkpoint,
    tiny_policy,
    tiny_tokenizer,
)

EXAMPLES = 128


@cache
def wide_checkpoint(examples: int = EXAMPLES, **tokenizer_changes: Any) -> Checkpoint:
    """Two layers of 64 in the policy and two in the decoder, random observations."""
    tokenizer = tiny_tokenizer(dim=64, head_dim=32, **tokenizer_changes)
    policy = tiny_policy(dim=64)
    facts = tiny_checkpoint().facts
    return as_stored(Checkpoint(tokenizer, policy, facts, observations(examples)))


@cache
def wide_graphs() -> Graphs:
    """Its FP32 graphs."""
    checkpoint = wide_checkpoint()
    return build_graphs(checkpoint.tokenizer, checkpoint.policy, 4)


def examples() -> Observations:
    """Its observations as arrays."""
    return {key: value.numpy() for key, value in wide_checkpoint().examples.items()}
