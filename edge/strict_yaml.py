"""YAML as configuration wants it: plain values only, and no key twice in a mapping."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from edge.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """``SafeLoader`` lets the last of two equal keys win in silence; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys: list[Any] = []
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands twice", key_node.start_mark
                )
            keys.append(key)
        return super().construct_mapping(node, deep)


def parse(text: str) -> Any:
    """The value of one YAML document. Raises yaml.YAMLError that says where it is wrong."""
    return yaml.load(text, _Loader)


def parse_mapping(text: str, origin: str) -> dict[str, Any]:
    """The mapping of one document. Raises ConfigError that begins with ``origin``."""
    try:
        data = parse(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{origin}: not proper YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{origin}: expected a mapping of keys, got {type(data).__name__}")
    return data
