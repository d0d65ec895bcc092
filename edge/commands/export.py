"""``oat-edge export``: a checkpoint becomes a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edge.errors import RunError


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Directory that train wrote.")],
    out: Annotated[Path, typer.Option(help="Where the bundle goes.")],
    precisions: Annotated[
        str, typer.Option(help="Comma-separated: fp32, fp16, int8, int8-fp16, int8-dynamic.")
    ] = "fp32,fp16,int8",
    force: Annotated[bool, typer.Option(help="Replace a bundle that is there.")] = False,
    episodes: Annotated[
        int, typer.Option(min=0, help="Also count successes in closed loop, each k and precision.")
    ] = 0,
    max_action_error_rad: Annotated[
        float, typer.Option(min=0, help="Gate: 99th percentile at equal tokens.")
    ] = 0.01,
    max_largest_error_rad: Annotated[
        float, typer.Option(min=0, help="Gate: largest of all at equal tokens.")
    ] = 0.05,
    min_token_agreement: Annotated[
        float, typer.Option(min=0, max=1, help="Gate: share of tokens equal to FP32's, each k.")
    ] = 0.97,
    max_success_drop: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="Gate: points below FP32; needs --episodes. [2]"),
    ] = None,
    calibration: Annotated[
        str, typer.Option(help="Ranges of INT8: minmax, percentile, entropy or mse.")
    ] = "mse",
) -> None:
    """Export a checkpoint to ONNX graphs, each precision compared with torch and let in or refused.

    Exit code 1, naming the layer that hurts most, if a precision breaks a bound of the gate.
    """
    if max_success_drop is not None and episodes == 0:
        raise typer.BadParameter("needs --episodes", param_hint="--max-success-drop")
    try:
        import torch

        from calibration.export import check_precisions, export_bundle
        from calibration.gate import Bounds
        from calibration.workshop import Calibration
    except ImportError as error:
        raise RunError(f"export: {error.name} is missing; install oat-edge[train]") from error
    from rich.console import Console

    torch.set_num_threads(1)
    console = Console()
    wanted = list(dict.fromkeys(name.strip() for name in precisions.split(",") if name.strip()))
    drop = 2.0 if max_success_drop is None else max_success_drop
    try:
        check_precisions(wanted)
        bounds = Bounds(max_action_error_rad, min_token_agreement, drop, max_largest_error_rad)
        method = Calibration(calibration)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    try:
        with console.status(f"exporting {checkpoint}") as status:
            parity = export_bundle(
                checkpoint,
                out,
                wanted,
                force,
                episodes=episodes,
                bounds=bounds,
                calibration=method,
                progress=status.update,
            )
    except (ValueError, OSError) as error:
        raise RunError(f"export: {error}") from error
    console.print(_table(parity))
    for precision, figures in parity["precisions"].items():
        if figures.get("kept_layers"):
            kept = ", ".join(figures["kept_layers"])
            console.print(f"{precision} keeps {kept}", soft_wrap=True)
    console.print(f"bundle: {out}", soft_wrap=True)


def _table(parity: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(title=f"against torch, {parity['observations']} observations")
    headings = ("precision", "k", "tokens equal", "error p99 rad", "error max rad", "successes")
    for heading in headings:
        table.add_column(heading, justify="right")
    for precision, figures in parity["precisions"].items():
        for k, agreement in figures["token_agreement"].items():
            error = figures["action_error_rad"][k]
            runs = figures.get("closed_loop", {}).get(k)
            lifted = f"{runs['successes']}/{runs['episodes']}" if runs else "-"
            shares = (f"{agreement:.3f}", f"{error['p99']:.1e}", f"{error['max']:.1e}")
            table.add_row(precision, k, *shares, lifted)
    return table
