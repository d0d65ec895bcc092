"""The engine over host memory, whatever library runs the graphs: every buffer bound once at start.

The key-value cache stays where the graphs leave it: a step reads one of two buffers and writes the
other, and each next token lands where the following step reads its input. Nothing is allocated and
nothing is copied between steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.bundle import COMMAND_KEY, Manifest
from edge.engines import Condition, Float32Array
from edge.engines.placed_tokens import PlacedTokens
from edge.engines.tensors import COMMAND, Tensor, condition_tensors, graph_tensors
from edge.errors import EngineError
from edge.shared_memory import Record

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
Bind = Callable[[str, Arrays, Arrays], Callable[[], None]]


class HostDecoder:
    """Implements ``edge.engines.Decoder``; a library lends it ``bind``."""

    def __init__(self, manifest: Manifest, bind: Bind) -> None:
        """``bind(graph, inputs, outputs)`` returns what runs the graph on these arrays, in place.

        It refuses, with EngineError, a graph whose inputs and outputs are not these. The arrays
        live as long as the engine.
        """
        tensors = graph_tensors(manifest)
        self._placed = PlacedTokens(manifest)
        self._tokens = np.zeros((1, manifest.tokenizer.tokens), np.int64)
        self._prefix = np.zeros(1, np.int64)
        self._count = 0
        self._condition = {k: _zeros(item) for k, item in condition_tensors(manifest).items()}
        self._head = _zeros(tensors["decode"].outputs["action"])
        self._full = _zeros(tensors["decode_full"].outputs["action"])
        self._run_decode = bind("decode", self._code_arrays(), {"action": self._head})
        self._run_full = bind("decode_full", self._code_arrays(), {"action": self._full})

    def place(self, tokens: Sequence[int], condition: Condition | None = None) -> None:
        """See ``Decoder.place``."""
        self._placed.check(tokens, condition)
        self._tokens[0, : len(tokens)] = tokens
        for name, value in (condition or {}).items():
            self._condition[name][0] = value
        self._count = len(tokens)

    def decode(self, prefix: int) -> Float32Array:
        """See ``Decoder.decode``."""
        return self._decode(self._run_decode, self._head, prefix)

    def decode_full(self, prefix: int) -> Float32Array:
        """See ``Decoder.decode_full``."""
        return self._decode(self._run_full, self._full, prefix)

    def _decode(self, run: Callable[[], None], output: Float32Array, prefix: int) -> Float32Array:
        if not 1 <= prefix <= self._count:
            raise EngineError(f"prefix is {prefix}, allowed is 1 to {self._count} (tokens so far)")
        self._prefix[0] = prefix
        run()
        actions: Float32Array = output[0]
        return actions

    def _code_arrays(self) -> Arrays:
        return {"tokens": self._tokens, "prefix": self._prefix} | self._condition


class HostEngine(HostDecoder):
    """Implements ``edge.engines.Engine``."""

    def __init__(self, manifest: Manifest, bind: Bind) -> None:
        """See ``HostDecoder``; the manifest is that of a policy."""
        super().__init__(manifest, bind)
        tensors = graph_tensors(manifest)
        self._positions = np.arange(manifest.tokenizer.tokens)[:, None]
        self._left = 0
        inputs = tensors["prefill"].inputs
        self._features = {key: self._condition.get(key, _zeros(inputs[key])) for key in inputs}
        self._command = self._condition.get(COMMAND)
        self._cross = _zeros(tensors["prefill"].outputs["cross_kv"])
        self._caches = [_zeros(tensors["step"].inputs["self_kv"]) for _ in range(2)]
        first = {"cross_kv": self._cross} | self._made(0)
        self._run_prefill = bind("prefill", self._features, first)
        later = range(1, manifest.tokenizer.tokens)
        self._run_steps = [bind("step", self._read(index), self._made(index)) for index in later]

    def place(self, tokens: Sequence[int], condition: Condition | None = None) -> None:
        """See ``Decoder.place``."""
        super().place(tokens, condition)
        self._left = 0

    def prefill(self, features: Record) -> None:
        """See ``Engine.prefill``."""
        for key, buffer in self._features.items():
            buffer[0] = features[key]
        if self._command is not None:
            self._command[0] = self._features[COMMAND_KEY][0, -1]
        self._run_prefill()
        self._count = 0
        self._left = 1 + len(self._run_steps)

    def next_token(self) -> int:
        """See ``Engine.next_token``."""
        if not self._left:
            raise EngineError(f"all {self._count} tokens of the plan are generated already")
        if self._count:
            self._run_steps[self._count - 1]()
        self._left -= 1
        self._count += 1
        return int(self._tokens[0, self._count - 1])

    def _read(self, index: int) -> Arrays:
        """What the step to token ``index`` reads."""
        return {
            "token": self._tokens[:, index - 1 : index],
            "position": self._positions[index],
            "cross_kv": self._cross,
            "self_kv": self._caches[index % 2],
        }

    def _made(self, index: int) -> Arrays:
        """Where token ``index`` and the cache with it are written."""
        return {
            "next_token": self._tokens[:, index : index + 1],
            "self_kv_next": self._caches[(index + 1) % 2],
        }


def described(arrays: Arrays) -> dict[str, Tensor]:
    """Shapes and types of arrays, to compare with a graph's."""
    return {name: Tensor(array.shape, array.dtype.name) for name, array in arrays.items()}


def _zeros(tensor: Tensor) -> Array:
    return np.zeros(tensor.shape, tensor.dtype)
