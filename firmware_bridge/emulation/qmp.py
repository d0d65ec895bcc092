"""QEMU's machine protocol over its Unix socket."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firmware_bridge.errors import PortError

START_TIMEOUT_S = 10.0


class Qmp:
    """One command, one answer."""

    def __init__(self, path: Path, is_alive: Callable[[], bool]) -> None:
        self._socket = _connect(path, is_alive)
        self._socket.settimeout(START_TIMEOUT_S)
        self._file = self._socket.makefile("rw", encoding="utf-8")
        self._file.readline()  # its greeting
        self.execute("qmp_capabilities")

    def execute(self, command: str) -> Any:
        """Run a command and return what it answers; events in between are passed over."""
        self._file.write(json.dumps({"execute": command}) + "\n")
        self._file.flush()
        while line := self._file.readline():
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise PortError(f"QEMU refuses {command}: {answer['error'].get('desc')}")
        raise PortError("QEMU has gone")

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._socket.close()


def _connect(path: Path, is_alive: Callable[[], bool]) -> socket.socket:
    end = time.monotonic() + START_TIMEOUT_S
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            if not is_alive():
                raise PortError("its process has ended") from None
            if time.monotonic() > end:
                raise PortError("no monitor socket") from None
            time.sleep(0.01)
        else:
            return connection
