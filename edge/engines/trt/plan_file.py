"""A plan on disk: what it was built for, and the proof that nothing of it changed.

8 bytes    magic
32 bytes   SHA-256 of all that follows
4 bytes    length of the header, little-endian
header     JSON: the key, number of nodes, seconds of the build
plan       to the end of the file
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Container
from dataclasses import asdict, dataclass
from typing import Any

from edge.engines.trt.builder import Plan

MAGIC = b"OATPLAN3"
_PREFIX = len(MAGIC) + 32


@dataclass(frozen=True, slots=True)
class PlanKey:
    """Everything that a plan depends on; a plan is good for an equal key only.

    ``driver`` is empty where the plan was built without a GPU. ``options``: builder flags; a
    version-compatible plan is for drivers of all kinds, and for this version and later ones.
    """

    flavour: str
    version: str
    compute: tuple[str, ...]
    driver: str
    precision: str
    graph: str
    graph_sha256: str
    options: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The key as JSON knows it: tuples become lists."""
        fields = asdict(self)
        return {**fields, "compute": list(self.compute), "options": list(self.options)}


class PlanRejectedError(Exception):
    """A file is not the plan that was asked for; says why."""


def encode(key: PlanKey, plan: Plan) -> bytes:
    """Contents of the file."""
    header = {"key": key.as_dict(), "nodes": plan.nodes, "seconds": plan.seconds}
    text = _canonical(header)
    body = struct.pack("<I", len(text)) + text + plan.content
    return MAGIC + hashlib.sha256(body).digest() + body


def decode(content: bytes, key: PlanKey, but: Container[str] = ()) -> Plan:
    """The plan in a file. Raises PlanRejectedError unless it is whole and for ``key``, ``but`` for
    these fields of it."""
    if content[: len(MAGIC)] != MAGIC:
        raise PlanRejectedError("not a plan file")
    body = content[_PREFIX:]
    if hashlib.sha256(body).digest() != content[len(MAGIC) : _PREFIX] or len(body) < 4:
        raise PlanRejectedError("altered or truncated")
    (length,) = struct.unpack_from("<I", body)
    try:
        header = json.loads(body[4 : 4 + length])
        built_for, nodes, seconds = dict(header["key"]), int(header["nodes"]), header["seconds"]
    except (ValueError, KeyError, TypeError) as error:
        raise PlanRejectedError("of another format") from error
    for name, value in key.as_dict().items():
        if name not in but and built_for.get(name) != value:
            raise PlanRejectedError(f"built for {name} {built_for.get(name)!r}, not {value!r}")
    return Plan(body[4 + length :], nodes, float(seconds))


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
