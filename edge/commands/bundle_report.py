"""What a verified bundle says of itself: its facts, and its parity report in rows."""

from __future__ import annotations

import json
from typing import Any

from edge.bundle import Bundle, read_verified, refused

PARITY = "parity.json"


def parity_rows(bundle: Bundle) -> list[dict[str, Any]]:
    """One row per precision and k; empty where the bundle has no report.

    A figure of several statistics gets a column for each: ``action_error_rad.p99`` of the report is
    ``action_error_p99_rad`` here. Raises BundleError for a report of another shape.
    """
    entry = bundle.manifest.files.get(PARITY)
    if entry is None:
        return []
    try:
        precisions = json.loads(read_verified(bundle.path, PARITY, entry))["precisions"]
        return [
            {"precision": precision, "k": k} | _figures(figures, str(k))
            for precision, figures in precisions.items()
            for k in _prefixes(figures)
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise refused(bundle.path, PARITY, "not a parity report") from error


def columns(rows: list[dict[str, Any]]) -> list[str]:
    """Every figure that any row has, in the order of appearance."""
    return list(
        dict.fromkeys(name for row in rows for name in row if name not in ("precision", "k"))
    )


def facts(bundle: Bundle) -> dict[str, Any]:
    """Identity and shapes of a bundle, and what each file weighs."""
    manifest = bundle.manifest
    fields = manifest.model_dump(mode="json", by_alias=True)
    return {
        "path": str(bundle.path),
        "digest": bundle.digest,
        **{key: fields[key] for key in ("name", "task", "format_version", "n_obs_steps")},
        **{key: fields[key] for key in ("observation", "action", "tokenizer", "graphs", "files")},
        **{key: fields[key] for key in ("architecture", "provenance")},
        "bytes": sum(entry.bytes for entry in manifest.files.values()),
    }


def _prefixes(figures: dict[str, Any]) -> list[int]:
    by_prefix = [value for value in figures.values() if isinstance(value, dict)]
    return sorted({int(key) for value in by_prefix for key in value if key.isdecimal()})


def _figures(figures: dict[str, Any], prefix: str) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for metric, by_prefix in figures.items():
        value = by_prefix.get(prefix) if isinstance(by_prefix, dict) else None
        if isinstance(value, dict):
            row |= {_column(metric, name): _number(number) for name, number in value.items()}
        elif value is not None:
            row[metric] = _number(value)
    return row


def _number(value: Any) -> int | float:
    if not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is no number")
    return value


def _column(metric: str, statistic: str) -> str:
    if metric == "closed_loop":
        return statistic
    stem, _, unit = metric.rpartition("_")
    return f"{stem}_{statistic}_{unit}" if stem else f"{metric}_{statistic}"
