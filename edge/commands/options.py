"""Options that several commands take: their values, and what is done with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def whole_numbers(option: str, text: str) -> list[int]:
    """Positive whole numbers from a comma-separated option. Raises UsageError naming it."""
    from edge.errors import UsageError

    parts = text.split(",")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"{option} is {text!r}, allowed are positive whole numbers, by comma")
    return [int(part) for part in parts]


def pairs(option: str, values: list[str] | None) -> dict[str, str]:
    """NAME=VALUE options by name. Raises UsageError naming the option and its value."""
    from edge.errors import UsageError

    made = {}
    for text in values or []:
        name, _, value = text.partition("=")
        if not (name and value):
            raise UsageError(f"{option} is {text!r}, allowed is NAME=VALUE")
        made[name] = value
    return made


def save_plot(path: Path, save: Callable[[], None]) -> None:
    """Calls what writes a figure to ``path``. Raises RunError or UsageError naming --plot."""
    from edge.errors import RunError, UsageError

    try:
        save()
    except ImportError as error:
        raise RunError(f"--plot: {error.name} is missing; install oat-edge[plot]") from error
    except OSError as error:
        raise RunError(f"--plot {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"--plot {path}: {error}") from error
