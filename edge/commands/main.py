"""The console script: one verb a command, errors as one line, exit codes 0, 1 and 2."""

from __future__ import annotations

import sys

import typer

from edge.commands.bench import bench_app
from edge.commands.build import build
from edge.commands.bundle import bundle_app
from edge.commands.bus import bus_app
from edge.commands.calibrate import calibrate_app
from edge.commands.data import data_app
from edge.commands.doctor import doctor
from edge.commands.emulate import emulate
from edge.commands.eval import evaluate
from edge.commands.export import export
from edge.commands.import_oat import import_oat
from edge.commands.infer import infer
from edge.commands.plot import plot
from edge.commands.run import run
from edge.commands.tokens import tokens_app
from edge.commands.train import train
from edge.errors import OatEdgeError
from firmware_bridge.errors import BridgeError

app = typer.Typer(
    name="oat-edge",
    help="Runs Ordered Action Tokenization policies onboard: anytime, safe, before the deadline.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (run, plot, train, export, import_oat, build, infer, doctor, emulate):
    app.command()(command)
app.command("eval")(evaluate)
app.add_typer(bench_app, name="bench")
app.add_typer(bundle_app, name="bundle")
app.add_typer(bus_app, name="bus")
app.add_typer(calibrate_app, name="calibrate")
app.add_typer(data_app, name="data")
app.add_typer(tokens_app, name="tokens")


@app.callback()
def _root() -> None:
    """Keeps verbs as verbs even where there is only one."""


def main() -> None:
    """Entry of ``oat-edge``."""
    try:
        app()
    except OatEdgeError as error:
        sys.exit(_fail(str(error), error.exit_code))
    except BridgeError as error:
        sys.exit(_fail(str(error), 1))


def _fail(line: str, code: int) -> int:
    print(f"oat-edge: {line}", file=sys.stderr)
    return code
