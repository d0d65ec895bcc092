"""What the kernel tells in /proc and /sys, under a root that a test can replace."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path


class SystemFiles:
    """Reads below ``root``; whatever is missing or may not be read is None, never an error."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def text(self, path: str) -> str | None:
        """Contents without the white space around them."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None

    def unzipped(self, path: str) -> str | None:
        """Contents of a gzip file."""
        try:
            return gzip.decompress((self.root / path).read_bytes()).decode(errors="replace")
        except (OSError, EOFError, zlib.error):
            return None

    def number(self, path: str) -> int | None:
        """Contents as an integer; None also where they are no integer."""
        text = self.text(path)
        try:
            return int(text) if text is not None else None
        except ValueError:
            return None

    def paths(self, pattern: str) -> list[str]:
        """Every path that matches a glob pattern, sorted, as ``text`` takes it."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.glob(pattern))
