"""What tokenizers and policies over tokens minimise: reconstruction error, and surprise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.condition import Condition, ConditionedTokenizer
from models.dataset import Windows
from models.layers import trained_prefixes
from models.policy import OATPolicy
from models.tokenizer import OATTokenizer
from models.tokenizers import ActionTokenizer, content_lengths
from models.tokenizers.latent import LatentTokenizer

VALIDATION_WINDOWS = 512
VALIDATION_TOKENS = 32_768
"""Of long sequences fewer windows are held out, or validating would outweigh training."""
ENCODE_BATCH = 1024
PENALTY_WEIGHT = 0.1
"""Weight of a quantizer's penalty beside errors of a few thousandths."""
_IGNORED = -100


class Reconstruction:
    """Weighted squared error of normalised chunks after a random nested dropout.

    ``joint_weights`` (D,); the first half of a chunk weighs ``early_weight``, the second
    2 - early_weight, since the first half is what gets executed. ``command_noise``: a command that
    is all there is to see is blurred by N(0, 1) * U(0, 1) * command_noise, so that a chunk does
    not merely continue it. An observation is blurred by N(0, 1) * observation_noise, as the
    policy's is.
    """

    def __init__(
        self,
        training: Windows,
        validation: Windows,
        joint_weights: Sequence[float],
        early_weight: float,
        command_noise: float,
        observation_noise: float,
    ) -> None:
        self.training = training
        self.command_noise, self.observation_noise = command_noise, observation_noise
        self.validation = spread(validation, VALIDATION_WINDOWS)
        horizon = training.action_horizon
        step_weights = torch.full((horizon,), 2.0 - early_weight)
        step_weights[: horizon // 2] = early_weight
        joints = torch.tensor(joint_weights)
        self.weights = step_weights[:, None] * (joints / joints.mean())  # (H, D)

    def loss(self, model: OATTokenizer, batch_size: int) -> Tensor:
        """The loss of a random batch at random prefixes."""
        chunk, condition = self.draw(model, batch_size)
        return self.error(model(chunk, condition), chunk)

    def validate(self, model: OATTokenizer) -> float:
        """The mean of the loss over the trained prefixes, at the true condition."""
        chunk, condition = self.held_out(model)
        codes = model.codes(chunk, condition)
        prefixes = trained_prefixes(model.config.num_tokens, model.config.nested_dropout)
        errors = [
            self.error(model.reconstruct(codes, torch.full((len(chunk),), k), condition), chunk)
            for k in prefixes
        ]
        return float(torch.stack(errors).mean())

    def draw(self, model: ConditionedTokenizer, batch_size: int) -> tuple[Tensor, Condition | None]:
        """Random normalised chunks (B, H, D), and what they are seen from, blurred."""
        rows = self.training.draw(batch_size)
        chunk = model.normalizer(self.training.chunk(rows))
        observed = bool(model.config.observed)
        noise = (
            self.observation_noise if observed else torch.rand(len(rows), 1) * self.command_noise
        )
        return chunk, model.condition(self.training.observation(rows), noise)

    def held_out(self, model: ConditionedTokenizer) -> tuple[Tensor, Condition | None]:
        """The same of the held-out windows, as they are."""
        rows = self.validation.index
        chunk = model.normalizer(self.validation.chunk(rows))
        return chunk, model.condition(self.validation.observation(rows))

    def error(self, decoded: Tensor, chunk: Tensor) -> Tensor:
        """The weighted squared error of normalised chunks (B, H, D), a scalar."""
        return ((decoded - chunk).square() * self.weights).mean()


class LatentReconstruction(Reconstruction):
    """The same for tokens without an order: no dropout, and the quantizer's penalty on top."""

    def loss(self, model: LatentTokenizer, batch_size: int) -> Tensor:
        """The loss of a random batch."""
        chunk, condition = self.draw(model, batch_size)
        decoded, penalty = model(chunk, condition)
        return self.error(decoded, chunk) + PENALTY_WEIGHT * penalty

    def validate(self, model: LatentTokenizer) -> float:
        """The error alone, at the true condition."""
        chunk, condition = self.held_out(model)
        return float(self.error(model(chunk, condition)[0], chunk))


class Regression:
    """Absolute error of the normalised chunk that a model answers an observation with.

    It is least at each element's median: of two motions the likelier one, where their mean is
    neither. All joints and steps weigh the same.
    """

    def __init__(self, training: Windows, validation: Windows, observation_noise: float) -> None:
        self.training, self.noise = training, observation_noise
        self.validation = spread(validation, VALIDATION_WINDOWS)

    def answer(self, model: Any, observation: dict[str, Tensor], noise: float) -> Tensor:
        """Raw features (B, S, dim), to be blurred by ``noise``, to normalised chunks (B, H, D)."""
        return model(observation, noise)

    def loss(self, model: Any, batch_size: int) -> Tensor:
        """The loss of a random batch."""
        return self._error(model, self.training, self.training.draw(batch_size), self.noise)

    def validate(self, model: Any) -> float:
        """The same on held-out windows, without noise."""
        return float(self._error(model, self.validation, self.validation.index, 0.0))

    def _error(self, model: Any, windows: Windows, rows: Tensor, noise: float) -> Tensor:
        chunk = model.normalizer(windows.chunk(rows))
        return (self.answer(model, windows.observation(rows), noise) - chunk).abs().mean()


class Expectation(Regression):
    """The same of the chunk that a tokenizer expects of the observation, without tokens."""

    def answer(
        self, model: ConditionedTokenizer, observation: dict[str, Tensor], noise: float
    ) -> Tensor:
        """See ``Regression``. Raises ValueError for a tokenizer that sees no observation."""
        condition = model.condition(observation, noise)
        if condition is None or condition.expected is None:
            raise ValueError("this tokenizer expects nothing: it does not see the observation")
        return condition.expected


class NextToken:
    """Cross-entropy of a chunk's tokens given the observation and the tokens before.

    Of a sequence that ends early, the end itself is learned and nothing after it.
    """

    def __init__(
        self,
        training: Windows,
        validation: Windows,
        tokenizer: ActionTokenizer,
        observation_noise: float,
    ) -> None:
        self.training, self.noise, self.end = training, observation_noise, tokenizer.end
        limit = min(VALIDATION_WINDOWS, VALIDATION_TOKENS // tokenizer.max_tokens)
        self.validation = spread(validation, limit)
        self._tokens = encode_all(tokenizer, training)
        self._validation_tokens = encode_all(tokenizer, self.validation)

    def loss(self, model: OATPolicy, batch_size: int) -> Tensor:
        """The mean cross-entropy, nats per token, of a random batch."""
        chosen = torch.randint(len(self.training), (batch_size,))
        observation = self.training.observation(self.training.index[chosen])
        return self._cross_entropy(model, observation, self._tokens[chosen], self.noise)

    def validate(self, model: OATPolicy) -> float:
        """The same on held-out windows, without noise."""
        observation = self.validation.observation(self.validation.index)
        return float(self._cross_entropy(model, observation, self._validation_tokens, 0.0))

    def _cross_entropy(
        self, model: OATPolicy, observation: dict[str, Tensor], tokens: Tensor, noise: float
    ) -> Tensor:
        lengths = content_lengths(tokens, self.end)
        if self.end is not None:
            tokens = tokens[:, : int(lengths.max()) + 1]
        begin = torch.full((len(tokens), 1), model.config.bos)
        inputs = torch.cat([begin, tokens[:, :-1]], 1)
        logits = model(inputs, model.prefill(observation, noise))  # (B, R, V)
        after_end = torch.arange(tokens.shape[1]) > lengths[:, None]
        labels = tokens.masked_fill(after_end, _IGNORED)
        return functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=_IGNORED
        )


@torch.no_grad()
def encode_all(tokenizer: ActionTokenizer, windows: Windows) -> Tensor:
    """Tokens (W, T) of every window, by a tokenizer in evaluation mode."""
    batches = windows.index.split(ENCODE_BATCH)
    return torch.cat([tokenizer.encode(windows.chunk(r), windows.observation(r)) for r in batches])


@torch.no_grad()
def reconstruction_error_rad(tokenizer: ActionTokenizer, windows: Windows) -> dict[int, float]:
    """Root mean square error in rad over all joints and steps, by prefix length.

    A tokenizer without prefixes has one, its longest sequence.
    """
    windows = spread(windows, VALIDATION_WINDOWS)
    tokens = encode_all(tokenizer, windows)
    chunk, observation = windows.chunk(windows.index), windows.observation(windows.index)

    def error(decoded: Tensor) -> float:
        return float((decoded - chunk).square().mean().sqrt())

    if not tokenizer.prefixes:
        return {tokenizer.max_tokens: error(tokenizer.decode(tokens, observation))}
    return {k: error(tokenizer.decode_prefix(tokens, k, observation)) for k in tokenizer.prefixes}


def spread(windows: Windows, limit: int) -> Windows:
    """At most ``limit`` windows, evenly spaced."""
    stride = -(-len(windows) // limit)
    return windows.subset(windows.index[::stride])
