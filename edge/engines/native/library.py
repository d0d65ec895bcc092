"""The compiled code: which of its builds this processor runs."""

from __future__ import annotations

import ctypes
import platform
from functools import cache
from pathlib import Path
from typing import NamedTuple

from edge.engines.native.operations import OPERATION, Kind
from edge.errors import EngineError


class Build(NamedTuple):
    """One build: the machine it is for, and the processor features it takes for granted."""

    machine: str
    level: str
    features: frozenset[str]

    @property
    def file_name(self) -> str:
        """What ``setup.py`` calls it."""
        return f"execute-{self.machine}{'-' if self.level else ''}{self.level}.so"


_V3 = frozenset({"avx2", "bmi2", "f16c", "fma"})
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
BUILDS = (  # best first
    Build("x86_64", "v4-vnni", _V4 | {"avx512_vnni"}),
    Build("x86_64", "v4", _V4),
    Build("x86_64", "v3", _V3),
    Build("aarch64", "", frozenset()),
)


@cache
def load() -> ctypes.CDLL:
    """The best build that runs here. Raises EngineError if there is none."""
    build = _best(platform.machine(), _features())
    path = Path(__file__).with_name(build.file_name)
    if not path.is_file():
        raise EngineError(f"the native engine's {path.name} is not there; install oat-edge again")
    library = ctypes.CDLL(str(path))
    if (library.oat_operation_size(), library.oat_kinds()) != (OPERATION.itemsize, len(Kind)):
        raise EngineError(f"{path} is of another version; install oat-edge again")
    library.oat_run.restype = ctypes.c_int32
    library.oat_run.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p]
    return library


def _best(machine: str, features: frozenset[str]) -> Build:
    for build in BUILDS:
        if build.machine == machine and build.features <= features:
            return build
    needed = sorted(_V3 - features)
    lacks = f" without {', '.join(needed)}" if machine == "x86_64" else ""
    raise EngineError(f"the native engine has no build for {machine}{lacks}; engine ort has")


def _features() -> frozenset[str]:
    """Processor features by Linux's names; none where the kernel does not list them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split())
