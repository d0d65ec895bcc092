"""Bundles by name: those that ship with the package, or any directory."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from edge.errors import BundleError


def shipped_bundles() -> dict[str, Path]:
    """Path of every shipped bundle, by name."""
    folder = Path(str(resources.files("models"))) / "bundles"
    if not folder.is_dir():
        return {}
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()}


def find_bundle(name_or_path: str) -> Path:
    """The bundle's directory. Raises BundleError naming what was looked for and what there is."""
    shipped = shipped_bundles()
    if name_or_path in shipped:
        return shipped[name_or_path]
    path = Path(name_or_path)
    if path.is_dir():
        return path.resolve()
    have = ", ".join(shipped) or "none"
    raise BundleError(f"no bundle {name_or_path!r}: no such directory, and shipped are {have}")
