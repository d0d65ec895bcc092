"""Errors of the runtime; commands turn them into one line on standard error and an exit code.

OatEdgeError            exit code 1
├── BundleError         a bundle is missing, altered, truncated, or made for something else
├── EngineError         an engine cannot be built or fed on this device
├── RunError            a run could not start, or ended by a failure
└── UsageError          exit code 2
    └── ConfigError     robot.yaml: the key, its value, and what is allowed
"""

from __future__ import annotations


class OatEdgeError(Exception):
    """Root of everything that oat-edge raises at set-up; its text is one clear line."""

    exit_code = 1


class BundleError(OatEdgeError):
    """A bundle is missing, altered, truncated or made for something else; names the file.

    ``file`` is that file's name within the bundle; empty where it is the bundle as a whole.
    """

    def __init__(self, message: str, file: str = "") -> None:
        super().__init__(message)
        self.file = file


class EngineError(OatEdgeError):
    """An engine cannot be built or fed on this device; says what is missing."""


class RunError(OatEdgeError):
    """A run could not start, or ended by a failure; says which part and why."""


class UsageError(OatEdgeError):
    """The caller asked for something that does not exist or is out of range."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration file is wrong; names the file, the key, its value and what is allowed."""
