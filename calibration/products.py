"""The layers of a graph that quantization is about: large products with a constant matrix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx

Graphs = Mapping[str, onnx.ModelProto]
"""The graphs of one precision by name: prefill, step, decode, decode_full."""

SMALLEST_WEIGHT = 4096
"""A product with fewer weights gains less than quantizing its input costs."""

MODULES: dict[str, tuple[str, ...]] = {
    "prefill": ("prefill",),
    "step": ("step",),
    "decode": ("decode", "decode_full"),
}
"""Which graphs hold the same layers: both decoders do, and are always treated alike."""


def large_products(model: onnx.ModelProto) -> list[str]:
    """Names of the MatMul nodes whose second operand is a large constant matrix.

    A product of constants alone is none of them: engines compute it as they load the graph.
    """
    sizes = {
        tensor.name: tensor.dims[0] * tensor.dims[1]
        for tensor in model.graph.initializer
        if len(tensor.dims) == 2
    }
    constant, found = {tensor.name for tensor in model.graph.initializer}, []
    for node in model.graph.node:
        if constant.issuperset(node.input):
            constant.update(node.output)
        elif node.op_type == "MatMul" and sizes.get(node.input[1], 0) >= SMALLEST_WEIGHT:
            found.append(node.name)
    return found


def layers_of(graphs: Graphs) -> list[str]:
    """Every layer as ``module/node``, such as ``step/blocks.0.mlp.c_fc``, in the order of the
    data."""
    return [
        f"{module}/{node}"
        for module, names in MODULES.items()
        for node in large_products(graphs[names[0]])
    ]


def module_of(graph: str) -> str:
    """The module that a graph belongs to."""
    return next(module for module, graphs in MODULES.items() if graph in graphs)


def nodes_of(graph: str, layers: Iterable[str]) -> list[str]:
    """Names of the nodes of ``graph`` among ``layers``."""
    module = module_of(graph)
    return [layer.partition("/")[2] for layer in layers if layer.startswith(f"{module}/")]
