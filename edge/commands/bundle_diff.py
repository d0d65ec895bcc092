"""What differs between two verified bundles: fields of the manifest, graphs, files, parity."""

from __future__ import annotations

from typing import Any

from edge.bundle import Bundle
from edge.commands.bundle_report import columns, parity_rows
from edge.signature import signer

Difference = tuple[Any, Any]  # in the first, in the second; None where it is not there
_ELSEWHERE = ("files", "graphs")


def differences(first: Bundle, second: Bundle) -> dict[str, dict[str, Difference]]:
    """By section (manifest, graphs, files, parity, signature), then by key; empty if equal."""
    manifests = [
        bundle.manifest.model_dump(mode="json", by_alias=True) for bundle in (first, second)
    ]
    fields = [{k: v for k, v in m.items() if k not in _ELSEWHERE} for m in manifests]
    sections = {
        "manifest": _differ(_flat(fields[0]), _flat(fields[1])),
        "graphs": _differ(_graphs(first), _graphs(second)),
        "files": _differ(_other_files(first), _other_files(second)),
        "parity": _differ(_parity(first), _parity(second)),
        "signature": _differ({"signed by": signer(first)}, {"signed by": signer(second)}),
    }
    return {section: found for section, found in sections.items() if found}


def _differ(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Difference]:
    keys = dict.fromkeys([*first, *second])
    return {
        key: (first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key)
    }


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """Leaves by dotted path; a list of plain values is one leaf."""
    items: Any = None
    if isinstance(value, dict) and value:
        items = value.items()
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        items = (
            (item.get("key", i) if isinstance(item, dict) else i, item)
            for i, item in enumerate(value)
        )
    if items is None:
        return {key: value}
    return {
        path: leaf
        for name, item in items
        for path, leaf in _flat(item, f"{key}.{name}" if key else str(name)).items()
    }


def _graphs(bundle: Bundle) -> dict[str, str]:
    return {
        f"{precision}.{graph}": _fingerprint(bundle, file)
        for precision, graphs in bundle.manifest.graphs.items()
        for graph, file in graphs.items()
    }


def _other_files(bundle: Bundle) -> dict[str, str]:
    graphs = {file for files in bundle.manifest.graphs.values() for file in files.values()}
    return {f: _fingerprint(bundle, f) for f in bundle.manifest.files if f not in graphs}


def _fingerprint(bundle: Bundle, file: str) -> str:
    entry = bundle.manifest.files[file]
    return f"{entry.bytes} bytes, sha256 {entry.sha256[:16]}"


def _parity(bundle: Bundle) -> dict[str, Any]:
    rows = parity_rows(bundle)
    return {
        f"{row['precision']} k={row['k']} {name}": row[name]
        for row in rows
        for name in columns(rows)
        if name in row
    }
