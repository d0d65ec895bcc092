"""A link's key in a file: 64 hexadecimal digits, for its owner's eyes only.

(umask 077; openssl rand -hex 32 > arm.key)
"""

from __future__ import annotations

import re
import stat
from pathlib import Path

from firmware_bridge.oatlink.wire import KEY_LENGTH

_DIGITS = re.compile(rf"\s*([0-9a-fA-F]{{{2 * KEY_LENGTH}}})\s*", re.ASCII)
MAX_SIZE = 4096


def read_key(path: Path) -> bytes:
    """The key in a file. Raises ``ValueError`` naming the file, and never what stands in it."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = file.read(MAX_SIZE).decode("ascii", errors="replace")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(f"{path}: mode {mode:04o} is not allowed (allowed: 0600, its owner's)")
    found = _DIGITS.fullmatch(text)
    if found is None:
        raise ValueError(f"{path}: no key (allowed: {2 * KEY_LENGTH} hexadecimal digits)")
    return bytes.fromhex(found[1])
