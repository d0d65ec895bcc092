"""``oat-edge import-oat``: checkpoints of the official OAT implementation become a bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def import_oat(
    tokenizer: Annotated[Path, typer.Option(help="Tokenizer checkpoint (.ckpt).")],
    out: Annotated[Path, typer.Option(help="Where the bundle goes.")],
    policy: Annotated[
        Path | None, typer.Option(help="Checkpoint of a policy on that tokenizer.")
    ] = None,
    name: Annotated[str, typer.Option(help="The bundle's name; the directory's if empty.")] = "",
    task: Annotated[str, typer.Option(help="What it is a policy for.")] = "imported",
    rate_hz: Annotated[float, typer.Option(help="Rate of the actions.")] = 50.0,
    unit: Annotated[str, typer.Option(help="Unit of the actions.")] = "rad",
    joints: Annotated[str, typer.Option(help="Names of the actions, by comma.")] = "",
    execution_horizon: Annotated[
        int | None, typer.Option(help="Actions executed per chunk; the policy's own if left out.")
    ] = None,
    observe: Annotated[
        list[str] | None,
        typer.Option(help="Rename an observation: joint_pos=observation.state; may be repeated."),
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace a bundle that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Import official OAT checkpoints of state policies; nothing in them is executed."""
    from edge.errors import RunError

    try:
        import torch

        from calibration.imported import ImportFacts, import_bundle
    except ImportError as error:
        raise RunError(f"import-oat: {error.name} is missing; install oat-edge[train]") from error
    torch.set_num_threads(1)
    facts = ImportFacts(
        name=name or out.resolve().name,
        task=task,
        rate_hz=rate_hz,
        unit=unit,
        joints=[part.strip() for part in joints.split(",") if part.strip()],
        execution_horizon=execution_horizon,
        observations=_renames(observe or []),
    )
    try:
        parity = import_bundle(tokenizer, policy, out, facts, force)
    except (ValueError, OSError) as error:
        raise RunError(f"import-oat: {_line(error)}") from error
    if as_json:
        print(json.dumps({"bundle": str(out), "parity": parity}))
    else:
        kind = "a tokenizer alone" if policy is None else "a policy"
        print(f"{out}: {kind}; see it with: oat-edge bundle show {out}")


def _renames(pairs: list[str]) -> dict[str, str]:
    from edge.errors import UsageError

    renames = {}
    for pair in pairs:
        official, equals, ours = pair.partition("=")
        if not equals or not official or not ours.startswith("observation."):
            raise UsageError(f"--observe is {pair!r}, allowed is NAME=observation.KEY")
        renames[official] = ours
    return renames


def _line(error: Exception) -> str:
    """One line: a validation names its first problem."""
    from pydantic import ValidationError

    from edge.schema import explain

    return explain(error) if isinstance(error, ValidationError) else str(error)
