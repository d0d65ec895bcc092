"""Successes of exported graphs on the checkpoint's task, not in real time."""

from __future__ import annotations

from calibration.products import Graphs
from calibration.session import GraphModel, GraphPolicy
from models.checkpoint import Checkpoint
from models.layers import trained_prefixes


def closed_loop(checkpoint: Checkpoint, graphs: Graphs, episodes: int) -> dict[str, dict[str, int]]:
    """Successes by prefix on the same unseen starts whatever the graphs.

    A policy of several tasks has equally many of each. Raises ValueError if that cannot be, or if
    the checkpoint's task is unknown.
    """
    from models.rollout import evaluate
    from models.tasks import get_task, rolled_out

    name, model = checkpoint.facts["task"], GraphModel(graphs)
    tasks = [get_task(one) for one in rolled_out(name)]
    if episodes % len(tasks):
        raise ValueError(f"episodes of {name} are multiples of {len(tasks)}, got {episodes}")
    execute, config = checkpoint.facts["execution_horizon"], checkpoint.tokenizer.config
    counts = {}
    for k in trained_prefixes(config.num_tokens, config.nested_dropout):
        policy, each = GraphPolicy(model, k), episodes // len(tasks)
        successes = sum(evaluate(task, policy, each, execute).successes for task in tasks)
        counts[str(k)] = {"successes": successes, "episodes": episodes}
    return counts
