"""The GPU as the engine sees it: memory, copies and CUDA graphs on one stream, through PyCUDA."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge.engines.trt import cuda_driver
from edge.errors import EngineError

Array = npt.NDArray[Any]
Work = Callable[[int], None]  # given a stream's handle


class Device(Protocol):
    """Memory and one stream. Addresses are on the device; arrays are pinned host memory."""

    def allocate(self, size: int) -> int:
        """Address of so many zeroed bytes, aligned to 256, which live as long as the device."""

    def pinned(self, shape: Sequence[int], dtype: str) -> Array:
        """A zeroed array in host memory that the device copies from and to by itself."""

    def copy(self, destination: int | Array, source: int | Array, size: int) -> None:
        """Put a copy of ``size`` bytes on the stream; one side at least is on the device."""

    def record(self, work: Work) -> Callable[[], None]:
        """Make a CUDA graph of what ``work`` puts on the stream; returns what launches it."""

    def wait(self) -> None:
        """Block until the stream has nothing left to do."""


def require_pycuda() -> Any:
    """PyCUDA's driver module. Raises EngineError that says how to install it."""
    try:
        import pycuda.driver
    except (ImportError, OSError) as error:
        why = " ".join(str(error).split())
        raise EngineError(
            f"pycuda is not usable ({why}); pip install pycuda, which needs the CUDA toolkit"
        ) from error
    return pycuda.driver


class CudaDevice:
    """``Device`` on the first GPU, in its primary context, which TensorRT uses too."""

    def __init__(self) -> None:
        """Raises EngineError where the driver, a GPU or PyCUDA is missing."""
        cuda_driver.find_gpu()
        self._cuda = require_pycuda()
        self._cuda.init()
        context = self._cuda.Device(0).retain_primary_context()
        context.push()
        atexit.register(context.pop)
        self._stream = self._cuda.Stream()
        self._allocations: list[Any] = []

    def allocate(self, size: int) -> int:
        """See ``Device.allocate``; cuMemAlloc aligns to 256 bytes at least."""
        allocation = self._cuda.mem_alloc(size)
        self._allocations.append(allocation)
        self._cuda.memset_d8(allocation, 0, size)
        return int(allocation)

    def pinned(self, shape: Sequence[int], dtype: str) -> Array:
        """See ``Device.pinned``."""
        array: Array = self._cuda.pagelocked_zeros(tuple(shape), np.dtype(dtype))
        return array

    def copy(self, destination: int | Array, source: int | Array, size: int) -> None:
        """See ``Device.copy``."""
        if isinstance(source, np.ndarray):
            self._cuda.memcpy_htod_async(destination, source, self._stream)
        elif isinstance(destination, np.ndarray):
            self._cuda.memcpy_dtoh_async(destination, source, self._stream)
        else:
            self._cuda.memcpy_dtod_async(destination, source, size, self._stream)

    def record(self, work: Work) -> Callable[[], None]:
        """See ``Device.record``. The work runs once before: a first run may allocate or compile,
        which cannot be captured."""
        handle = int(self._stream.handle)
        work(handle)
        self.wait()
        return cuda_driver.capture(handle, lambda: work(handle))

    def wait(self) -> None:
        """See ``Device.wait``."""
        self._stream.synchronize()
