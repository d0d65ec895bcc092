"""The status file: one JSON object, replaced whole, for whoever watches a run from outside."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from edge.errors import UsageError


class StatusFile:
    """Keeps ``path`` current; a reader sees the old object or the new one, never a part."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError that names the path if its directory is missing."""
        if path.is_dir():
            raise UsageError(f"--status-file {path}: is a directory, allowed is a file")
        if not path.parent.is_dir():
            raise UsageError(f"--status-file {path}: no directory {path.parent}")
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}")

    def write(self, status: dict[str, Any]) -> None:
        """Replace the file."""
        self._temporary.write_text(json.dumps(status) + "\n", encoding="utf-8")
        self._temporary.replace(self._path)
