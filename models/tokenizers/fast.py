"""FAST (Pertsch et al. 2025, arXiv 2501.09747): cosine transform, rounding, byte-pair encoding.

A sequence decodes only if its pieces spell exactly one coefficient per step and dimension. A policy
can generate others; they are told apart by ``is_decodable`` and never repaired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.fft import dct, idct
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from torch import Tensor, nn

from models.normalizer import Normalizer
from models.tokenizers import PrefixError, UndecodableError, content_lengths

_FIRST_SYMBOL = 0xE000
"""Coefficients are spelt with Unicode's private-use characters, the smallest with this one."""
_MOST_SYMBOLS = 0x1900
QUANTILES = (0.01, 0.99)


@dataclass(frozen=True)
class FastConfig:
    """What a fitted tokenizer is; ``merges`` is the byte-pair encoder as its own JSON.

    ``scale`` multiplies coefficients before rounding; ``lowest`` and ``highest`` bound them.
    """

    merges: str
    lowest: int
    highest: int
    action_dim: int = 7
    action_horizon: int = 32
    scale: float = 10.0


class FastTokenizer(nn.Module):
    """Chunks as pieces of their cosine coefficients, low frequencies first; no prefix decodes."""

    def __init__(self, config: FastConfig) -> None:
        super().__init__()
        self.config = config
        self.normalizer = Normalizer(config.action_dim)
        self._encoder = Tokenizer.from_str(config.merges)
        pieces = self._encoder.get_vocab_size()
        self._pieces = [self._encoder.id_to_token(index) for index in range(pieces)]
        self.end: int | None = pieces
        self.vocabulary = pieces + 1
        self.max_tokens = config.action_horizon * config.action_dim + 1
        self.prefixes: tuple[int, ...] = ()

    def encode(self, actions: Tensor, observation: Mapping[str, Tensor]) -> Tensor:
        """See ``ActionTokenizer``; coefficients beyond the fitted bounds are clipped to them."""
        c = self.config
        coefficients = quantised(self.normalizer(actions), c.scale).clip(c.lowest, c.highest)
        encoded = self._encoder.encode_batch(_spelt(coefficients, c.lowest))
        tokens = torch.full((len(actions), self.max_tokens), self.end)
        for row, encoding in enumerate(encoded):
            tokens[row, : len(encoding.ids)] = torch.tensor(encoding.ids)
        return tokens

    def decode(self, tokens: Tensor, observation: Mapping[str, Tensor]) -> Tensor:
        """See ``ActionTokenizer``; not clamped, as published."""
        c = self.config
        texts = self._texts(tokens)
        wanted = c.action_horizon * c.action_dim
        for text in texts:
            if len(text) != wanted:
                raise UndecodableError(f"{len(text)} coefficients, a chunk has {wanted}")
        symbols = np.array([[ord(letter) for letter in text] for text in texts], np.float64)
        coefficients = symbols.reshape(-1, c.action_horizon, c.action_dim)
        coefficients = (coefficients - _FIRST_SYMBOL + c.lowest) / c.scale
        normalised = idct(coefficients, axis=1, norm="ortho").astype(np.float32)
        return self.normalizer.inverse(torch.from_numpy(normalised), clamp=False)

    def decode_prefix(self, tokens: Tensor, k: int, observation: Mapping[str, Tensor]) -> Tensor:
        """Always raises PrefixError: a prefix lacks coefficients."""
        raise PrefixError(f"FAST decodes from whole sequences only, got k = {k}")

    def is_decodable(self, tokens: Tensor) -> Tensor:
        """Which rows spell as many coefficients as a chunk has, (B,) bool."""
        wanted = self.config.action_horizon * self.config.action_dim
        return torch.tensor([len(text) == wanted for text in self._texts(tokens)])

    def _texts(self, tokens: Tensor) -> list[str]:
        lengths = content_lengths(tokens, self.end).tolist()
        return [
            "".join(self._pieces[index] for index in row[:length])
            for row, length in zip(tokens.tolist(), lengths, strict=True)
        ]


def fit_fast(
    actions: Tensor, chunks: Tensor, scale: float = 10.0, vocabulary: int = 1024
) -> FastTokenizer:
    """A tokenizer for actions (N, D) in rad, its pieces learned from chunks (W, H, D).

    Ranges are the 1 % and 99 % quantiles. Raises ValueError if the coefficients, at this scale,
    are too many to be spelt in ``vocabulary`` pieces.
    """
    normalizer = Normalizer(actions.shape[1])
    normalizer.fit(torch.quantile(actions, torch.tensor(QUANTILES), dim=0))
    coefficients = quantised(normalizer(chunks), scale)
    lowest, highest = int(coefficients.min()), int(coefficients.max())
    symbols = highest - lowest + 1
    if symbols > min(_MOST_SYMBOLS, vocabulary):
        raise ValueError(f"{symbols} coefficients need a vocabulary of as many, not {vocabulary}")
    merges = _learn_merges(_spelt(coefficients, lowest), symbols, vocabulary)
    shape = {"action_horizon": chunks.shape[1], "action_dim": chunks.shape[2]}
    fitted = FastTokenizer(FastConfig(merges, lowest, highest, scale=scale, **shape))
    fitted.normalizer.load_state_dict(normalizer.state_dict())
    return fitted


def quantised(normalised: Tensor, scale: float) -> np.ndarray:
    """Chunks (B, H, D) to rounded coefficients (B, H, D): the orthonormal DCT-II over steps."""
    return np.rint(dct(normalised.numpy(), axis=1, norm="ortho") * scale).astype(np.int64)


def _spelt(coefficients: np.ndarray, lowest: int) -> list[str]:
    letters = coefficients.reshape(len(coefficients), -1) - lowest + _FIRST_SYMBOL
    return ["".join(map(chr, row)) for row in letters.tolist()]


def _learn_merges(texts: list[str], symbols: int, vocabulary: int) -> str:
    encoder = Tokenizer(BPE())
    alphabet = [chr(_FIRST_SYMBOL + index) for index in range(symbols)]
    trainer = BpeTrainer(
        vocab_size=vocabulary, initial_alphabet=alphabet, special_tokens=[], show_progress=False
    )
    encoder.train_from_iterator(texts, trainer)
    return encoder.to_str()
