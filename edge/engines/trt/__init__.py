"""TensorRT: from the graphs of a bundle to plans, and from plans to an engine.

    backend   the library, as ``tensorrt`` or ``tensorrt_rtx``
    network   ONNX → network, refusals by node name
    builder   network → plan
    cache     plans on disk, by everything that they depend on
    plans     all plans of a bundle, from the cache or built
    program   a plan, loaded and bound to addresses
    device    memory, stream and CUDA graphs, through PyCUDA
    engine    the ``Engine`` that runs four programs

All up to ``plans`` runs on a machine without a GPU.
"""
