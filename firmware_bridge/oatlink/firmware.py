"""Building the controller's firmware from the sources that ship with the package."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from firmware_bridge.errors import BridgeError

SOURCES = Path(__file__).parent.parent / "firmware"
TARGETS = {
    "lm3s6965": ("lm3s6965.elf", "arm-none-eabi-gcc"),
    "host": ("oatlink-controller", "cc"),
    "library": ("liboatlink.so", "cc"),
    "fuzz-controller": ("fuzz-controller", "cc"),
    "fuzz-decoders": ("fuzz-decoders", "cc"),
}
BUILD_TIMEOUT_S = 120


def build(target: str) -> Path:
    """Make one of ``TARGETS`` if it is out of date; raises ``BridgeError`` that says why not."""
    file, compiler = TARGETS[target]
    for tool in ("make", compiler):
        if shutil.which(tool) is None:
            raise BridgeError(f"firmware {target}: {tool} is not installed")
    directory = _build_directory()
    output = directory / file
    command = ["make", "--silent", "-C", str(SOURCES), f"BUILD={directory}", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["make failed"]
        raise BridgeError(f"firmware {target}: {lines[0]}")
    return output


def _build_directory() -> Path:
    """Beside the sources where we may write, else in the user's cache."""
    if os.access(SOURCES, os.W_OK):
        return SOURCES / "build"
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "oat-edge" / "firmware"
