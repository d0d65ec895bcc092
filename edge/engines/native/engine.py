"""The engine ``native``: a bundle's graphs, each one call into compiled code."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np

from edge.bundle import GRAPHS, Bundle
from edge.engines.host import Arrays, HostEngine, described
from edge.engines.native.constants import Constants
from edge.engines.native.library import load
from edge.engines.native.lowering import Program
from edge.engines.native.memory import Array, new_block
from edge.engines.native.nodes import lower
from edge.engines.tensors import check_tensors
from edge.errors import EngineError


class NativeEngine(HostEngine):
    """``HostEngine`` with a program for each graph; they share constants and scratch memory."""

    def __init__(self, bundle: Bundle, precision: str) -> None:
        """Raises EngineError: no build for this processor, or a graph that does not fit."""
        self._library, constants = load(), Constants()
        self._programs = {
            name: lower(
                bundle.graph(precision, name),
                f"bundle {bundle.path}: {precision}/{name}",
                bool(self._library.oat_has_integer_products()),
                constants,
            )
            for name in GRAPHS
        }
        self._scratch = new_block(max(item.scratch_size for item in self._programs.values()))
        super().__init__(bundle.manifest, self._bind)

    def _bind(self, graph: str, inputs: Arrays, outputs: Arrays) -> Callable[[], None]:
        """See ``HostDecoder``."""
        program = self._programs[graph]
        check_tensors(graph, "input", program.inputs, described(inputs))
        check_tensors(graph, "output", program.outputs, described(outputs))
        return bound(graph, program, self._scratch, inputs, outputs, self._library)


def bound(
    graph: str,
    program: Program,
    scratch: Array,
    inputs: Arrays,
    outputs: Arrays,
    library: ctypes.CDLL,
) -> Callable[[], None]:
    """What runs a program on these arrays, which live as long as it; they are as it wants them."""
    outer = inputs | outputs
    arrays = [outer[name] for name in (*program.inputs, *program.outputs)]
    blocks = [program.constants.block, scratch, *arrays]
    bases = np.array([block.ctypes.data for block in blocks], np.uint64)
    count, execute = len(program.operations), library.oat_run
    operations, start = program.operations.ctypes.data, bases.ctypes.data

    def run(_kept: tuple[object, ...] = (program, bases, blocks)) -> None:
        failed = execute(operations, count, start)
        if failed >= 0:
            raise EngineError(f"graph {graph}: operation {failed}: no such row of its table")

    return run
