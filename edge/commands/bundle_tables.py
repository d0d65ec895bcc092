"""Bundles as tables in a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table

from edge.bundle import Bundle
from edge.commands.bundle_diff import Difference
from edge.commands.bundle_report import columns

KIB = 1024


def print_bundle(bundle: Bundle, signature: str, rows: list[dict[str, Any]]) -> None:
    """Identity, observation and action, graphs, parity."""
    console = Console()
    for table in (
        _identity(bundle, signature),
        _features(bundle),
        _actions(bundle),
        _graphs(bundle),
    ):
        console.print(table)
    if rows:
        console.print(parity_tables(rows))


def parity_tables(rows: list[dict[str, Any]]) -> Group:
    """One table per precision: a row per figure, a column per prefix length."""
    by_precision: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_precision.setdefault(row["precision"], []).append(row)
    return Group(*(_parity(precision, of) for precision, of in by_precision.items()))


def _parity(precision: str, rows: list[dict[str, Any]]) -> Table:
    title = f"{escape(precision)}, compared with the trained model"
    table = Table("", title=title, title_justify="left")
    for row in rows:
        table.add_column(f"k = {row['k']}", justify="right")
    for name in columns(rows):
        table.add_row(name.replace("_", " "), *(_number(row.get(name)) for row in rows))
    return table


def print_differences(found: dict[str, dict[str, Difference]], first: str, second: str) -> None:
    """One table a section."""
    console = Console()
    console.print(f"first:  {escape(first)}\nsecond: {escape(second)}", soft_wrap=True)
    for section, differences in found.items():
        table = Table(title=section, title_justify="left")
        for heading in ("what", "first", "second"):
            table.add_column(heading, overflow="fold")
        for key, values in differences.items():
            table.add_row(escape(key), *(escape(_number(value)) for value in values))
        console.print(table)
    if not found:
        console.print("no difference")


def _identity(bundle: Bundle, signature: str) -> Table:
    manifest = bundle.manifest
    tokenizer = manifest.tokenizer
    table = Table(show_header=False, title=f"bundle {manifest.name}", title_justify="left")
    table.add_column()
    table.add_column(overflow="fold")
    size = sum(entry.bytes for entry in manifest.files.values())
    levels = "·".join(map(str, tokenizer.levels))
    training = {k: v for k, v in manifest.provenance.items() if not isinstance(v, (dict, list))}
    for key, value in {
        "path": str(bundle.path),
        "task": manifest.task,
        "digest": bundle.digest,
        "signature": signature,
        "format": f"version {manifest.format_version}",
        "size": f"{len(manifest.files)} files, {size / KIB:.0f} KiB",
        "tokens": f"{tokenizer.tokens} of {tokenizer.codes} codes ({levels})",
        "prefixes": f"trained {', '.join(map(str, tokenizer.trained_prefixes))}",
        "decoder": f"conditioned on {tokenizer.conditioned_on or 'tokens alone'}",
        **{key: _number(value) for key, value in training.items()},
    }.items():
        table.add_row(key, escape(value))
    return table


def _features(bundle: Bundle) -> Table:
    steps = bundle.manifest.n_obs_steps
    table = Table(title="observation", title_justify="left")
    table.add_column("feature", overflow="fold", no_wrap=False, min_width=18)
    for heading in ("shape", "unit", "elements"):
        table.add_column(heading)
    for feature in bundle.manifest.observation:
        shape = f"({steps}, {feature.size})"
        names = escape(", ".join(feature.names))
        table.add_row(feature.key, escape(shape), escape(feature.unit), names)
    return table


def _actions(bundle: Bundle) -> Table:
    action = bundle.manifest.action
    title = (
        f"action: {action.action_horizon} steps at {action.rate_hz:g} Hz, "
        f"{action.execution_horizon} executed, the first {action.head_steps} decoded first"
    )
    table = Table("joint", title=title, title_justify="left")
    for end in ("minimum", "maximum"):
        table.add_column(f"{end} {action.unit}", justify="right")
    for name, low, high in zip(action.names, action.minimum, action.maximum, strict=True):
        table.add_row(name, f"{low:.3f}", f"{high:.3f}")
    return table


def _graphs(bundle: Bundle) -> Table:
    manifest = bundle.manifest
    table = Table("precision", "graph", title="graphs", title_justify="left")
    table.add_column("KiB", justify="right")
    table.add_column("SHA-256 begins")
    for precision, graphs in manifest.graphs.items():
        for graph, file in graphs.items():
            entry = manifest.files[file]
            table.add_row(precision, graph, f"{entry.bytes / KIB:.1f}", entry.sha256[:16])
    return table


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, float):
        return "-" if value is None else str(value)
    return f"{value:.4g}"
