"""What may be placed into an engine as the tokens of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge.bundle import Manifest
from edge.engines import Condition
from edge.engines.tensors import condition_tensors
from edge.errors import EngineError


class PlacedTokens:
    """The one check of tokens and condition for ``Decoder.place``, whatever the engine."""

    def __init__(self, manifest: Manifest) -> None:
        self._tokens = manifest.tokenizer.tokens
        self._codes = manifest.tokenizer.codes
        self._shapes = {k: tensor.shape[1:] for k, tensor in condition_tensors(manifest).items()}

    def check(self, tokens: Sequence[int], condition: Condition | None) -> None:
        """Raises EngineError for what ``Decoder.place`` does not take."""
        if not 1 <= len(tokens) <= self._tokens:
            raise EngineError(f"{len(tokens)} tokens, allowed are 1 to {self._tokens}")
        for index, token in enumerate(tokens):
            if not 0 <= token < self._codes:
                raise EngineError(f"token {index} is {token}, allowed is 0 to {self._codes - 1}")
        given = {name: array.shape for name, array in (condition or {}).items()}
        if given != self._shapes:
            raise EngineError(
                f"this decoder reads {_listed(self._shapes)} besides tokens, not {_listed(given)}"
            )


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items()) or "nothing"
