"""YAML as configuration wants it: plain values only, and no key twice in a mapping."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml


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
