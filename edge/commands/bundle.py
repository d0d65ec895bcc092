"""``oat-edge bundle``: look at bundles, verify, sign and compare them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edge.bundle import Bundle

SIGNATURE_WORDS = {
    "unsigned": "none",
    "trusted": "right, by a trusted key",
    "untrusted": "right; whose key it is, nobody has said (--key)",
    "unchecked": "not checked: install oat-edge[sign]",
}
BundleName = Annotated[str, typer.Argument(help="A shipped bundle, or a directory.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

bundle_app = typer.Typer(help="Look at, verify, sign and compare bundles.", no_args_is_help=True)


@bundle_app.command()
def show(
    bundle: BundleName,
    plot: Annotated[
        Path | None, typer.Option(help="Draw parity by precision and k: .png, .pdf or .svg.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what a bundle is: shapes, joints, graphs, and how near each precision is to torch."""
    from edge.commands.bundle_report import facts, parity_rows
    from edge.commands.bundle_tables import print_bundle

    loaded, state = _admitted(bundle, [])
    rows = parity_rows(loaded)
    if plot is not None:
        _draw(loaded, rows, plot)
    if as_json:
        print(json.dumps(facts(loaded) | {"signature": state, "parity": rows}))
    else:
        print_bundle(loaded, SIGNATURE_WORDS[state], rows)


@bundle_app.command()
def verify(
    bundle: BundleName,
    key: Annotated[
        list[str] | None,
        typer.Option(help="Public key, PEM file or base64: it must be signed by one of these."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every file and the signature; exit code 1, naming the file, if anything is wrong."""
    from edge.commands.bundle_report import parity_rows
    from edge.commands.bundle_tables import parity_tables
    from edge.errors import BundleError

    try:
        loaded, state = _admitted(bundle, key or [])
        rows = parity_rows(loaded)
    except BundleError as error:
        if as_json:
            print(json.dumps({"ok": False, "file": error.file, "error": str(error)}))
        raise
    if as_json:
        identity = {"name": loaded.manifest.name, "path": str(loaded.path), "digest": loaded.digest}
        checked = {"ok": True, "hashes": "ok", "files": len(loaded.manifest.files)}
        print(json.dumps(checked | {"signature": state} | identity | {"parity": rows}))
        return
    from rich.console import Console

    console = Console()
    console.print(f"{loaded.path}: {len(loaded.manifest.files)} files ok", soft_wrap=True)
    console.print(f"signature: {SIGNATURE_WORDS[state]}")
    if rows:
        console.print(parity_tables(rows))


@bundle_app.command()
def sign(
    bundle: BundleName,
    key: Annotated[Path, typer.Option(help="Private Ed25519 key, PEM; keygen makes one.")],
) -> None:
    """Verify a bundle and sign it; a signature that is there already is replaced."""
    from edge.commands.bundles import find_bundle
    from edge.signature import to_base64

    signing = _signing()
    private = signing.load_private_key(key, _ask_passphrase)
    made = signing.sign_bundle(find_bundle(bundle), private)
    print(f"signed by {to_base64(made.key)}")


@bundle_app.command()
def diff(
    first: BundleName,
    second: BundleName,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 if there is a difference.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two bundles: manifest, graph by graph, files, parity."""
    from edge import bundle as bundles
    from edge.commands.bundle_diff import differences
    from edge.commands.bundle_tables import print_differences
    from edge.commands.bundles import find_bundle

    found = differences(*(bundles.load(find_bundle(name)) for name in (first, second)))
    if as_json:
        print(json.dumps({"same": not found} | found))
    else:
        print_differences(found, first, second)
    if found and exit_code:
        raise typer.Exit(1)


@bundle_app.command()
def keygen(
    key: Annotated[Path, typer.Argument(help="The private key's file; .pub.pem goes beside it.")],
    encrypt: Annotated[bool, typer.Option("--encrypt", help="Ask for a passphrase.")] = False,
) -> None:
    """Make a key to sign bundles with; prints the public key as robot.yaml takes it."""
    from edge.signature import to_base64

    signing = _signing()
    passphrase = None
    if encrypt:
        text = typer.prompt("passphrase", hide_input=True, confirmation_prompt=True, err=True)
        passphrase = str(text).encode()
    public, raw = signing.make_key_pair(key, passphrase)
    print(to_base64(raw))
    print(f"oat-edge: keep {key} to yourself; {public} is for everyone", file=sys.stderr)


def _admitted(name: str, keys: list[str]) -> tuple[Bundle, str]:
    """The verified bundle and the state of its signature, which is required if there are keys."""
    from edge import bundle as bundles
    from edge.commands.bundles import find_bundle
    from edge.signature import BundlePolicy, admit

    policy = BundlePolicy(signature="required" if keys else "optional", keys=tuple(keys))
    loaded = bundles.load(find_bundle(name))
    return loaded, admit(loaded, policy.resolved(Path(), "--key"))


def _draw(bundle: Bundle, rows: list[dict[str, Any]], path: Path) -> None:
    from edge.errors import RunError, UsageError

    try:
        from edge.commands.plots.parity_figure import save_parity_figure
    except ImportError as error:
        raise RunError(f"show: {error.name} is missing; install oat-edge[plot]") from error
    if not rows:
        raise RunError(f"bundle {bundle.path}: it has no parity report to draw")
    try:
        save_parity_figure(rows, f"{bundle.manifest.name} · {bundle.digest[:12]}", path)
    except OSError as error:
        raise RunError(f"--plot {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"--plot {path}: {error}") from error


def _signing() -> Any:
    from edge.errors import RunError

    try:
        from calibration import signing
    except ImportError as error:
        raise RunError(f"{error.name} is missing; install oat-edge[sign]") from error
    return signing


def _ask_passphrase() -> bytes:
    return str(typer.prompt("passphrase", hide_input=True, err=True)).encode()
