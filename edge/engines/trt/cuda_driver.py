"""The CUDA driver library by ctypes: what PyCUDA lacks or would need a context for.

That is: which GPU this is, without making a context; and CUDA graphs, which no release of PyCUDA
has. Signatures: CUDA Driver API reference, sections "Device Management", "Version Management",
"Stream Management" and "Graph Management".
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.errors import EngineError

LIBRARY = "libcuda.so.1"
DRIVER_RELEASE_FILES = (Path("/proc/driver/nvidia/version"), Path("/etc/nv_tegra_release"))

_COMPUTE_MAJOR, _COMPUTE_MINOR = 75, 76  # CUdevice_attribute
_CAPTURE_THREAD_LOCAL = 1  # CUstreamCaptureMode


@dataclass(frozen=True, slots=True)
class Gpu:
    """The first GPU: its name, its compute capability as in ``sm87``, and its driver."""

    name: str
    compute: str
    driver: str


def find_gpu() -> Gpu:
    """The first GPU of this machine. Raises EngineError that says what is missing."""
    cuda = _library()
    _check(cuda, "cuInit", cuda.cuInit(0))
    device, version = ctypes.c_int(), ctypes.c_int()
    _check(cuda, "cuDeviceGet", cuda.cuDeviceGet(ctypes.byref(device), 0))
    _check(cuda, "cuDriverGetVersion", cuda.cuDriverGetVersion(ctypes.byref(version)))
    name = ctypes.create_string_buffer(256)
    _check(cuda, "cuDeviceGetName", cuda.cuDeviceGetName(name, len(name), device))
    major, minor = (_attribute(cuda, device, item) for item in (_COMPUTE_MAJOR, _COMPUTE_MINOR))
    driver = "; ".join([f"CUDA {version.value}", *_release_lines()])
    return Gpu(name.value.decode(errors="replace"), f"sm{major}{minor}", driver)


def capture(stream: int, work: Callable[[], None]) -> Callable[[], None]:
    """Record what ``work`` puts on the stream as a CUDA graph; returns what launches it there.

    Raises EngineError where the driver refuses, for example work that cannot be captured.
    """
    cuda, handle = _library(), ctypes.c_void_p(stream)
    graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
    begun = cuda.cuStreamBeginCapture_v2(handle, _CAPTURE_THREAD_LOCAL)
    _check(cuda, "cuStreamBeginCapture", begun)
    try:
        work()
    finally:
        ended = cuda.cuStreamEndCapture(handle, ctypes.byref(graph))
    _check(cuda, "cuStreamEndCapture", ended)
    flags = ctypes.c_ulonglong(0)
    made = cuda.cuGraphInstantiateWithFlags(ctypes.byref(executable), graph, flags)
    _check(cuda, "cuGraphInstantiate", made)

    def launch() -> None:
        code = cuda.cuGraphLaunch(executable, handle)
        if code:
            _check(cuda, "cuGraphLaunch", code)

    return launch


def _library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise EngineError(f"no NVIDIA driver on this machine ({LIBRARY} is missing)") from error


def _attribute(cuda: ctypes.CDLL, device: ctypes.c_int, attribute: int) -> int:
    value = ctypes.c_int()
    code = cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
    _check(cuda, "cuDeviceGetAttribute", code)
    return value.value


def _release_lines() -> list[str]:
    """First line of each file in which a driver names its release."""
    files = [file for file in DRIVER_RELEASE_FILES if file.is_file()]
    return [" ".join(file.read_text(encoding="utf-8").splitlines()[0].split()) for file in files]


def _check(cuda: ctypes.CDLL, call: str, code: int) -> None:
    if code == 0:
        return
    text = ctypes.c_char_p()
    cuda.cuGetErrorName(code, ctypes.byref(text))
    name = text.value.decode() if text.value else f"error {code}"
    raise EngineError(f"no usable NVIDIA GPU: {call} says {name}")
