"""A small valid bundle of arbitrary bytes: what is verified are files, not what they mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge.bundle import MANIFEST, SEAL, fingerprint, seal
from tests.edge_parts import make_manifest

CONTENT = {
    **{f"fp32/{graph}.onnx": graph.encode() * 50 for graph in make_manifest().graphs["fp32"]},
    "parity.json": b"{}\n",
}


def write_bundle(folder: Path, **changes: Any) -> Path:
    """Write it to ``folder``; ``changes`` replace fields of its manifest."""
    fields = make_manifest().model_dump(mode="json", by_alias=True)
    fields["files"] = {name: fingerprint(content).model_dump() for name, content in CONTENT.items()}
    write_manifest(folder, fields | changes)
    for name, content in CONTENT.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return folder


def write_manifest(folder: Path, fields: dict[str, Any]) -> None:
    """Write a manifest and its seal."""
    text = json.dumps(fields).encode()
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST).write_bytes(text)
    (folder / SEAL).write_bytes(seal(text))
