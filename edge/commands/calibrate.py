"""``oat-edge calibrate``: what is measured once on a device or a robot, and stored."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from edge.commands.calibrate_joints import joints

PLANS = 3_000

calibrate_app = typer.Typer(help="Measure once, and store.", no_args_is_help=True)


calibrate_app.command()(joints)


@calibrate_app.command()
def latency(
    bundle: Annotated[str, typer.Argument(help="A shipped bundle, or a directory.")] = (
        "viperx-lift"
    ),
    engine: Annotated[str, typer.Option(help="The planner's engine.")] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="One precision; all of the bundle's if left out.")
    ] = None,
    plans: Annotated[
        int, typer.Option("--n", min=100, help="Plans to measure; p99.9 needs 3000, p99.99 30000.")
    ] = PLANS,
    priority: Annotated[int, typer.Option(min=1, max=98, help="SCHED_FIFO, as the planner.")] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure how long each stage of a plan takes here; the planner uses it from then on.

    Stored in $XDG_DATA_HOME/oat-edge/profiles, by default below ~/.local/share.
    """
    from edge import bundle as bundles
    from edge.commands.bundles import find_bundle
    from edge.engines import build_engine, resolve
    from edge.profiles import ProfileKey, StoredProfile
    from edge.profiling import measure
    from edge.realtime import configure
    from edge.robot import RealTime
    from edge.throttling import watch_throttling

    loaded = bundles.load(find_bundle(bundle))
    configure(RealTime(priority=priority))
    rows = []
    for name in [precision] if precision else sorted(loaded.manifest.graphs):
        clocks = watch_throttling().reference
        chosen = resolve(loaded, engine, name)
        samples = measure(build_engine(loaded, chosen, name), loaded.manifest, plans)
        key = ProfileKey.here(loaded.digest, chosen, name)
        stored = StoredProfile.of(key, samples, clocks)
        rows.append({"path": str(stored.save())} | stored.model_dump())
    _warn(plans)
    if as_json:
        print(json.dumps({"profiles": rows}))
    else:
        _print(rows)


def _warn(plans: int) -> None:
    """One line where the planner's own quantile is beyond what so many plans say."""
    from edge.profiles import plans_for, supported
    from edge.robot import PlannerRates

    wanted = 1.0 - PlannerRates.model_fields["miss_target"].default
    if plans < plans_for(wanted):
        finest = f"p{100 * supported(plans)[-1]:g}"
        needed = f"p{100 * wanted:g} needs --n {plans_for(wanted)}"
        typer.echo(f"calibrate: {plans} plans support {finest} at most; {needed}", err=True)


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for row in rows:
        key = row["key"]
        title = f"{key['engine']} {key['precision']} on {key['device']}, {row['plans']} plans, µs"
        table = Table("stage", *(f"p{100 * q:g}" for q in row["quantiles"]), title=title)
        stages = {"prefill": row["prefill_ns"]}
        stages |= {f"token {index + 1}": ns for index, ns in enumerate(row["token_ns"])}
        stages |= {f"decode at {prefix}": ns for prefix, ns in row["decode_ns"].items()}
        for stage, values in stages.items():
            cells = [f"{ns / 1000:.0f}" for ns in values]
            table.add_row(stage, *cells, *["-"] * (len(row["quantiles"]) - len(cells)))
        console.print(table)
        console.print(f"stored as {row['path']}", soft_wrap=True)
