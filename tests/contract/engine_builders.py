"""Engines for the contract suite: those of other installations, and those of another machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge.bundle import Bundle
from edge.engines import Engine, build_engine
from edge.engines.ort import CACHES, PLACEMENTS, OrtEngine, Placement, require_provider
from edge.engines.trt.backend import load_backend
from edge.engines.trt.cuda_driver import find_gpu
from edge.engines.trt.device import require_pycuda
from edge.errors import EngineError
from tests.needs import require

Builder = Callable[[Bundle, str], Engine]


def needing(module: str) -> Builder:
    """The engine that is named like the module it needs."""

    def build(bundle: Bundle, precision: str) -> Engine:
        require(module)
        return build_engine(bundle, module, precision)

    return build


def ort_with_resident_caches(bundle: Bundle, precision: str) -> Engine:
    """The bindings of ``ort-cuda``, with the CPU in the place of the GPU."""
    placement = Placement("CPUExecutionProvider", "cpu", CACHES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PLACEMENTS, "cpu-resident", placement)
        return OrtEngine(bundle, precision, device="cpu-resident")


def on_gpu(name: str) -> Builder:
    """An engine on this machine's GPU; where there is none, the test is skipped with the reason."""

    def build(bundle: Bundle, precision: str) -> Engine:
        try:
            find_gpu()
            if name == "ort-cuda":
                require_provider("CUDAExecutionProvider")
            else:
                require_pycuda()
                load_backend(name)
        except EngineError as error:
            pytest.skip(str(error))
        return build_engine(bundle, name, precision)

    return build
