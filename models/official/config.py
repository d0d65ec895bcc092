"""The configuration in an official checkpoint, as plain data with references resolved."""

from __future__ import annotations

import re
from typing import Any

from models.official.errors import OfficialCheckpointError
from models.official.stand_ins import ConfigNode, TypeName

MAX_NODES = 100_000
MAX_REFERENCES = 32
_REFERENCE = re.compile(r"\$\{(\.*)([A-Za-z0-9_.\[\]]*)\}")  # ${a.b}, and ${..b} from the parent on
_MISSING = object()


class Config:
    """A configuration to be asked by dotted path.

    References are resolved when they are asked for, so one that nobody needs may be anything.
    """

    def __init__(self, root: Any) -> None:
        """``root`` is what the unpickler built; raises OfficialCheckpointError if it is no tree."""
        self._left = MAX_NODES
        try:
            self._root = self._plain(root)
        except RecursionError as error:
            raise OfficialCheckpointError("cfg is nested without end") from error

    def get(self, path: str, default: Any = None) -> Any:
        """The value at ``path``, references resolved; ``default`` where there is none."""
        value = self._resolve(path, 0)
        return default if value is _MISSING or value is None else value

    def need(self, path: str, kind: type) -> Any:
        """The value at ``path``, of this type. Raises OfficialCheckpointError naming the path."""
        value = self.get(path)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise OfficialCheckpointError(f"cfg.{path} is {value!r}, expected is {kind.__name__}")
        return value

    def keys(self, path: str) -> list[str]:
        """Keys of the mapping at ``path``, in order; none where it is no mapping."""
        value = self.get(path)
        return [str(key) for key in value] if isinstance(value, dict) else []

    def _plain(self, node: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise OfficialCheckpointError(f"cfg has more than {MAX_NODES} nodes")
        if isinstance(node, ConfigNode):
            return self._plain(node.state.get("_content", node.state.get("_val")))
        if isinstance(node, dict):
            return {str(key): self._plain(value) for key, value in node.items()}
        if isinstance(node, list | tuple):
            return [self._plain(value) for value in node]
        return node.name if isinstance(node, TypeName) else node

    def _resolve(self, path: str, depth: int) -> Any:
        """Follows references, those on the way too."""
        if depth > MAX_REFERENCES:
            raise OfficialCheckpointError(f"cfg.{path}: references lead in a circle")
        value, walked = self._root, ""
        for part in _parts(path):
            value = _child(value, part)
            walked = f"{walked}.{part}" if walked else part
            if isinstance(value, str) and "${" in value:
                value = self._expand(value, walked, depth)
        return self._expand_all(value, path, depth) if isinstance(value, dict | list) else value

    def _expand(self, text: str, path: str, depth: int) -> Any:
        whole = _REFERENCE.fullmatch(text)
        if whole:
            return self._resolve(_target(whole, path), depth + 1)
        if "${" in _REFERENCE.sub("", text):
            raise OfficialCheckpointError(f"cfg.{path} is {text!r}: only plain references are read")
        return _REFERENCE.sub(lambda m: str(self._resolve(_target(m, path), depth + 1)), text)

    def _expand_all(self, value: Any, path: str, depth: int) -> Any:
        """Lists are resolved whole; mappings stay as they are, to be asked further."""
        if isinstance(value, dict):
            return value
        return [
            self._expand(item, f"{path}.{index}", depth) if isinstance(item, str) else item
            for index, item in enumerate(value)
        ]


def _parts(path: str) -> list[str]:
    return [part for part in path.replace("[", ".").replace("]", "").split(".") if part]


def _target(match: re.Match[str], path: str) -> str:
    """Absolute path of a reference that stands at ``path``: one dot is beside it, two above."""
    dots, name = match.groups()
    if not dots:
        return name
    base = _parts(path)[: -len(dots)] if len(dots) <= len(_parts(path)) else []
    return ".".join([*base, name])


def _child(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return value.get(part, _MISSING)
    if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
        return value[int(part)]
    return _MISSING
