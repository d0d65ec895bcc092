"""A device in host memory and programs run by onnxruntime: the TensorRT engine without a GPU.

Nothing happens before ``wait``, as on a stream, so a missing wait shows as a stale result.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

from edge.bundle import GRAPHS, Bundle
from edge.engines.tensors import Tensor, graph_tensors
from edge.engines.trt.buffers import ALIGNMENT
from edge.engines.trt.device import Array, Work
from edge.engines.trt.engine import TensorRTEngine

STREAM = 7


class HostDevice:
    """``Device`` on the host; ``graphs`` counts recordings, ``copied`` the bytes that crossed."""

    def __init__(self) -> None:
        self.graphs = 0
        self.copied = 0
        self._queue: list[Callable[[], None]] = []
        self._running = False
        self._memory: list[Array] = []

    def allocate(self, size: int) -> int:
        memory = np.zeros(size + ALIGNMENT, np.uint8)
        self._memory.append(memory)
        return memory.ctypes.data + -memory.ctypes.data % ALIGNMENT

    def pinned(self, shape: Sequence[int], dtype: str) -> Array:
        return np.zeros(shape, dtype)

    def copy(self, destination: int | Array, source: int | Array, size: int) -> None:
        sides = [x.ctypes.data if isinstance(x, np.ndarray) else x for x in (destination, source)]
        for side in (destination, source):
            if isinstance(side, np.ndarray):
                assert side.nbytes == size and side.flags.c_contiguous
                self.copied += size
        self._do(lambda: ctypes.memmove(sides[0], sides[1], size))

    def record(self, work: Work) -> Callable[[], None]:
        self.graphs += 1
        return lambda: self._do(lambda: work(STREAM))

    def wait(self) -> None:
        self._running = True
        for job in self._queue:
            job()
        self._queue, self._running = [], False

    def _do(self, job: Callable[[], Any]) -> None:
        if self._running:
            job()
        else:
            self._queue.append(job)


class OrtProgram:
    """``Program`` that onnxruntime runs on the memory at its addresses."""

    def __init__(self, bundle: Bundle, precision: str, graph: str) -> None:
        tensors = graph_tensors(bundle.manifest)[graph]
        self.inputs: Mapping[str, Tensor] = tensors.inputs
        self.outputs: Mapping[str, Tensor] = tensors.outputs
        self._session = onnxruntime.InferenceSession(bundle.graph(precision, graph))

    def bind(self, addresses: Mapping[str, int]) -> Callable[[int], None]:
        assert set(addresses) == {*self.inputs, *self.outputs}
        assert all(address % ALIGNMENT == 0 for address in addresses.values())
        tensors = {**self.inputs, **self.outputs}
        views = {name: _view(addresses[name], tensors[name]) for name in tensors}

        def run(stream: int) -> None:
            assert stream == STREAM
            results = self._session.run(
                list(self.outputs), {name: views[name].copy() for name in self.inputs}
            )
            for name, result in zip(self.outputs, results, strict=True):
                views[name][...] = result

        return run


def engine_on_host(bundle: Bundle, precision: str = "fp32") -> tuple[TensorRTEngine, HostDevice]:
    device = HostDevice()
    programs = {graph: OrtProgram(bundle, precision, graph) for graph in GRAPHS}
    return TensorRTEngine(bundle.manifest, programs, device), device


def _view(address: int, tensor: Tensor) -> Array:
    size = math.prod(tensor.shape) * np.dtype(tensor.dtype).itemsize
    memory = (ctypes.c_uint8 * size).from_address(address)
    return np.frombuffer(memory, tensor.dtype).reshape(tensor.shape)
