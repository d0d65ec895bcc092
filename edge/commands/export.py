"""``oat-edge export``: a checkpoint becomes a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Directory that train wrote.")],
    out: Annotated[Path, typer.Option(help="Where the bundle goes.")],
    precisions: Annotated[str, typer.Option(help="Comma-separated.")] = "fp32,int8",
    force: Annotated[bool, typer.Option(help="Replace a bundle that is there.")] = False,
    episodes: Annotated[
        int, typer.Option(min=0, help="Also count successes in closed loop, each k and precision.")
    ] = 0,
) -> None:
    """Export a checkpoint to ONNX graphs with their parity to torch measured and recorded."""
    from rich.console import Console

    console = Console()
    try:
        import torch

        from calibration.export import export_bundle
    except ImportError as error:
        typer.echo(f"export: {error.name} is missing; install oat-edge[train]", err=True)
        raise typer.Exit(1) from error
    torch.set_num_threads(1)
    wanted = [name.strip() for name in precisions.split(",") if name.strip()]
    try:
        with console.status(f"exporting {checkpoint}"):
            parity = export_bundle(checkpoint, out, wanted, force, episodes=episodes)
    except (ValueError, FileExistsError) as error:
        typer.echo(f"export: {error}", err=True)
        raise typer.Exit(1) from error
    console.print(_table(parity))
    console.print(f"bundle: {out}")


def _table(parity: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(title=f"against torch, {parity['observations']} held-out observations")
    for heading in (
        "precision",
        "k",
        "tokens equal",
        "error p99 rad",
        "error max rad",
        "successes",
    ):
        table.add_column(heading, justify="right")
    for precision, figures in parity["precisions"].items():
        for k, agreement in figures["token_agreement"].items():
            error = figures["action_error_rad"][k]
            runs = figures.get("closed_loop", {}).get(k)
            lifted = f"{runs['successes']}/{runs['episodes']}" if runs else "-"
            shares = (f"{agreement:.3f}", f"{error['p99']:.1e}", f"{error['max']:.1e}")
            table.add_row(precision, k, *shares, lifted)
    return table
