"""What may be placed into an engine as the tokens of a plan."""

from __future__ import annotations

from collections.abc import Sequence

from edge.bundle import Manifest
from edge.engines import Float32Array
from edge.errors import EngineError


class PlacedTokens:
    """The one check of tokens and command for ``Decoder.place``, whatever the engine."""

    def __init__(self, manifest: Manifest) -> None:
        self._tokens = manifest.tokenizer.tokens
        self._codes = manifest.tokenizer.codes
        self._joints = len(manifest.action.names)
        self._conditioned = manifest.tokenizer.conditioned_on is not None

    def check(self, tokens: Sequence[int], command: Float32Array | None) -> None:
        """Raises EngineError for what ``Decoder.place`` does not take."""
        if not 1 <= len(tokens) <= self._tokens:
            raise EngineError(f"{len(tokens)} tokens, allowed are 1 to {self._tokens}")
        for index, token in enumerate(tokens):
            if not 0 <= token < self._codes:
                raise EngineError(f"token {index} is {token}, allowed is 0 to {self._codes - 1}")
        if self._conditioned != (command is not None):
            wanted = "needs the previous command" if self._conditioned else "reads no command"
            raise EngineError(f"this decoder {wanted}")
        if command is not None and command.shape != (self._joints,):
            raise EngineError(f"the command is {command.shape}, expected is ({self._joints},)")
