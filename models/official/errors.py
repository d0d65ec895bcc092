"""What goes wrong with an official checkpoint."""

from __future__ import annotations


class OfficialCheckpointError(ValueError):
    """The file is not a checkpoint that can be imported; the message names file and reason."""
