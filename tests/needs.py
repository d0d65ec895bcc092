"""What a test needs from outside; missing, it skips the test, but never in CI."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType

import pytest


def missing(what: str) -> None:
    """Skip the running test for want of ``what``; where CI is set that is a failure."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{what} is missing, and CI can have it", pytrace=False)
    pytest.skip(f"{what} is missing")


def require(module: str) -> ModuleType:
    """Import a module that only some installations have."""
    try:
        return importlib.import_module(module)
    except ImportError:
        missing(f"module {module}")
        raise


def require_path(path: Path) -> Path:
    """A file or directory that only some checkouts have."""
    if not path.exists():
        missing(path.name)
    return path
