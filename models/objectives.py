"""What the two models minimise: the tokenizer its reconstruction, the policy its surprise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from models.dataset import Windows
from models.layers import trained_prefixes
from models.policy import OATPolicy
from models.tokenizer import OATTokenizer

VALIDATION_WINDOWS = 512
ENCODE_BATCH = 1024


class Reconstruction:
    """Weighted squared error of normalised chunks after a random nested dropout.

    ``joint_weights`` (D,); the first half of a chunk weighs ``early_weight``, the second
    2 - early_weight, since the first half is what gets executed. ``command_noise``: the previous
    command is blurred by N(0, 1) * U(0, 1) * command_noise, so that a chunk does not merely
    continue it.
    """

    def __init__(
        self,
        training: Windows,
        validation: Windows,
        joint_weights: Sequence[float],
        early_weight: float,
        command_noise: float,
    ) -> None:
        self.training, self.command_noise = training, command_noise
        self.validation = spread(validation, VALIDATION_WINDOWS)
        horizon = training.action_horizon
        step_weights = torch.full((horizon,), 2.0 - early_weight)
        step_weights[: horizon // 2] = early_weight
        joints = torch.tensor(joint_weights)
        self.weights = step_weights[:, None] * (joints / joints.mean())  # (H, D)

    def loss(self, model: OATTokenizer, batch_size: int) -> Tensor:
        """The loss of a random batch at random prefixes."""
        rows = self.training.draw(batch_size)
        chunk = model.normalizer(self.training.chunk(rows))
        command = None
        if model.config.conditioned_on_command:
            command = model.normalizer(self.training.command(rows))
            blur = torch.rand(len(rows), 1) * self.command_noise
            command = command + torch.randn_like(command) * blur
        return self._error(model(chunk, command), chunk)

    def validate(self, model: OATTokenizer) -> float:
        """The mean of the loss over the trained prefixes, at the true previous command."""
        rows = self.validation.index
        chunk = model.normalizer(self.validation.chunk(rows))
        conditioned = model.config.conditioned_on_command
        command = model.normalizer(self.validation.command(rows)) if conditioned else None
        codes = model.quantizer(model.encoder(chunk, command))
        prefixes = trained_prefixes(model.config.num_tokens, model.config.nested_dropout)
        errors = [
            self._error(model.decoder(codes, torch.full((len(rows),), k), command), chunk)
            for k in prefixes
        ]
        return float(torch.stack(errors).mean())

    def _error(self, decoded: Tensor, chunk: Tensor) -> Tensor:
        return ((decoded - chunk).square() * self.weights).mean()


class NextToken:
    """Cross-entropy of a chunk's tokens given the observation and the tokens before."""

    def __init__(
        self,
        training: Windows,
        validation: Windows,
        tokenizer: OATTokenizer,
        observation_noise: float,
    ) -> None:
        self.training, self.noise = training, observation_noise
        self.validation = spread(validation, VALIDATION_WINDOWS)
        self._tokens = encode_all(tokenizer, training)
        self._validation_tokens = encode_all(tokenizer, self.validation)

    def loss(self, model: OATPolicy, batch_size: int) -> Tensor:
        """The mean cross-entropy, nats per token, of a random batch."""
        chosen = torch.randint(len(self.training), (batch_size,))
        observation = self.training.observation(self.training.index[chosen])
        return _cross_entropy(model, observation, self._tokens[chosen], self.noise)

    def validate(self, model: OATPolicy) -> float:
        """The same on held-out windows, without noise."""
        observation = self.validation.observation(self.validation.index)
        return float(_cross_entropy(model, observation, self._validation_tokens, 0.0))


@torch.no_grad()
def encode_all(tokenizer: OATTokenizer, windows: Windows) -> Tensor:
    """Tokens (W, R) of every window, by a tokenizer in evaluation mode."""
    parts = []
    for rows in windows.index.split(ENCODE_BATCH):
        conditioned = tokenizer.config.conditioned_on_command
        command = windows.command(rows) if conditioned else None
        parts.append(tokenizer.encode(windows.chunk(rows), command))
    return torch.cat(parts)


@torch.no_grad()
def reconstruction_error_rad(tokenizer: OATTokenizer, windows: Windows) -> dict[int, float]:
    """Root mean square error in rad over all joints and steps, by prefix length."""
    windows = spread(windows, VALIDATION_WINDOWS)
    rows = windows.index
    tokens, chunk = encode_all(tokenizer, windows), windows.chunk(rows)
    command = windows.command(rows) if tokenizer.config.conditioned_on_command else None
    config = tokenizer.config
    return {
        k: float((tokenizer.decode(tokens, k, command) - chunk).square().mean().sqrt())
        for k in trained_prefixes(config.num_tokens, config.nested_dropout)
    }


def spread(windows: Windows, limit: int) -> Windows:
    """At most ``limit`` windows, evenly spaced."""
    stride = -(-len(windows) // limit)
    return windows.subset(windows.index[::stride])


def _cross_entropy(
    model: OATPolicy, observation: dict[str, Tensor], tokens: Tensor, noise: float
) -> Tensor:
    begin = torch.full((len(tokens), 1), model.config.bos)
    inputs = torch.cat([begin, tokens[:, :-1]], 1)
    logits = model(inputs, model.prefill(observation, noise))  # (B, R, V)
    return functional.cross_entropy(logits.flatten(0, 1), tokens.flatten())
