"""The TensorRT engine: a CUDA graph per stage; nothing leaves the device before it is asked for.

Tokens, key-value cache and memory stay on the device. A stage's graph holds its copies too: the
observation comes over in one, and a token goes back as eight bytes while the next step could read
it where it is. A step writes the cache that the next one reads; with two buffers and fixed
addresses, each token index has a graph of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edge.bundle import COMMAND_KEY, GRAPHS, Bundle, Manifest
from edge.engines import Condition, Float32Array
from edge.engines.placed_tokens import PlacedTokens
from edge.engines.tensors import COMMAND, check_tensors, condition_tensors, graph_tensors
from edge.engines.trt.backend import load_backend
from edge.engines.trt.buffers import engine_tensors, lay_out
from edge.engines.trt.builder import BuildOptions
from edge.engines.trt.device import Array, CudaDevice, Device
from edge.engines.trt.plans import bundle_plans, lean_plans
from edge.engines.trt.program import Program, TensorRTProgram
from edge.errors import EngineError
from edge.shared_memory import Record

TOKEN_BYTES = 8  # int64


def build_tensorrt_engine(
    bundle: Bundle, precision: str, flavour: str, busy: Callable[[], None] | None = None
) -> TensorRTEngine:
    """An engine on this machine's GPU; plans that the cache lacks are built first.

    Raises EngineError that says what is missing: the library, a GPU, PyCUDA; for the lean runtime,
    which cannot build, a plan.
    """
    backend = load_backend(flavour)
    device = CudaDevice()
    progress = None if busy is None else lambda *_: busy()
    if flavour == "tensorrt-lean":
        plans = lean_plans(bundle, precision, backend)
    else:
        plans = bundle_plans(bundle, precision, backend, BuildOptions(), progress=progress)
    programs = {
        graph: TensorRTProgram(backend, item.plan.content, graph) for graph, item in plans.items()
    }
    return TensorRTEngine(bundle.manifest, programs, device)


class TensorRTEngine:
    """Implements ``edge.engines.Engine`` with four programs on a device."""

    def __init__(self, manifest: Manifest, programs: Mapping[str, Program], device: Device) -> None:
        """Raises EngineError where a program does not fit the manifest."""
        _check(manifest, programs)
        self._placed = PlacedTokens(manifest)
        self._programs, self._device = programs, device
        self._layout = lay_out(engine_tensors(manifest))
        self._base = device.allocate(self._layout.size)
        self._condition = tuple(condition_tensors(manifest))
        self._count, self._total, self._left = 0, manifest.tokenizer.tokens, 0
        self._feature_names = graph_tensors(manifest)["prefill"].inputs
        start, size = self._layout.span(self._feature_names)
        self._staging = device.pinned((size,), "uint8")
        self._features = {key: self._staged(key, start) for key in self._feature_names}
        self._tokens = device.pinned((self._total, 1), "int64")
        self._prefix = device.pinned((1,), "int64")
        self._actions = {graph: self._pinned(graph) for graph in ("decode", "decode_full")}
        self._upload_positions()
        self._prefill = device.record(self._prefill_work())
        later = range(1, self._total)
        self._steps = [device.record(self._step_work(index)) for index in later]
        self._decoders = {graph: device.record(self._decode_work(graph)) for graph in self._actions}
        device.wait()

    def place(self, tokens: Sequence[int], condition: Condition | None = None) -> None:
        """See ``Decoder.place``; not for the loop, as its copies have no graph of their own."""
        self._placed.check(tokens, condition)
        codes = self._device.pinned((len(tokens),), "int64")
        codes[:] = tokens
        self._device.copy(self._address("tokens"), codes, codes.nbytes)
        for name, value in (condition or {}).items():
            staged = self._device.pinned(value.shape, "float32")
            staged[:] = value
            self._device.copy(self._address(name), staged, staged.nbytes)
        self._device.wait()
        self._count, self._left = len(tokens), 0

    def prefill(self, features: Record) -> None:
        """See ``Engine.prefill``."""
        for key, buffer in self._features.items():
            buffer[0] = features[key]
        self._prefill()
        self._device.wait()
        self._count, self._left = 0, self._total

    def next_token(self) -> int:
        """See ``Engine.next_token``."""
        if not self._left:
            raise EngineError(f"all {self._count} tokens of the plan are generated already")
        if self._count:
            self._steps[self._count - 1]()
            self._device.wait()
        self._count += 1
        self._left -= 1
        return int(self._tokens[self._count - 1, 0])

    def decode(self, prefix: int) -> Float32Array:
        """See ``Engine.decode``."""
        return self._decode("decode", prefix)

    def decode_full(self, prefix: int) -> Float32Array:
        """See ``Engine.decode_full``."""
        return self._decode("decode_full", prefix)

    def _decode(self, graph: str, prefix: int) -> Float32Array:
        if not 1 <= prefix <= self._count:
            raise EngineError(f"prefix is {prefix}, allowed is 1 to {self._count} (tokens so far)")
        self._prefix[0] = prefix
        self._decoders[graph]()
        self._device.wait()
        actions: Float32Array = self._actions[graph][0]
        return actions

    def _prefill_work(self) -> Callable[[int], None]:
        names = {name: name for name in (*self._feature_names, "cross_kv")} | self._made(0)
        run, keep = self._programs["prefill"].bind(self._addresses(names)), self._keep_token(0)
        start, size = self._layout.span(self._feature_names)

        def work(stream: int) -> None:
            self._device.copy(self._base + start, self._staging, size)
            if COMMAND in self._condition:
                self._copy_command()
            run(stream)
            keep()

        return work

    def _copy_command(self) -> None:
        """The newest command of the observation, to where the decoder reads it."""
        command, history = (self._layout.regions[name] for name in (COMMAND, COMMAND_KEY))
        newest = self._base + history.offset + history.size - command.size
        self._device.copy(self._base + command.offset, newest, command.size)

    def _step_work(self, index: int) -> Callable[[int], None]:
        names = {
            "token": f"token.{index - 1}",
            "position": f"position.{index}",
            "cross_kv": "cross_kv",
            "self_kv": f"self_kv.{index % 2}",
        }
        names |= self._made(index)
        run, keep = self._programs["step"].bind(self._addresses(names)), self._keep_token(index)

        def work(stream: int) -> None:
            run(stream)
            keep()

        return work

    def _made(self, index: int) -> dict[str, str]:
        """Where token ``index`` and the cache with it are written."""
        return {
            "next_token": f"token.{index}",
            "self_kv_next": f"self_kv.{(index + 1) % 2}",
        }

    def _keep_token(self, index: int) -> Callable[[], None]:
        """Copies token ``index`` to where the decoder reads it, and to the host."""
        made, code = (self._address(name) for name in (f"token.{index}", "tokens"))
        code += index * TOKEN_BYTES

        def keep() -> None:
            self._device.copy(code, made, TOKEN_BYTES)
            self._device.copy(self._tokens[index], made, TOKEN_BYTES)

        return keep

    def _decode_work(self, graph: str) -> Callable[[int], None]:
        inputs = ("tokens", "prefix", *self._condition)
        addresses = self._addresses({name: name for name in inputs} | {"action": graph})
        run = self._programs[graph].bind(addresses)
        actions = self._actions[graph]

        def work(stream: int) -> None:
            self._device.copy(addresses["prefix"], self._prefix, self._prefix.nbytes)
            run(stream)
            self._device.copy(actions, addresses["action"], actions.nbytes)

        return work

    def _upload_positions(self) -> None:
        """The constant position of every step."""
        positions = self._device.pinned((self._total, 1), "int64")
        positions[:, 0] = np.arange(self._total)
        for index in range(1, self._total):
            self._device.copy(self._address(f"position.{index}"), positions[index], TOKEN_BYTES)
        self._device.wait()

    def _address(self, name: str) -> int:
        return self._base + self._layout.regions[name].offset

    def _addresses(self, names: Mapping[str, str]) -> dict[str, int]:
        return {tensor: self._address(name) for tensor, name in names.items()}

    def _staged(self, key: str, start: int) -> Array:
        """The part of the staging memory that lands in the feature's region."""
        region = self._layout.regions[key]
        offset = region.offset - start
        part = self._staging[offset : offset + region.size]
        return part.view(region.tensor.dtype).reshape(region.tensor.shape)

    def _pinned(self, name: str) -> Array:
        tensor = self._layout.regions[name].tensor
        return self._device.pinned(tensor.shape, tensor.dtype)


def _check(manifest: Manifest, programs: Mapping[str, Program]) -> None:
    wanted = graph_tensors(manifest)
    for graph in GRAPHS:
        check_tensors(graph, "input", programs[graph].inputs, wanted[graph].inputs)
        check_tensors(graph, "output", programs[graph].outputs, wanted[graph].outputs)
