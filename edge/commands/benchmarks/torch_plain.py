"""The baseline: the same networks in torch, eager, written the plain way, on one thread.

Plain means that every token runs the whole growing sequence again, without a key-value cache, and
that all actions of the horizon are decoded. That is how the method's reference code runs.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from edge.bundle import Bundle
from edge.commands.benchmarks.contenders import Contender
from edge.engines import Float32Array
from edge.errors import BundleError, EngineError
from edge.shared_memory import Record


def torch_contender(bundle: Bundle) -> Contender:
    """The baseline with the shipped weights where they are there, else with random ones.

    Raises EngineError if torch is missing, BundleError if the manifest does not describe networks.
    """
    try:
        import torch

        from models.generation import act
    except ImportError as error:
        raise EngineError(
            f"--baseline torch needs {error.name}, which is not installed: "
            "pip install 'oat-edge[train]', or say --baseline none"
        ) from error
    torch.set_num_threads(1)
    tokenizer, policy, weights = _networks(bundle)

    def plan(features: Record, prefix: int) -> Float32Array:
        with torch.inference_mode():
            observation = {
                key: torch.from_numpy(features[key])[None] for key in policy.config.features
            }
            actions: Float32Array = act(tokenizer, policy, observation, prefix, plain=True)[0]
            return actions.numpy()  # type: ignore[attr-defined, no-any-return]

    decoded = bundle.manifest.action.action_horizon
    return Contender("torch", "fp32", decoded, plan, {"weights": weights})


def _networks(bundle: Bundle) -> tuple[Any, Any, str]:
    """Tokenizer, policy, and where their weights are from: ``shipped`` or ``random``."""
    from models import checkpoint as checkpoints

    path = _checkpoints() / bundle.manifest.name
    if path.is_dir():
        shipped = checkpoints.load(path)
        if _fits(shipped.tokenizer, shipped.policy, bundle.manifest.architecture):
            return shipped.tokenizer, shipped.policy, "shipped"
    tokenizer, policy = _random_networks(bundle)
    return tokenizer, policy, "random"


def _random_networks(bundle: Bundle) -> tuple[Any, Any]:
    import torch

    from models.policy import OATPolicy, PolicyConfig
    from models.tokenizer import OATTokenizer, TokenizerConfig

    sizes = bundle.manifest.architecture
    torch.manual_seed(0)
    try:
        levels = {"levels": tuple(sizes["tokenizer"]["levels"])}
        tokenizer = OATTokenizer(TokenizerConfig(**sizes["tokenizer"] | levels))
        policy = OATPolicy(PolicyConfig(**sizes["policy"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"bundle {bundle.path}: manifest.json: architecture describes no network of ours "
            f"({error}); say --baseline none"
        ) from error
    return tokenizer.eval(), policy.eval()


def _fits(tokenizer: Any, policy: Any, described: dict[str, Any]) -> bool:
    """Whether both networks have every size that a manifest describes."""
    import json
    from dataclasses import asdict

    sizes = {"tokenizer": asdict(tokenizer.config), "policy": asdict(policy.config)}
    loaded = json.loads(json.dumps(sizes))  # tuples as the manifest has them
    return all(
        loaded[network].get(key) == value
        for network in sizes
        for key, value in described.get(network, {"": None}).items()
    )


def _checkpoints() -> Path:
    return Path(str(resources.files("models"))) / "checkpoints"
