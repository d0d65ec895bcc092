"""Plain data in the place of what an official checkpoint names: containers, type names, nodes."""

from __future__ import annotations

from typing import Any


class PlainDict(dict):
    """Any mapping; attributes that were pickled beside its items are dropped."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Nothing but the items counts."""


class TypeName:
    """A type that was only mentioned; it cannot be called."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class ConfigNode:
    """A node of the configuration: ``state`` holds its content or its value."""

    __slots__ = ("state",)

    state: dict[str, Any]

    def __new__(cls) -> ConfigNode:
        """Unpickling does not come by ``__init__``."""
        node = super().__new__(cls)
        node.state = {}
        return node

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.state = state


class ConfigMetadata:
    """What the configuration knows about its nodes; nothing that is needed."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Dropped."""
