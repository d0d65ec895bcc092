"""An autoregressive policy over any tokenizer as an agent."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from models.agent import Observation, Plan
from models.checkpoint import Checkpoint
from models.dataset import COMMAND_KEY
from models.generation import generate_sequence
from models.policy import OATPolicy
from models.tokenizers import ActionTokenizer, PrefixError
from models.tokenizers.ordered import OrderedTokens


class TokenAgent:
    """Greedy tokens, whole sequences or prefixes, whatever the tokenizer decodes."""

    def __init__(self, policy: OATPolicy, tokenizer: ActionTokenizer, horizon: int) -> None:
        self.policy, self.tokenizer, self.horizon = policy, tokenizer, horizon
        self.most_tokens = tokenizer.max_tokens if tokenizer.prefixes else 0

    @torch.no_grad()
    def plan(self, observation: Observation, k: int | None, rng: np.random.Generator) -> Plan:
        """See ``Agent``; raises PrefixError for a ``k`` that the tokenizer cannot decode."""
        if k is not None and not 1 <= k <= self.most_tokens:
            raise PrefixError(f"k must be in 1..{self.most_tokens}, got {k}")
        features = as_tensors(observation, self.policy.config.features)
        limit = self.tokenizer.max_tokens if k is None else k
        tokens = generate_sequence(self.policy, features, limit, self.tokenizer.end)
        generated = tokens.shape[1]
        if k is not None:
            return Plan(self.tokenizer.decode_prefix(tokens, k, features)[0].numpy(), generated)
        if not bool(self.tokenizer.is_decodable(tokens)[0]):
            held = np.asarray(observation[COMMAND_KEY][-1:], np.float32)
            return Plan(held.repeat(self.horizon, 0), generated, decodable=False)
        return Plan(self.tokenizer.decode(tokens, features)[0].numpy(), generated)


def checkpoint_agent(checkpoint: Checkpoint) -> TokenAgent:
    """An OAT checkpoint, computed by torch."""
    tokenizer = OrderedTokens(checkpoint.tokenizer)
    return TokenAgent(checkpoint.policy, tokenizer, checkpoint.tokenizer.config.action_horizon)


def as_tensors(observation: Observation, features: Mapping[str, int]) -> dict[str, Tensor]:
    """The named features as a batch of one, (1, n_obs_steps, dim) each.

    Raises ValueError naming one that is not observed, or has another size.
    """
    batch = {}
    for key, size in features.items():
        if key not in observation:
            raise ValueError(f"no {key!r} is observed; there is {', '.join(sorted(observation))}")
        if observation[key].shape[-1] != size:
            raise ValueError(f"{key} has {observation[key].shape[-1]} elements, wanted are {size}")
        batch[key] = torch.from_numpy(np.asarray(observation[key], np.float32))[None]
    return batch
