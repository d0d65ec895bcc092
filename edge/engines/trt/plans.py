"""All plans of a bundle in one precision, from the cache or built."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edge.bundle import GRAPHS, Bundle
from edge.engines.trt.backend import Backend
from edge.engines.trt.builder import BuildOptions, Plan, build_plan
from edge.engines.trt.cache import CachedPlan, PlanCache, default_directory
from edge.engines.trt.cuda_driver import Gpu, find_gpu
from edge.engines.trt.plan_file import PlanKey
from edge.errors import EngineError

GraphProgress = Callable[[str, str, int, int], None]  # graph, phase, steps done, steps in all


def bundle_plans(
    bundle: Bundle,
    precision: str,
    backend: Backend,
    options: BuildOptions,
    cache_directory: Path | None = None,
    progress: GraphProgress | None = None,
) -> dict[str, CachedPlan]:
    """A plan per graph, built where the cache has none for this machine and these options.

    Raises EngineError: a graph is refused, there is no GPU and no compute capability is given, or
    the cache cannot be written. Raises BundleError if the bundle lacks the precision.
    """
    gpu = _gpu(backend, options)
    if not options.compute and gpu is not None and backend.flavour == "tensorrt-rtx":
        options = replace(options, compute=(gpu.compute,))
    cache = PlanCache(cache_directory or default_directory(bundle.digest))
    plans = {}
    for graph in GRAPHS:
        onnx = bundle.graph(precision, graph)
        key = plan_key(backend, options, gpu, precision, graph, onnx)
        plans[graph] = cache.fetch(key, _builder(backend, options, key, onnx, progress))
    return plans


def lean_plans(
    bundle: Bundle, precision: str, backend: Backend, cache_directory: Path | None = None
) -> dict[str, CachedPlan]:
    """A plan per graph for a runtime that cannot build: those of ``build --version-compatible``.

    Raises EngineError: one is not there, or there is no GPU. The runtime itself refuses a plan of a
    version that it does not serve.
    """
    gpu = find_gpu()
    options = BuildOptions(version_compatible=True)
    cache = PlanCache(cache_directory or default_directory(bundle.digest))
    plans = {}
    for graph in GRAPHS:
        key = plan_key(backend, options, gpu, precision, graph, bundle.graph(precision, graph))
        try:
            plans[graph] = cache.find(key, but=("version",))
        except EngineError as error:
            raise EngineError(
                f"{error}; {backend} cannot build: oat-edge build --target tensorrt "
                f"--version-compatible does, for {gpu.name}"
            ) from error
    return plans


def plan_key(
    backend: Backend,
    options: BuildOptions,
    gpu: Gpu | None,
    precision: str,
    graph: str,
    onnx: bytes,
) -> PlanKey:
    """What a plan of this graph depends on. A driver counts where there is one."""
    compatible = options.version_compatible
    return PlanKey(
        flavour="tensorrt-lean" if compatible else backend.flavour,
        version=backend.version,
        compute=options.compute or ((gpu.compute,) if gpu else ()),
        driver=gpu.driver if gpu and not compatible else "",
        precision=precision,
        graph=graph,
        graph_sha256=hashlib.sha256(onnx).hexdigest(),
        options=options.flags,
    )


def _gpu(backend: Backend, options: BuildOptions) -> Gpu | None:
    """The GPU, which only a build for named compute capabilities can do without."""
    try:
        return find_gpu()
    except EngineError as error:
        if options.compute and backend.flavour == "tensorrt-rtx":
            return None
        hint = "; name one as in --compute sm86" if backend.flavour == "tensorrt-rtx" else ""
        raise EngineError(f"{backend} has no GPU to compile for: {error}{hint}") from error


def _builder(
    backend: Backend,
    options: BuildOptions,
    key: PlanKey,
    onnx: bytes,
    progress: GraphProgress | None,
) -> Callable[[], Plan]:
    def report(phase: str, done: int, steps: int) -> None:
        if progress is not None:
            progress(key.graph, phase, done, steps)

    name = f"{key.precision}/{key.graph}"
    return lambda: build_plan(backend, onnx, name, options, report)
