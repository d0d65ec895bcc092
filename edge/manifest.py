"""The manifest of a bundle: its schema, and the one format version that is read."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.schema import Finite

FORMAT_VERSION: Literal[3] = 3
MANIFEST = "manifest.json"
SEAL = "manifest.sha256"
SIGNATURE = "manifest.sig"
MAX_FILE_BYTES = 1 << 30
GRAPHS = ("prefill", "step", "decode", "decode_full")
DECODERS = ("decode", "decode_full")
COMMAND_KEY = "observation.command"
OBSERVATION = "observation"
"""All features, where a tokenizer is conditioned on them."""


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
    The first ``head_steps`` of its ``action_horizon`` actions are the head: what has to be out at
    the deadline. ``execution_horizon`` of them are executed before the next chunk takes over.
    ``minimum`` and ``maximum`` are the range of the training data. The decoder's output is clamped
    to it where ``clamped``; the official OAT decoder, and so an import of one, does not clamp.
    """

    names: tuple[str, ...] = Field(min_length=1)
    unit: str
    rate_hz: float = Field(gt=0, le=10_000)
    action_horizon: int = Field(ge=1, le=4096)
    execution_horizon: int = Field(ge=1)
    head_steps: int = Field(ge=1)
    minimum: tuple[Finite, ...]
    maximum: tuple[Finite, ...]
    clamped: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> Action:
        if self.execution_horizon > self.action_horizon:
            raise ValueError("execution_horizon is longer than action_horizon")
        if self.head_steps > self.execution_horizon:
            raise ValueError("head_steps is more than execution_horizon")
        if not len(self.names) == len(self.minimum) == len(self.maximum):
            raise ValueError("names, minimum and maximum differ in length")
        if any(low > high for low, high in zip(self.minimum, self.maximum, strict=True)):
            raise ValueError("a minimum exceeds its maximum")
        return self


class Tokenizer(_Strict):
    """Facts of the action tokenizer; ``conditioned_on``: what its decoder reads besides tokens.

    Either the newest command, or every feature of the observation as the policy gets it.
    """

    kind: Literal["oat"] = "oat"
    levels: tuple[int, ...] = Field(min_length=1)
    tokens: int = Field(ge=1, le=64)
    trained_prefixes: tuple[int, ...] = Field(min_length=1)
    conditioned_on: Literal["observation.command", "observation"] | None = None

    @property
    def codes(self) -> int:
        """Size of the codebook: the product of the FSQ levels (arXiv 2309.15505, section 3)."""
        product = 1
        for level in self.levels:
            product *= level
        return product


class CacheShapes(_Strict):
    """Shapes of the two key-value caches.

    ``cross``: (layers, 2, heads * n_obs_steps, width), the observation's, as the hidden state meets
    it. ``self``: (layers, 2, batch, heads, tokens, head size).
    """

    cross: tuple[int, int, int, int]
    self_: tuple[int, int, int, int, int, int] = Field(alias="self")

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class FileEntry(_Strict):
    """Fingerprint of one file."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0, le=MAX_FILE_BYTES)


class Manifest(_Strict):
    """Contents of ``manifest.json``: all that the runtime believes of a bundle.

    Without ``observation`` it is that of a tokenizer alone: chunks to tokens and back, offline.
    ``encoder`` is the file of the graph that makes tokens of chunks; it is not loaded onboard.
    """

    format_version: Literal[3] = FORMAT_VERSION
    name: str = Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$")
    task: str
    n_obs_steps: int = Field(default=1, ge=1, le=64)
    observation: tuple[Feature, ...] = ()
    action: Action
    tokenizer: Tokenizer
    caches: CacheShapes | None = None
    graphs: dict[str, dict[str, str]] = Field(min_length=1)
    encoder: str | None = None
    files: dict[str, FileEntry] = Field(min_length=1)
    architecture: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)

    @property
    def has_policy(self) -> bool:
        """Whether it acts on observations; if not, it is a tokenizer alone."""
        return bool(self.observation)

    @model_validator(mode="after")
    def _a_policy_has_caches(self) -> Manifest:
        if self.has_policy != (self.caches is not None):
            raise ValueError("a policy has observation and caches, a tokenizer alone neither")
        return self

    @model_validator(mode="after")
    def _every_graph_is_listed(self) -> Manifest:
        wanted = GRAPHS if self.has_policy else DECODERS
        for precision, graphs in self.graphs.items():
            if set(graphs) != set(wanted):
                raise ValueError(f"graphs.{precision} must name exactly {', '.join(wanted)}")
            for graph, file in graphs.items():
                if file not in self.files:
                    raise ValueError(f"graphs.{precision}.{graph} names {file!r}, not among files")
        if self.encoder is not None and self.encoder not in self.files:
            raise ValueError(f"encoder names {self.encoder!r}, not among files")
        return self

    @model_validator(mode="after")
    def _no_file_is_its_own_witness(self) -> Manifest:
        for name in (MANIFEST, SEAL, SIGNATURE):
            if name in self.files:
                raise ValueError(f"files.{name}: a manifest cannot list itself, seal or signature")
        return self

    @model_validator(mode="after")
    def _conditioning_exists(self) -> Manifest:
        wanted = self.tokenizer.conditioned_on
        keys = {feature.key for feature in self.observation}
        if wanted == OBSERVATION and not self.has_policy:
            raise ValueError("tokenizer.conditioned_on: a tokenizer alone has no observation")
        if wanted is not None and self.has_policy and COMMAND_KEY not in keys:
            raise ValueError(f"tokenizer.conditioned_on: no observation feature {COMMAND_KEY!r}")
        return self


def parse(text: bytes) -> Manifest:
    """The manifest in ``text``. Raises ValueError with one line that names the field.

    A manifest of another format version is refused before anything else in it is looked at: its
    other fields are free to mean something else.
    """
    _refuse_other_formats(text)
    try:
        return Manifest.model_validate_json(text)
    except (ValidationError, RecursionError) as error:
        raise ValueError(_first_problem(error)) from error


def _refuse_other_formats(text: bytes) -> None:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return  # no JSON: validation says where
    version = fields.get("format_version") if isinstance(fields, dict) else None
    if type(version) is not int or version == FORMAT_VERSION:
        return
    advice = "update oat-edge" if version > FORMAT_VERSION else "export the checkpoint again"
    raise ValueError(f"format_version is {version}, this oat-edge reads {FORMAT_VERSION}: {advice}")


def _first_problem(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
