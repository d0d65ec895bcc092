"""Errors of data that is read in."""

from __future__ import annotations


class DataError(ValueError):
    """Recorded data cannot be used; one line that names the file, what is wrong, what is wanted."""


def needs_extra(path: object, what: str, error: ImportError) -> DataError:
    """The error where the package that reads a format is not installed."""
    return DataError(
        f"{path}: {what} needs the extra 'data': pip install 'oat-edge[data]' "
        f"({error.name} is missing)"
    )
