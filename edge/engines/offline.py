"""A bundle's tokenizer offline: chunks to tokens, and for a tokenizer alone tokens to chunks.

Nothing of it is part of a running robot.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge.bundle import DECODERS, Bundle
from edge.engines import Condition, Decoder, Float32Array, build_engine
from edge.engines.host import HostDecoder
from edge.engines.ort import GraphFile, OrtGraphs, graph_files
from edge.engines.tensors import graph_tensors

Int64Array = npt.NDArray[np.int64]


def build_decoder(bundle: Bundle, engine: str, precision: str) -> Decoder:
    """The named engine; for a tokenizer alone, ``ort`` is what ``auto`` stands for.

    Raises EngineError or BundleError that says what is missing.
    """
    if not bundle.manifest.has_policy and engine in ("auto", "ort"):
        return OrtDecoder(bundle, precision)
    return build_engine(bundle, engine, precision)


class OrtDecoder(HostDecoder):
    """``HostDecoder`` with onnxruntime on the CPU: for bundles of a tokenizer alone, too."""

    def __init__(self, bundle: Bundle, precision: str) -> None:
        """Raises EngineError; see ``OrtGraphs``. A graph that does not fit the manifest, too."""
        graphs = OrtGraphs(graph_files(bundle, precision, DECODERS))
        super().__init__(bundle.manifest, graphs.bind)


class OrtEncoder:
    """Chunks to tokens, with onnxruntime on the CPU; never part of a running robot."""

    def __init__(self, bundle: Bundle) -> None:
        """Raises BundleError for a bundle without an encoder, EngineError; see ``OrtGraphs``."""
        tensors = graph_tensors(bundle.manifest)["encode"]
        self._inputs = {
            name: np.zeros(tensor.shape, tensor.dtype) for name, tensor in tensors.inputs.items()
        }
        self._tokens = np.zeros((1, bundle.manifest.tokenizer.tokens), np.int64)
        file = GraphFile(f"bundle {bundle.path}: {bundle.manifest.encoder}", bundle.encoder())
        graphs = OrtGraphs({"encode": file})
        self._run = graphs.bind("encode", self._inputs, {"tokens": self._tokens})

    def encode(self, chunk: Float32Array, condition: Condition | None = None) -> Int64Array:
        """Actions (action_horizon, joints), raw, to tokens (tokens,).

        ``condition``: as for ``Decoder.place``. The array belongs to the encoder and holds until
        the next ``encode``.
        """
        self._inputs["chunks"][0] = chunk
        for name, value in (condition or {}).items():
            self._inputs[name][0] = value
        self._run()
        tokens: Int64Array = self._tokens[0]
        return tokens
