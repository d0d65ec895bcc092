"""Evaluations over several tasks: whose weights a task may have, and the mean over the tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.tasks.metaworld.names import PREFIX, TEN, TEN_NAME
from models.wilson import wilson_interval


def trained_as(task: str) -> tuple[str, ...]:
    """The names of what weights for a task may have been trained on, its own first."""
    return (task, TEN_NAME) if task.removeprefix(PREFIX) in TEN else (task,)


def means(rows: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """A row per policy and k over all tasks, which have equally many episodes.

    The interval is that of all episodes as one sample; it says nothing of other tasks.
    """
    groups: dict[tuple[str, int | None], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["policy"], row["k"]), []).append(row)
    return [_mean(group, name) for group in groups.values()]


def _mean(group: list[dict[str, Any]], name: str) -> dict[str, Any]:
    episodes = sum(row["episodes"] for row in group)
    successes = round(sum(row["success"] * row["episodes"] for row in group))
    plans = sum(row["plans"] or 0 for row in group)
    tokens = sum((row["tokens_per_chunk"] or 0.0) * (row["plans"] or 0) for row in group)
    counted = group[0]["tokens_per_chunk"] is not None
    return {
        "task": name,
        "policy": group[0]["policy"],
        "k": group[0]["k"],
        "episodes": episodes,
        "success": successes / episodes,
        "ci95": [round(bound, 4) for bound in wilson_interval(successes, episodes)],
        "tokens_per_chunk": round(tokens / plans, 2) if counted else None,
        "plans": plans or None,
        "undecodable": sum(row["undecodable"] for row in group),
    }
