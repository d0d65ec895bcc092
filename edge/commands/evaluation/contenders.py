"""Which weights a policy's name stands for in ``oat-edge eval``, and that they fit the task."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from edge import bundle as bundles
from edge.commands.bundles import find_bundle
from edge.commands.evaluation.bundle_agent import load_bundle_agent
from edge.commands.evaluation.several_tasks import trained_as
from edge.commands.offline import choose_precision
from edge.errors import BundleError, RunError, UsageError
from models.evaluation import Setup
from models.rivals import RIVALS

POLICIES = ("oat", *RIVALS, "expert")


@dataclass(frozen=True)
class Source:
    """Where weights come from: a checkpoint, or else a bundle or what ships for the task."""

    checkpoint: Path | None = None
    bundle: str | None = None
    engine: str = "ort"
    precision: str = ""


@dataclass(frozen=True)
class Contender:
    """A policy ready to be evaluated; ``most_tokens`` as ``models.agent.Agent`` has it."""

    setup: Setup
    most_tokens: int


def find_contender(task: str, policy: str, source: Source) -> Contender:
    """Raises OatEdgeError that says what is missing, or is for another task."""
    if policy not in POLICIES:
        raise UsageError(f"--policy is {policy!r}, allowed are {', '.join(POLICIES)}")
    if policy == "expert":
        return Contender(Setup(task, policy, None), 0)
    if policy == "oat" and source.checkpoint is None:
        return _from_bundle(task, source)
    return _from_checkpoint(task, policy, source.checkpoint or _shipped(task, policy))


def _from_bundle(task: str, source: Source) -> Contender:
    path = find_bundle(source.bundle or trained_as(task)[-1])
    loaded = bundles.load(path)
    _check_task(task, loaded.manifest.task, path)
    precision = choose_precision(loaded, source.precision)
    make = partial(load_bundle_agent, path, source.engine, precision)
    execute = loaded.manifest.action.execution_horizon
    setup = Setup(task, "oat", make, execute, f"{_digest(path)} {source.engine} {precision}")
    return Contender(setup, loaded.manifest.tokenizer.tokens)


def _from_checkpoint(task: str, policy: str, path: Path) -> Contender:
    try:
        make = partial(_load_oat if policy == "oat" else _load_rival, path, policy)
        agent, facts = make()
    except ImportError as error:
        raise RunError(f"eval: {error.name} is missing; install oat-edge[train]") from error
    except ValueError as error:
        raise RunError(f"eval: {error}") from error
    _check_task(task, facts["task"], path)
    execute = facts["execution_horizon"]
    setup = Setup(task, policy, partial(_agent_alone, make), execute, _digest(path))
    return Contender(setup, agent.most_tokens)


def _agent_alone(make: Any) -> Any:
    return make()[0]


def _load_oat(path: Path, policy: str) -> tuple[Any, dict[str, Any]]:
    from models import checkpoint
    from models.token_agent import checkpoint_agent

    loaded = checkpoint.load(path)
    return checkpoint_agent(loaded), loaded.facts


def _load_rival(path: Path, policy: str) -> tuple[Any, dict[str, Any]]:
    from models.rivals import checkpoint

    loaded = checkpoint.load(path)
    if loaded.kind != policy:
        raise UsageError(f"--policy is {policy!r}, but checkpoint {path} is of {loaded.kind!r}")
    return loaded.agent(), loaded.facts


def _shipped(task: str, policy: str) -> Path:
    name = trained_as(task)[-1]
    path = Path(str(resources.files("models"))) / "checkpoints" / f"{name}-{policy}"
    if not path.is_dir():
        train = f"oat-edge train {name} --policy {policy} --out DIR"
        raise RunError(f"eval: no {policy!r} ships for {task}; {train!r}, then --checkpoint DIR")
    return path


def _digest(path: Path) -> str:
    """SHA-256 over the files right in a checkpoint or bundle, whose manifest knows the others."""
    whole = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.is_file():
            whole.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()


def _check_task(task: str, own: str, path: Path) -> None:
    if own not in trained_as(task):
        raise BundleError(f"{path} is for task {own!r}, not {task!r}")
