"""The bundle: one directory with everything that a policy needs onboard, and nothing executable.

    manifest.json           what ``edge.manifest`` describes, with the SHA-256 of every other file
    manifest.sha256         the manifest's own, as ``sha256sum`` writes it
    manifest.sig            who made it, if somebody signed: see ``edge.signature``
    fp32/prefill.onnx       observation              → first token, KV, the observation's KV
    fp32/step.onnx          last token, position, KV → next token, KV
    fp32/decode.onnx        tokens, prefix length    → the executed actions of the chunk
    fp32/decode_full.onnx   the same                 → all actions of the chunk
    int8/…                  the same graphs in another precision
    encode.onnx             actions of a chunk       → tokens; for use offline, never loaded onboard
    parity.json             how each precision compares with the trained model

``load`` trusts nothing: a file that is altered, truncated, missing or unlisted is refused by name.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from edge.errors import BundleError
from edge.manifest import (
    COMMAND_KEY,
    DECODERS,
    GRAPHS,
    MANIFEST,
    MAX_FILE_BYTES,
    OBSERVATION,
    SEAL,
    SIGNATURE,
    FileEntry,
    Manifest,
    parse,
)

__all__ = [
    "COMMAND_KEY",
    "DECODERS",
    "GRAPHS",
    "MANIFEST",
    "OBSERVATION",
    "SEAL",
    "SIGNATURE",
    "Bundle",
    "FileEntry",
    "Manifest",
    "fingerprint",
    "load",
    "read_file",
    "read_manifest",
    "read_verified",
    "refused",
    "seal",
]
UNLISTED = (MANIFEST, SEAL, SIGNATURE)  # at the top of a bundle, and nowhere else


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle; ``digest`` is the SHA-256 of its manifest and so of everything in it."""

    path: Path
    manifest: Manifest
    digest: str

    def graph(self, precision: str, graph: str) -> bytes:
        """Bytes of one graph, checked against the manifest once more as they are read.

        Raises BundleError if the precision is not in the bundle, if the bundle is a tokenizer alone
        and this a graph of the policy, or if the file changed since ``load``.
        """
        graphs = self.manifest.graphs.get(precision)
        if graphs is None:
            have = ", ".join(sorted(self.manifest.graphs))
            raise BundleError(f"bundle {self.path}: no precision {precision!r}; it has {have}")
        if graph not in graphs:
            raise BundleError(f"bundle {self.path}: a tokenizer alone, without a graph {graph!r}")
        return read_verified(self.path, graphs[graph], self.manifest.files[graphs[graph]])

    def encoder(self) -> bytes:
        """Bytes of the encoder graph, checked like ``graph``'s. Raises BundleError without one."""
        name = self.manifest.encoder
        if name is None:
            raise BundleError(f"bundle {self.path}: it has no encoder; export it anew to get one")
        return read_verified(self.path, name, self.manifest.files[name])


def load(path: Path) -> Bundle:
    """Read and verify the bundle at ``path``. Raises BundleError naming the offending file."""
    manifest, digest = read_manifest(path)
    _refuse_unlisted(path, manifest)
    for name, entry in manifest.files.items():
        read_verified(path, name, entry)
    return Bundle(path, manifest, digest)


def read_manifest(path: Path) -> tuple[Manifest, str]:
    """The manifest and its SHA-256, without a look at the other files. Raises BundleError."""
    if not path.is_dir():
        raise BundleError(f"bundle {path}: no such directory")
    text = read_file(path, MANIFEST)
    if read_file(path, SEAL) != seal(text):
        raise refused(path, MANIFEST, f"altered ({SEAL} differs)")
    try:
        return parse(text), hashlib.sha256(text).hexdigest()
    except ValueError as error:
        raise refused(path, MANIFEST, str(error)) from error


def read_verified(path: Path, name: str, entry: FileEntry) -> bytes:
    """Bytes of the listed file ``name``. Raises BundleError if it is not what the manifest says."""
    content = read_file(path, name, entry.bytes)
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise refused(path, name, "altered (SHA-256 differs from the manifest)")
    return content


def read_file(path: Path, name: str, expected_bytes: int | None = None) -> bytes:
    """Bytes of any regular file in the bundle, of the expected length; reads no more than that.

    Raises BundleError naming it: missing, a link, outside of the bundle, no file, another length.
    """
    try:
        file = _inside(path, name)
        size = file.stat().st_size
        if expected_bytes is not None and size != expected_bytes:
            raise refused(path, name, f"{size} bytes, expected {expected_bytes}")
        if size > MAX_FILE_BYTES:
            raise refused(path, name, f"{size} bytes, allowed are {MAX_FILE_BYTES}")
        return file.read_bytes()
    except OSError as error:
        raise refused(path, name, str(error.strerror)) from error
    except ValueError as error:  # a name that no file can have
        raise refused(path, name, str(error)) from error


def fingerprint(content: bytes) -> FileEntry:
    """The manifest's entry for a file with this content."""
    return FileEntry(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def seal(manifest: bytes) -> bytes:
    """Contents of ``manifest.sha256`` for a manifest with this text."""
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()


def refused(path: Path, name: str, reason: str) -> BundleError:
    """The error for a bundle of which the file ``name`` is refused; one line whatever its name."""
    shown = name if name.isprintable() else ascii(name)
    return BundleError(f"bundle {path}: {shown}: {reason}", file=shown)


def _inside(path: Path, name: str) -> Path:
    file, inside = path / name, Path(name)
    links = any((path / part).is_symlink() for part in (inside, *inside.parents[:-1]))
    if inside.is_absolute() or ".." in inside.parts or links:
        raise refused(path, name, "leads outside of the bundle")
    if file.exists() and not file.is_file():
        raise refused(path, name, "not a regular file")
    return file


def _refuse_unlisted(path: Path, manifest: Manifest) -> None:
    for folder, folders, files in os.walk(path):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for file in (*files, *links):
            name = (Path(folder) / file).relative_to(path).as_posix()
            if name not in UNLISTED and name not in manifest.files:
                raise refused(path, name, f"not listed in {MANIFEST}")
