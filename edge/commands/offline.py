"""What the commands for offline use of a bundle share."""

from __future__ import annotations

from edge.bundle import Bundle
from edge.errors import UsageError

FIRST_CHOICE = "fp32"


def check_prefix(bundle: Bundle, prefix: int) -> None:
    """Raises UsageError for a prefix length that no plan of this bundle has."""
    tokens = bundle.manifest.tokenizer.tokens
    if not 1 <= prefix <= tokens:
        raise UsageError(f"--k is {prefix}, allowed is 1 to {tokens}")


def choose_precision(bundle: Bundle, wanted: str) -> str:
    """The precision asked for; if none was, FP32, or the first that the bundle has."""
    if wanted:
        return wanted
    have = sorted(bundle.manifest.graphs)
    return FIRST_CHOICE if FIRST_CHOICE in have else have[0]
