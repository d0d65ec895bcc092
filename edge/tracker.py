"""Observation features from outside the bus: datagrams on a Unix socket, newest wins.

A tracker (a camera's pose estimator, a motion-capture bridge, the simulated plant) sends to the
socket that robot.yaml names: a little-endian u64 with the monotonic time of the sample in ns,
followed by the feature's values as float32. The clock is CLOCK_MONOTONIC of this machine.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.errors import RunError

Float32Array = npt.NDArray[np.float32]

_STAMP = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of a feature, shape (size,), float32, and the monotonic time it was taken at."""

    stamp_ns: int
    values: Float32Array


def encode(stamp_ns: int, values: Float32Array) -> bytes:
    """The datagram for a sample."""
    return _STAMP.pack(stamp_ns) + values.astype("<f4").tobytes()


def _has_listener(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


class TrackerSocket:
    """Receives one feature; drops datagrams of another length and counts them in ``malformed``."""

    def __init__(self, key: str, path: Path, size: int) -> None:
        """Raises RunError that names the socket if it cannot be bound."""
        self.key = key
        self.malformed = 0
        self.latest: Sample | None = None
        self._length = _STAMP.size + 4 * size
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if path.is_socket() and not _has_listener(path):
                path.unlink()  # left over by a run that was killed
            self._socket.bind(str(path))
        except OSError as error:
            self._socket.close()
            raise RunError(f"trackers.{key}.socket {path}: {error.strerror}") from error

    def poll(self) -> Sample | None:
        """The newest sample so far, after reading everything that has arrived."""
        while True:
            try:
                datagram = self._socket.recv(self._length + 1)
            except BlockingIOError:
                return self.latest
            if len(datagram) != self._length:
                self.malformed += 1
                continue
            values = np.frombuffer(datagram, "<f4", offset=_STAMP.size)
            self.latest = Sample(_STAMP.unpack_from(datagram)[0], values)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
