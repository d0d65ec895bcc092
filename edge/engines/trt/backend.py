"""The TensorRT library under any of its names, with one logger.

``tensorrt`` is the one of JetPack and of data-centre GPUs: it compiles for the GPU that it runs on.
``tensorrt_rtx`` is the one for GeForce and RTX GPUs: the same builder, parser and runtime API, and
it compiles for any listed compute capability, with no GPU present. ``tensorrt_lean`` is a runtime
alone, without a builder, for version-compatible plans that the first has made. Served are TensorRT
10.3 (JetPack 6), 10.13 (JetPack 7), 11, and TensorRT for RTX 1.
"""

from __future__ import annotations

import functools
import importlib
from collections import deque
from dataclasses import dataclass
from typing import Any

from edge.errors import EngineError, UsageError

LOG_LINES = 32


@dataclass(frozen=True, slots=True)
class Flavour:
    """One edition: its import name, how to install it, the oldest major version that is served."""

    name: str
    module: str
    install: str
    oldest_major: int


FLAVOURS = {
    "tensorrt": Flavour(
        "tensorrt",
        "tensorrt",
        "on a Jetson it comes with JetPack (make the environment with --system-site-packages); "
        "elsewhere pip install tensorrt",
        10,
    ),
    "tensorrt-lean": Flavour("tensorrt-lean", "tensorrt_lean", "pip install 'oat-edge[lean]'", 10),
    "tensorrt-rtx": Flavour("tensorrt-rtx", "tensorrt_rtx", "pip install 'oat-edge[rtx]'", 1),
}


@dataclass(frozen=True, slots=True)
class Backend:
    """A loaded library: its module, its logger, and the last errors that it logged."""

    flavour: str
    version: str
    module: Any
    logger: Any
    errors: deque[str]

    def __str__(self) -> str:
        return f"{self.flavour} {self.version}"

    def last_error(self) -> str:
        """The newest error that the library logged, on one line."""
        return " ".join(self.errors[-1].split()) if self.errors else "it gave no reason"


@functools.cache
def load_backend(flavour: str) -> Backend:
    """The library of this flavour, loaded once per process.

    Raises EngineError that says what is missing and how to install it, UsageError for other names.
    """
    facts = FLAVOURS.get(flavour)
    if facts is None:
        raise UsageError(f"no TensorRT flavour {flavour!r}; there are {', '.join(FLAVOURS)}")
    try:
        module = importlib.import_module(facts.module)
        version = str(module.__version__)
    except (ImportError, OSError, AttributeError) as error:
        why = " ".join(str(error).split())
        raise EngineError(f"{flavour} is not usable ({why}); {facts.install}") from error
    if int(version.split(".")[0]) < facts.oldest_major:
        raise EngineError(f"{flavour} {version} is too old; served are {facts.oldest_major} and up")
    errors: deque[str] = deque(maxlen=LOG_LINES)
    return Backend(flavour, version, module, _logger(module, errors), errors)


def _logger(module: Any, errors: deque[str]) -> Any:
    """A logger of the library that keeps errors and drops the rest."""

    class Logger(module.ILogger):  # type: ignore[misc]  # the module is known at run time only
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (module.ILogger.INTERNAL_ERROR, module.ILogger.ERROR):
                errors.append(message)

    return Logger()
