"""Network → plan: what TensorRT compiles of one graph, for given compute capabilities."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge.engines.trt.backend import Backend
from edge.engines.trt.network import parse
from edge.errors import EngineError, UsageError
from edge.rates import NS_PER_S

Progress = Callable[[str, int, int], None]  # phase, steps done, steps in all


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What a plan is built for.

    ``compute``: compute capabilities such as ``sm86``; empty: that of the GPU here.
    ``version_compatible``: for the lean runtime of this and later versions, which holds no builder
    (TensorRT Developer Guide, Version Compatibility); somewhat slower.
    """

    compute: tuple[str, ...] = ()
    version_compatible: bool = False

    def __post_init__(self) -> None:
        for name in self.compute:
            if not re.fullmatch(r"sm\d{2,3}", name):
                raise UsageError(f"compute capability {name!r}: write it as in sm86")

    @property
    def flags(self) -> tuple[str, ...]:
        """Builder flags that are set; part of a plan's key."""
        return ("VERSION_COMPATIBLE", "EXCLUDE_LEAN_RUNTIME") if self.version_compatible else ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled graph, how many nodes its network had, and how long the build took."""

    content: bytes
    nodes: int
    seconds: float


def build_plan(
    backend: Backend,
    onnx: bytes,
    graph: str,
    options: BuildOptions,
    progress: Progress | None = None,
) -> Plan:
    """Compile one graph; ``graph`` is its name in messages.

    Raises EngineError naming the node that is refused, or why nothing was built.
    """
    started_ns = time.monotonic_ns()
    builder = backend.module.Builder(backend.logger)
    network = parse(backend, builder, onnx, graph)
    config = _config(backend, builder, options)
    monitor = _monitor(backend.module, progress) if progress is not None else None
    if monitor is not None:
        config.progress_monitor = monitor
    backend.errors.clear()
    serialized = builder.build_serialized_network(network.definition, config)
    if monitor is not None and monitor.stopped_by is not None:
        raise monitor.stopped_by
    if serialized is None:
        raise EngineError(f"{backend} cannot build graph {graph}: {backend.last_error()}")
    seconds = (time.monotonic_ns() - started_ns) / NS_PER_S
    return Plan(bytes(memoryview(serialized)), network.nodes, seconds)


def _config(backend: Backend, builder: Any, options: BuildOptions) -> Any:
    """Builder configuration. TF32 is off: FP32 graphs are the reference and stay FP32."""
    config = builder.create_builder_config()
    if hasattr(backend.module.BuilderFlag, "TF32"):
        config.clear_flag(backend.module.BuilderFlag.TF32)
    for name in options.flags:
        flag = getattr(backend.module.BuilderFlag, name, None)
        if flag is None:
            raise EngineError(f"{backend} builds no version-compatible plans; tensorrt does")
        config.set_flag(flag)
    if options.compute:
        _set_compute(backend, config, options.compute)
    return config


def _set_compute(backend: Backend, config: Any, names: tuple[str, ...]) -> None:
    if not hasattr(config, "set_compute_capability"):
        raise EngineError(
            f"{backend} compiles for the GPU that it runs on; compute capabilities can be chosen "
            "with tensorrt-rtx only"
        )
    known = backend.module.ComputeCapability
    config.num_compute_capabilities = len(names)
    for index, name in enumerate(names):
        capability = getattr(known, name.upper(), None)
        if capability is None or not config.set_compute_capability(capability, index):
            have = ", ".join(item.lower() for item in sorted(dir(known)) if item.startswith("SM"))
            raise EngineError(f"{backend} does not compile for {name}; it does for {have}")


def _monitor(module: Any, progress: Progress) -> Any:
    """A progress monitor of the library. What ``progress`` raises cancels the build, and is kept:
    an exception must not cross the library's frames."""

    class Monitor(module.IProgressMonitor):  # type: ignore[misc]  # known at run time only
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)
            self.stopped_by: BaseException | None = None
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            self._report(phase_name, 0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._report(phase_name, step + 1)
            return self.stopped_by is None

        def phase_finish(self, phase_name: str) -> None:
            self._report(phase_name, self._steps[phase_name])

        def _report(self, phase: str, done: int) -> None:
            try:
                progress(phase, done, self._steps[phase])
            except BaseException as error:  # KeyboardInterrupt too: it is raised after the build
                self.stopped_by = error

    return Monitor()
