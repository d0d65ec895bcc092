"""Where the processes of a simulated bus meet: a socket in a directory of this user alone.

The holder of ``NAME.lock`` is the bus. Whoever finds the lock free makes the listening socket and
starts the broker with both, so a second user can connect at once and there is never a second bus.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

from firmware_bridge.can_bus.bit_time import BitRates
from firmware_bridge.errors import PortError

CHANNEL_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
BACKLOG = 64


def socket_path(channel: str) -> Path:
    """Path of a channel's socket; makes its directory. Raises ``PortError``."""
    if not CHANNEL_PATTERN.fullmatch(channel):
        raise PortError(f"channel {channel!r} is no name (letters, digits, - _ . only)")
    return _directory() / f"{channel}.can"


def _directory() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    base = Path(runtime) / "oat-edge" if runtime else Path(f"/tmp/oat-edge-{os.getuid()}")
    try:
        base.mkdir(mode=0o700, exist_ok=True)
        status = base.lstat()
    except OSError as error:
        raise PortError(f"directory {base} cannot be made: {error.strerror}") from error
    private = not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or not private:
        raise PortError(f"directory {base} is not this user's alone (mode 0700)")
    return base


def take_channel(channel: str) -> tuple[socket.socket, int] | None:
    """Become the bus of a channel: (listening socket, lock), or None if somebody else is."""
    path = socket_path(channel)
    lock = _lock(path.with_suffix(".lock"))
    if lock is None:
        return None
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    listener.listen(BACKLOG)
    return listener, lock


def _lock(path: Path) -> int | None:
    """The locked descriptor of ``path``, or None if somebody else holds it."""
    lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_ino == path.stat().st_ino:
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass  # held, or just given back by a bus that ended: the caller tries again
    os.close(lock)
    return None


def give_back_channel(channel: str, lock: int) -> None:
    """End being the bus: no file stays behind."""
    path = socket_path(channel)
    path.unlink(missing_ok=True)
    path.with_suffix(".lock").unlink(missing_ok=True)  # while it is still locked
    os.close(lock)


def start_broker(channel: str, rates: BitRates) -> None:
    """Start a broker process unless the channel has one; it goes when its last client leaves."""
    taken = take_channel(channel)
    if taken is None:
        return
    listener, lock = taken
    descriptors = (listener.fileno(), lock)
    numbers = (*descriptors, rates.nominal, rates.data)
    module = "firmware_bridge.can_bus.broker"
    root = str(Path(__file__).parents[2])  # found from any working directory
    python_path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, "-m", module, channel, *map(str, numbers)],
        pass_fds=descriptors,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": python_path},
    )
    listener.close()
    os.close(lock)
    threading.Thread(target=process.wait, daemon=True).start()  # leaves no zombie behind
