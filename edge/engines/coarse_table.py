"""Every one-token decode in a table, where the decoder depends on the tokens alone.

There are as few as there are codes (1000 in the paper, arXiv 2602.04215), so the coarse answer
costs a look-up. A decoder that is conditioned on command or observation has no such table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.bundle import Manifest
from edge.engines import Condition, Engine, Float32Array
from edge.shared_memory import Record

LARGEST_TABLE_BYTES = 8 << 20
"""Of a larger codebook a table would crowd out of the caches what it is to save."""


class CoarseTable:
    """An ``Engine`` around another, whose ``decode(1)`` is a look-up."""

    def __init__(self, engine: Engine, manifest: Manifest) -> None:
        """Decodes every code once, which takes as long as so many decodes."""
        action = manifest.action
        shape = (manifest.tokenizer.codes, action.head_steps, len(action.names))
        self._engine = engine
        self._table = np.zeros(shape, np.float32)
        self._first: int | None = None
        for code in range(len(self._table)):
            engine.place([code])
            self._table[code] = engine.decode(1)
        self._table.flags.writeable = False

    def place(self, tokens: Sequence[int], condition: Condition | None = None) -> None:
        """See ``Decoder.place``."""
        self._engine.place(tokens, condition)
        self._first = tokens[0]

    def prefill(self, features: Record) -> None:
        """See ``Engine.prefill``."""
        self._first = None
        self._engine.prefill(features)

    def next_token(self) -> int:
        """See ``Engine.next_token``."""
        token = self._engine.next_token()
        if self._first is None:
            self._first = token
        return token

    def decode(self, prefix: int) -> Float32Array:
        """See ``Decoder.decode``; one token is looked up."""
        if prefix == 1 and self._first is not None:
            actions: Float32Array = self._table[self._first]
            return actions
        return self._engine.decode(prefix)

    def decode_full(self, prefix: int) -> Float32Array:
        """See ``Decoder.decode_full``."""
        return self._engine.decode_full(prefix)


def with_coarse_table(engine: Engine, manifest: Manifest) -> Engine:
    """The engine with a table where the bundle allows one, else the engine itself."""
    action, tokenizer = manifest.action, manifest.tokenizer
    size = tokenizer.codes * action.head_steps * len(action.names) * 4
    if tokenizer.conditioned_on is not None or size > LARGEST_TABLE_BYTES:
        return engine
    return CoarseTable(engine, manifest)
