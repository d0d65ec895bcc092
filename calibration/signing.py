"""Keys and signatures of bundles: what only the maker of a bundle does (see ``edge.signature``)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.bundle import MANIFEST, SIGNATURE, load, read_verified
from edge.errors import BundleError, UsageError
from edge.manifest import FileEntry
from edge.signature import Signature, to_pem

AskPassphrase = Callable[[], bytes]


def make_key_pair(private: Path, passphrase: bytes | None = None) -> tuple[Path, bytes]:
    """A new key at ``private`` (PKCS #8 PEM, mode 0600), its public half beside it.

    Returns the public key's path and raw bytes. Raises UsageError if one of the two files exists
    or cannot be written: a key is never overwritten.
    """
    key = Ed25519PrivateKey.generate()
    cipher = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    encoding, container = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    public = private.with_suffix(".pub.pem")
    raw = key.public_key().public_bytes_raw()
    _create(private, key.private_bytes(encoding, container, cipher), 0o600)
    _create(public, to_pem(raw).encode(), 0o644)
    return public, raw


def load_private_key(path: Path, ask: AskPassphrase) -> Ed25519PrivateKey:
    """The key at ``path``; ``ask`` is called if it is encrypted. Raises UsageError naming it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"key {path}: {error.strerror}") from error
    try:
        key = serialization.load_pem_private_key(content, None)
    except TypeError:  # encrypted
        key = _decrypted(path, content, ask())
    except ValueError as error:
        raise UsageError(f"key {path}: not a PEM file of a private key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"key {path}: not an Ed25519 key")
    return key


def sign_bundle(path: Path, key: Ed25519PrivateKey) -> Signature:
    """Verify the bundle, sign its manifest and put the signature in place in one step.

    Raises BundleError naming the file of a bundle that is not whole, or that cannot be written.
    """
    bundle = load(path)
    size = (path / MANIFEST).stat().st_size
    manifest = read_verified(path, MANIFEST, FileEntry(sha256=bundle.digest, bytes=size))
    made = Signature(key.public_key().public_bytes_raw(), key.sign(manifest))
    try:
        _replace(path, made.encode())
    except OSError as error:
        raise BundleError(f"bundle {path}: {SIGNATURE}: {error.strerror}", SIGNATURE) from error
    return made


def _decrypted(path: Path, content: bytes, passphrase: bytes) -> object:
    try:
        return serialization.load_pem_private_key(content, passphrase)
    except ValueError as error:
        raise UsageError(f"key {path}: wrong passphrase") from error


def _create(path: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise UsageError(f"key {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _replace(bundle: Path, content: bytes) -> None:
    """Write it beside the bundle, not in it: an unlisted file in there would be refused."""
    bundle = bundle.resolve()
    with tempfile.NamedTemporaryFile(
        prefix=f".{bundle.name}.sig.", dir=bundle.parent, delete=False
    ) as file:
        temporary = Path(file.name)
        try:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
            temporary.replace(bundle / SIGNATURE)
        finally:
            temporary.unlink(missing_ok=True)
    _sync(bundle)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
