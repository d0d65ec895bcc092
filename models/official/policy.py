"""From an official policy checkpoint to ``models.policy``; it holds its tokenizer's weights too."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from models.observation import safe_name
from models.official.checkpoint import OfficialCheckpoint, Weights, take
from models.official.errors import OfficialCheckpointError
from models.official.tokenizer import build_tokenizer, load_exactly
from models.policy import OATPolicy, PolicyConfig
from models.tokenizer import OATTokenizer

STATE_TYPES = ("state", "low_dim")
_SHAPES = ("policy.obs_encoder.shape_meta.obs", "policy.shape_meta.obs", "shape_meta.obs")
_NORMALIZER = "obs_encoder.normalizer.params_dict."
SAME_WEIGHT = 1e-4
"""How far a frozen tokenizer's weights may have drifted by being averaged with themselves."""


def import_policy(
    checkpoint: OfficialCheckpoint, tokenizer: OATTokenizer, names: Mapping[str, str]
) -> tuple[OATTokenizer, OATPolicy]:
    """The policy in a checkpoint, in evaluation mode, and the tokenizer that it acts through.

    ``tokenizer``: the one of the tokenizer checkpoint, which has to be the one that the policy was
    trained with. ``names``: our key of an observation by its official name; ``observation.NAME``
    where there is none. Raises OfficialCheckpointError naming file and reason.
    """
    try:
        own = build_tokenizer(tokenizer.config, checkpoint.part("action_tokenizer."))
        _check_same(own, tokenizer)
        config, official = _policy_config(checkpoint, tokenizer, names)
        policy = OATPolicy(config)
        load_exactly(policy, _weights(checkpoint.weights, official))
    except OfficialCheckpointError as error:
        raise OfficialCheckpointError(f"{checkpoint.path}: {error}") from error
    return own, policy.eval()


def _check_same(own: OATTokenizer, other: OATTokenizer) -> None:
    theirs = other.state_dict()
    for name, value in own.state_dict().items():
        if not torch.allclose(value, theirs[name], atol=SAME_WEIGHT, rtol=SAME_WEIGHT):
            raise OfficialCheckpointError(
                f"it was trained with another tokenizer than that given: {name} differs"
            )


def _policy_config(
    checkpoint: OfficialCheckpoint, tokenizer: OATTokenizer, names: Mapping[str, str]
) -> tuple[PolicyConfig, dict[str, str]]:
    """Sizes of the policy, and the official name of each of its observations by our key."""
    config, weights = checkpoint.config, checkpoint.weights
    official = _official_names(_states(checkpoint), names)
    features = {
        key: len(take(weights, f"{_NORMALIZER}{name}.scale")) for key, name in official.items()
    }
    vocabulary, dim = take(weights, "model.tok_emb.weight").shape
    if vocabulary != tokenizer.config.codebook_size + 1:
        raise OfficialCheckpointError(
            f"it speaks {vocabulary - 1} tokens, the tokenizer {tokenizer.config.codebook_size}"
        )
    if take(weights, "model.tok_pos_emb").shape[1] != tokenizer.config.num_tokens + 1:
        raise OfficialCheckpointError("it makes another number of tokens than the tokenizer")
    layers = {name.split(".")[2] for name in weights if name.startswith("model.blocks.")}
    try:
        sizes = PolicyConfig(
            features=features,
            n_obs_steps=take(weights, "model.cond_pos_emb").shape[1],
            codebook_size=vocabulary - 1,
            num_tokens=tokenizer.config.num_tokens,
            dim=dim,
            layers=len(layers),
            heads=config.need("policy.n_heads", int),
        )
    except (ValueError, ZeroDivisionError) as error:
        raise OfficialCheckpointError(f"the sizes do not fit together ({error})") from error
    return sizes, official


def _official_names(states: list[str], names: Mapping[str, str]) -> dict[str, str]:
    """The official name by our key."""
    for name in names:
        if name not in states:
            raise OfficialCheckpointError(f"no observation {name!r}; it has {', '.join(states)}")
    official = {names.get(name, f"observation.{name}"): name for name in states}
    if len(official) < len(states):
        raise OfficialCheckpointError(f"two observations for one key of {', '.join(official)}")
    return official


def _states(checkpoint: OfficialCheckpoint) -> list[str]:
    """Official names of the observations, in the order in which the encoder joins them."""
    config = checkpoint.config
    path = next(p for p in _SHAPES if config.keys(p) or p == _SHAPES[-1])
    for name in config.keys(path):
        kind = config.get(f"{path}.{name}.type", STATE_TYPES[0])
        if kind not in STATE_TYPES:
            raise OfficialCheckpointError(
                f"observation {name!r} is of type {kind!r}; only policies that see states alone "
                "can be imported, image encoders cannot"
            )
    if not config.keys(path):
        raise OfficialCheckpointError("cfg names no observations (shape_meta.obs)")
    return config.keys(path)


def _weights(weights: Weights, official: Mapping[str, str]) -> dict[str, Tensor]:
    """All but the tokenizer's, under our names."""
    ours = {name: safe_name(key) for key, name in official.items()}
    found = {}
    for name, value in weights.items():
        if name.startswith("action_tokenizer."):
            continue
        if name.startswith(_NORMALIZER):
            key, _, rest = name.removeprefix(_NORMALIZER).rpartition(".")
            if key not in ours:  # fitted to the whole data set, of which the policy sees a part
                continue
            name = f"obs_encoder.normalizers.{ours[key]}.{rest}"
        found[name.removeprefix("model.")] = value
    if not torch.equal(take(found, "head.weight"), take(found, "tok_emb.weight")):
        raise OfficialCheckpointError("head and token embedding differ; ours are one matrix")
    return found
