"""Engines: what runs a bundle's graphs on this device, all behind one protocol."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge.bundle import Bundle
from edge.engine_names import ENGINES
from edge.errors import EngineError
from edge.shared_memory import Record

Float32Array = npt.NDArray[np.float32]

_LOG = logging.getLogger(__name__)


class Decoder(Protocol):
    """Turns tokens into actions: all that a bundle of a tokenizer alone can do."""

    def place(self, tokens: Sequence[int], command: Float32Array | None = None) -> None:
        """Begin a plan that is these tokens, 1 to all of them; no generated token follows them.

        ``command``, shape (joints,): the previous command, exactly where the decoder reads it.
        Raises EngineError for what is no token, too many of them, or another command.
        """

    def decode(self, prefix: int) -> Float32Array:
        """Executed actions, shape (execution_horizon, joints), from the first ``prefix`` tokens.

        The array belongs to the engine and holds until the next ``decode``.
        """

    def decode_full(self, prefix: int) -> Float32Array:
        """All actions, shape (action_horizon, joints); the first ones equal ``decode``'s."""


class Engine(Decoder, Protocol):
    """Runs one plan at a time; every call does the least work that its answer needs."""

    def prefill(self, features: Record) -> None:
        """Start a plan from an observation: a structured record with one field per feature."""

    def next_token(self) -> int:
        """Generate the next token of the plan, greedily. Raises EngineError past the last one."""


def resolve(bundle: Bundle, name: str, precision: str) -> str:
    """The engine that a name stands for: itself, or what ``auto`` chooses and logs with its reason.

    Raises BundleError if the bundle lacks the precision.
    """
    if name != "auto":
        return name
    from edge.engines.choice import choose

    choice = choose(bundle, precision)
    _LOG.info("engine auto: %s", choice)
    return choice.name


def build_engine(bundle: Bundle, name: str, precision: str) -> Engine:
    """The named engine on a bundle. Raises EngineError or BundleError that says what is missing.

    No engine stands in for another; only ``auto`` chooses.
    """
    name = resolve(bundle, name, precision)
    if name in ("ort", "ort-cuda"):
        from edge.engines.ort import OrtEngine

        return OrtEngine(bundle, precision, device="cpu" if name == "ort" else "cuda")
    if name == "openvino":
        from edge.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(bundle, precision)
    if name in ("tensorrt", "tensorrt-rtx"):
        from edge.engines.trt.engine import build_tensorrt_engine

        return build_tensorrt_engine(bundle, precision, name)
    raise EngineError(f"no engine {name!r}; there are {', '.join(ENGINES)}")
