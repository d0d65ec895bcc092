"""Who made a bundle: an Ed25519 signature (RFC 8032) over the bytes of ``manifest.json``.

The manifest holds the SHA-256 of every other file, so that the signature covers all of them. It
stands in ``manifest.sig``, three lines of which no byte may differ:

    ed25519
    key <base64 of the public key, 32 bytes>
    signature <base64, 64 bytes>

Only checking needs the package ``cryptography``; reading keys and files does not.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from edge.bundle import MANIFEST, SIGNATURE, Bundle, load, read_file, refused
from edge.errors import BundleError, ConfigError
from edge.schema import Strict

KEY_BYTES, SIGNATURE_BYTES = 32, 64
# SubjectPublicKeyInfo of an Ed25519 key: this and the key itself (RFC 8410, section 10.1).
SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")
PEM_BEGIN, PEM_END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"

SignatureState = Literal["unsigned", "trusted", "untrusted", "unchecked"]


class BundlePolicy(Strict):
    """``bundle_policy`` of a robot.yaml: whose bundles it runs.

    ``keys``: paths of public keys (PEM), relative to the robot.yaml, or the keys in base64; in a
    loaded robot always base64. With keys, a signature by another key is refused even if none is
    ``required``.
    """

    signature: Literal["required", "optional"] = "optional"
    keys: tuple[str, ...] = Field(default=(), max_length=64)

    @model_validator(mode="after")
    def _demand_can_be_met(self) -> BundlePolicy:
        if self.signature == "required" and not self.keys:
            raise ValueError("signature is 'required' and keys are none: no bundle could be run")
        return self

    def resolved(self, folder: Path, origin: str) -> BundlePolicy:
        """The same with every key in base64. Raises ConfigError naming ``origin`` and the key."""
        try:
            keys = tuple(read_key(key, folder) for key in self.keys)
        except ConfigError as error:
            raise ConfigError(f"{origin}: {error}") from error
        return self.model_copy(update={"keys": keys})


@dataclass(frozen=True, slots=True)
class Signature:
    """What ``manifest.sig`` says; ``key`` and ``value`` are raw bytes."""

    key: bytes
    value: bytes

    def encode(self) -> bytes:
        """The file's contents."""
        return f"ed25519\nkey {to_base64(self.key)}\nsignature {to_base64(self.value)}\n".encode()

    @staticmethod
    def decode(content: bytes) -> Signature:
        """Read the file's contents. Raises ValueError unless they are exactly as ``encode``'s."""
        try:
            _, key, value = content.decode("ascii").splitlines()
            made = Signature(
                base64.b64decode(key.removeprefix("key "), validate=True),
                base64.b64decode(value.removeprefix("signature "), validate=True),
            )
        except ValueError as error:  # binascii.Error and UnicodeDecodeError are of this kind
            raise ValueError("not a signature file") from error
        if (len(made.key), len(made.value)) != (KEY_BYTES, SIGNATURE_BYTES):
            raise ValueError("not an Ed25519 signature: wrong length")
        if made.encode() != content:
            raise ValueError("not a signature file")
        return made


def load_admitted(path: Path, policy: BundlePolicy) -> Bundle:
    """Load a bundle that the policy lets run. Raises as ``edge.bundle.load`` and ``admit``."""
    bundle = load(path)
    admit(bundle, policy)
    return bundle


def admit(bundle: Bundle, policy: BundlePolicy) -> SignatureState:
    """Who signed a loaded bundle, as far as the policy's keys tell.

    ``untrusted``: a right signature, but the policy has no keys to compare with. ``unchecked``: the
    same where ``cryptography`` is missing. Raises BundleError naming ``manifest.sig`` if it is
    wrong, by a key that is not among the policy's, or missing although required, or if
    the policy demands a check that wants the package ``cryptography``, which is missing.
    """
    if not (bundle.path / SIGNATURE).is_symlink() and not (bundle.path / SIGNATURE).exists():
        if policy.signature == "required":
            raise refused(bundle.path, SIGNATURE, "missing; bundle_policy demands a signature")
        return "unsigned"
    made = _read(bundle)
    key = to_base64(made.key)
    if policy.keys and key not in policy.keys:
        raise refused(bundle.path, SIGNATURE, f"by {key}, which is not among the keys trusted")
    if not _checkable(needed=bool(policy.keys)):
        return "unchecked"
    _verify(bundle, made)
    return "trusted" if policy.keys else "untrusted"


def signer(bundle: Bundle) -> str | None:
    """The key in base64 that claims to have signed; nothing is checked but the file's shape."""
    return to_base64(_read(bundle).key) if (bundle.path / SIGNATURE).exists() else None


def read_key(text: str, folder: Path = Path()) -> str:
    """The public key in base64, from base64 or from a PEM file. Raises ConfigError naming it."""
    if _is_key(text):
        return text
    path = folder / text
    try:
        content = path.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise ConfigError(f"key {text!r}: no public key in base64, nor a file: {reason}") from error
    return to_base64(_from_pem(content, path))


def to_base64(data: bytes) -> str:
    """Standard base64, one line."""
    return base64.b64encode(data).decode("ascii")


def to_pem(key: bytes) -> str:
    """A raw public key as PEM (RFC 7468)."""
    return f"{PEM_BEGIN}\n{to_base64(SPKI_PREFIX + key)}\n{PEM_END}\n"


def _from_pem(content: str, path: Path) -> bytes:
    if "PRIVATE KEY" in content:
        raise ConfigError(f"key {path}: a private key; name the public one, and keep this away")
    lines = content.split()
    body = "".join(content.strip().removeprefix(PEM_BEGIN).removesuffix(PEM_END).split())
    try:
        der = base64.b64decode(body, validate=True) if lines else b""
    except binascii.Error:
        der = b""
    if not der.startswith(SPKI_PREFIX) or len(der) != len(SPKI_PREFIX) + KEY_BYTES:
        raise ConfigError(f"key {path}: not a PEM file of an Ed25519 public key")
    return der[len(SPKI_PREFIX) :]


def _is_key(text: str) -> bool:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return len(raw) == KEY_BYTES and to_base64(raw) == text


def _read(bundle: Bundle) -> Signature:
    try:
        return Signature.decode(read_file(bundle.path, SIGNATURE))
    except ValueError as error:
        raise refused(bundle.path, SIGNATURE, str(error)) from error


def _checkable(needed: bool) -> bool:
    try:
        import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401
    except ImportError as error:
        if needed:
            raise BundleError(
                "bundle_policy names keys, and cryptography is missing: install oat-edge[sign]"
            ) from error
        return False
    return True


def _verify(bundle: Bundle, made: Signature) -> None:
    """Check over the manifest that was loaded: one that changed since has another digest."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    manifest = read_file(bundle.path, MANIFEST)
    if hashlib.sha256(manifest).hexdigest() != bundle.digest:
        raise refused(bundle.path, MANIFEST, "altered since it was loaded")
    try:
        Ed25519PublicKey.from_public_bytes(made.key).verify(made.value, manifest)
    except (InvalidSignature, ValueError) as error:
        raise refused(bundle.path, SIGNATURE, f"wrong: not of this {MANIFEST}") from error
