"""Successes of exported graphs on the checkpoint's task, not in real time."""

from __future__ import annotations

from calibration.products import Graphs
from calibration.session import GraphModel, GraphPolicy
from models.checkpoint import Checkpoint
from models.layers import trained_prefixes


def closed_loop(checkpoint: Checkpoint, graphs: Graphs, episodes: int) -> dict[str, dict[str, int]]:
    """Successes by prefix on the same unseen starts whatever the graphs.

    Raises ValueError if the checkpoint's task is unknown.
    """
    from models.rollout import evaluate
    from models.tasks import get_task

    task, model = get_task(checkpoint.facts["task"]), GraphModel(graphs)
    execute, config = checkpoint.facts["execution_horizon"], checkpoint.tokenizer.config
    counts = {}
    for k in trained_prefixes(config.num_tokens, config.nested_dropout):
        runs = evaluate(task, GraphPolicy(model, k), episodes, execute)
        counts[str(k)] = {"successes": runs.successes, "episodes": episodes}
    return counts
