"""The bundle: one directory with everything that a policy needs onboard, and nothing executable.

    manifest.json           what this module describes, with the SHA-256 of every other file
    manifest.sha256         the manifest's own, as ``sha256sum`` writes it
    fp32/prefill.onnx       observation              → keys and values of the conditioning memory
    fp32/step.onnx          last token, position, KV → next token, KV
    fp32/decode.onnx        tokens, prefix length    → the executed actions of the chunk
    fp32/decode_full.onnx   the same                 → all actions of the chunk
    int8/…                  the same graphs in another precision
    parity.json             how each precision compares with the trained model

``load`` trusts nothing: a file that is altered, truncated, missing or unlisted is refused by name.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.errors import BundleError

FORMAT_VERSION: Literal[1] = 1
MANIFEST = "manifest.json"
SEAL = "manifest.sha256"
MAX_FILE_BYTES = 1 << 30
GRAPHS = ("prefill", "step", "decode", "decode_full")
COMMAND_KEY = "observation.command"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Feature(_Strict):
    """One observation feature: an array of shape (n_obs_steps, size), raw units."""

    key: str = Field(pattern=r"^observation(\.[a-z0-9_]+)+$")
    size: int = Field(ge=1, le=4096)
    names: tuple[str, ...] = ()
    unit: str = ""

    @model_validator(mode="after")
    def _one_name_per_element(self) -> Feature:
        if self.names and len(self.names) != self.size:
            raise ValueError(f"{self.key}: {len(self.names)} names for {self.size} elements")
        return self


class Action(_Strict):
    """The action space: absolute references, one knot every ``1 / rate_hz`` seconds.

    Action i of a chunk holds at ``t0 + (i + 1) / rate_hz``; t0 is the time of its observation.
    """

    names: tuple[str, ...] = Field(min_length=1)
    unit: str
    rate_hz: float = Field(gt=0, le=10_000)
    action_horizon: int = Field(ge=1, le=4096)
    execution_horizon: int = Field(ge=1)
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Action:
        if self.execution_horizon > self.action_horizon:
            raise ValueError("execution_horizon is longer than action_horizon")
        if not len(self.names) == len(self.minimum) == len(self.maximum):
            raise ValueError("names, minimum and maximum differ in length")
        if any(low > high for low, high in zip(self.minimum, self.maximum, strict=True)):
            raise ValueError("a minimum exceeds its maximum")
        return self


class Tokenizer(_Strict):
    """Facts of the action tokenizer; ``conditioned_on``: the feature that its decoder reads too."""

    kind: Literal["oat"] = "oat"
    levels: tuple[int, ...] = Field(min_length=1)
    tokens: int = Field(ge=1, le=64)
    begin_token: int = Field(ge=0)
    trained_prefixes: tuple[int, ...] = Field(min_length=1)
    conditioned_on: Literal["observation.command"] | None = None

    @property
    def codes(self) -> int:
        """Size of the codebook: the product of the FSQ levels (arXiv 2309.15505, section 3)."""
        product = 1
        for level in self.levels:
            product *= level
        return product


class CacheShapes(_Strict):
    """Shapes of the two key-value caches, both (layers, 2, batch, heads, length, head size)."""

    cross: tuple[int, int, int, int, int, int]
    self_: tuple[int, int, int, int, int, int] = Field(alias="self")

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class FileEntry(_Strict):
    """Fingerprint of one file."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0, le=MAX_FILE_BYTES)


class Manifest(_Strict):
    """Contents of ``manifest.json``: all that the runtime believes of a bundle."""

    format_version: Literal[1] = FORMAT_VERSION
    name: str = Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$")
    task: str
    n_obs_steps: int = Field(ge=1, le=64)
    observation: tuple[Feature, ...] = Field(min_length=1)
    action: Action
    tokenizer: Tokenizer
    caches: CacheShapes
    graphs: dict[str, dict[str, str]] = Field(min_length=1)
    files: dict[str, FileEntry] = Field(min_length=1)
    architecture: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _every_graph_is_listed(self) -> Manifest:
        for precision, graphs in self.graphs.items():
            if set(graphs) != set(GRAPHS):
                raise ValueError(f"graphs.{precision} must name exactly {', '.join(GRAPHS)}")
            for graph, file in graphs.items():
                if file not in self.files:
                    raise ValueError(f"graphs.{precision}.{graph} names {file!r}, not among files")
        return self

    @model_validator(mode="after")
    def _conditioning_exists(self) -> Manifest:
        wanted = self.tokenizer.conditioned_on
        if wanted is not None and wanted not in {feature.key for feature in self.observation}:
            raise ValueError(f"tokenizer.conditioned_on: no observation feature {wanted!r}")
        return self


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle; ``digest`` is the SHA-256 of its manifest and so of everything in it."""

    path: Path
    manifest: Manifest
    digest: str

    def graph(self, precision: str, graph: str) -> bytes:
        """Bytes of one graph, checked against the manifest once more as they are read.

        Raises BundleError if the precision is not in the bundle or the file changed since ``load``.
        """
        graphs = self.manifest.graphs.get(precision)
        if graphs is None:
            have = ", ".join(sorted(self.manifest.graphs))
            raise BundleError(f"bundle {self.path}: no precision {precision!r}; it has {have}")
        return read_verified(self.path, graphs[graph], self.manifest.files[graphs[graph]])


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
    text = _read(path, MANIFEST)
    if _read(path, SEAL) != seal(text):
        raise BundleError(f"bundle {path}: {MANIFEST}: altered ({SEAL} differs)")
    try:
        manifest = Manifest.model_validate_json(text)
    except (ValidationError, RecursionError) as error:
        raise BundleError(f"bundle {path}: {MANIFEST}: {_first_problem(error)}") from error
    return manifest, hashlib.sha256(text).hexdigest()


def read_verified(path: Path, name: str, entry: FileEntry) -> bytes:
    """Bytes of the listed file ``name``. Raises BundleError if it is not what the manifest says."""
    content = _read(path, name)
    if len(content) != entry.bytes:
        raise BundleError(f"bundle {path}: {name}: {len(content)} bytes, expected {entry.bytes}")
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise BundleError(f"bundle {path}: {name}: altered (SHA-256 differs from the manifest)")
    return content


def fingerprint(content: bytes) -> FileEntry:
    """The manifest's entry for a file with this content."""
    return FileEntry(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def seal(manifest: bytes) -> bytes:
    """Contents of ``manifest.sha256`` for a manifest with this text."""
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()


def _read(path: Path, name: str) -> bytes:
    file, inside = path / name, Path(name)
    links = any((path / part).is_symlink() for part in (inside, *inside.parents[:-1]))
    if inside.is_absolute() or ".." in inside.parts or links:
        raise BundleError(f"bundle {path}: {name}: leads outside of the bundle")
    if file.exists() and not file.is_file():
        raise BundleError(f"bundle {path}: {name}: not a regular file")
    try:
        return file.read_bytes()
    except OSError as error:
        raise BundleError(f"bundle {path}: {name}: {error.strerror}") from error


def _refuse_unlisted(path: Path, manifest: Manifest) -> None:
    for folder, folders, files in os.walk(path):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for file in (*files, *links):
            name = (Path(folder) / file).relative_to(path).as_posix()
            if name not in (MANIFEST, SEAL) and name not in manifest.files:
                raise BundleError(f"bundle {path}: {name}: not listed in {MANIFEST}")


def _first_problem(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])
