"""From an official tokenizer checkpoint to ours: sizes from shapes, weights by name.

What shapes cannot tell, heads and levels and the decoder's mask, comes from the configuration.
"""

from __future__ import annotations

from torch import Tensor

from models.layers import DropoutMode
from models.official.checkpoint import OfficialCheckpoint, Weights, take
from models.official.config import Config
from models.official.errors import OfficialCheckpointError
from models.tokenizer import OATTokenizer, TokenizerConfig

_NORMALIZER = "normalizer.params_dict.action."


def import_tokenizer(checkpoint: OfficialCheckpoint) -> OATTokenizer:
    """The tokenizer in a checkpoint of one, in evaluation mode; its actions are not clamped.

    Raises OfficialCheckpointError naming file and reason.
    """
    try:
        config = tokenizer_config(checkpoint.config, checkpoint.weights)
        return build_tokenizer(config, checkpoint.weights)
    except OfficialCheckpointError as error:
        raise OfficialCheckpointError(f"{checkpoint.path}: {error}") from error


_DROPOUT_MODES: dict[str, DropoutMode] = {
    "pow2": "pow2",
    "pow2_biased": "pow2_biased",
    "power_biased": "pow2_biased",
}
"""By the name in a checkpoint; any other is taken for one that trains every length."""


def tokenizer_config(config: Config, weights: Weights) -> TokenizerConfig:
    """Sizes of the tokenizer that these weights and this configuration belong to."""
    registers, dim = take(weights, "encoder.registers").shape
    steps = take(weights, "decoder.sample_pos_emb.posembs").shape[2]
    patches = take(weights, "encoder.pos_emb.posembs").shape[2]
    levels = config.need("tokenizer.quantizer.levels", list)
    if not levels or not all(isinstance(level, int) and level >= 2 for level in levels):
        raise OfficialCheckpointError(f"cfg.tokenizer.quantizer.levels is {levels!r}")
    try:
        return TokenizerConfig(
            action_dim=len(take(weights, f"{_NORMALIZER}scale")),
            action_horizon=steps,
            num_tokens=registers,
            levels=tuple(levels),
            dim=dim,
            head_dim=config.need("tokenizer.encoder.head_dim", int),
            decoder_dim=take(weights, "decoder.sample_pos_emb.posembs").shape[1],
            decoder_head_dim=config.need("tokenizer.decoder.head_dim", int),
            encoder_depth=_depth(weights, "encoder.transformer.blocks."),
            decoder_depth=_depth(weights, "decoder.decoder.layers."),
            patch=steps // patches,
            nested_dropout=_dropout(config),
            causal_decoder=config.need("tokenizer.decoder.use_causal_decoder", bool),
            conditioned_on_command=False,
            clamp=False,
        )
    except (ValueError, ZeroDivisionError) as error:
        raise OfficialCheckpointError(f"the sizes do not fit together ({error})") from error


def build_tokenizer(config: TokenizerConfig, weights: Weights) -> OATTokenizer:
    """A tokenizer of these sizes with these weights; every weight has to find its place."""
    tokenizer = OATTokenizer(config)
    load_exactly(tokenizer, {_ours(name): value for name, value in weights.items()})
    return tokenizer.eval()


def load_exactly(model: object, weights: dict[str, Tensor]) -> None:
    """``load_state_dict`` with a one-line OfficialCheckpointError."""
    try:
        model.load_state_dict(weights)  # type: ignore[attr-defined]
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise OfficialCheckpointError(f"the weights do not fit: {' '.join(lines)}") from error


def _ours(name: str) -> str:
    return name.replace(_NORMALIZER, "normalizer.")


def _depth(weights: Weights, prefix: str) -> int:
    indices = {name.removeprefix(prefix).split(".")[0] for name in weights if prefix in name}
    if not indices:
        raise OfficialCheckpointError(f"the weights lack {prefix}0")
    return len(indices)


def _dropout(config: Config) -> DropoutMode:
    """The mode as far as it matters after training: for which lengths the order is promised."""
    mode = config.get("tokenizer.decoder.token_dropout_mode")
    return _DROPOUT_MODES.get(mode, "uniform") if isinstance(mode, str) else "uniform"
