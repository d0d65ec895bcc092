"""Keys of a person at a terminal, or lines of a script on standard input."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from types import TracebackType
from typing import Any

from edge.errors import RunError

ENTER = "enter"


class Keys:
    """Context manager: ``poll`` waits for one key. At a terminal keys need no Enter and no echo;

    elsewhere each line is a key, the empty one ``ENTER``.
    """

    def __init__(self) -> None:
        self._descriptor = sys.stdin.fileno()
        self.at_terminal = os.isatty(self._descriptor)
        self._settings: Any = None
        self._pending = b""

    def __enter__(self) -> Keys:
        if self.at_terminal:
            self._settings = termios.tcgetattr(self._descriptor)
            tty.setcbreak(self._descriptor)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._settings is not None:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._settings)

    def poll(self, timeout_s: float) -> str | None:
        """The next key in lower case, or None. Raises RunError where input has ended."""
        key = self._next()
        if key is not None or not select.select((self._descriptor,), (), (), timeout_s)[0]:
            return key
        data = os.read(self._descriptor, 256)
        if not data:
            raise RunError("standard input ended before all was done")
        self._pending += data
        return self._next()

    def _next(self) -> str | None:
        if self.at_terminal:
            key, self._pending = self._pending[:1], self._pending[1:]
        else:
            key, newline, rest = self._pending.partition(b"\n")
            if not newline:
                return None
            self._pending, key = rest, key.strip() or b"\n"
        if not key:
            return None
        return ENTER if key in (b"\n", b"\r") else key.decode("ascii", "replace").lower()
