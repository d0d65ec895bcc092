"""Latency profiles that ``oat-edge calibrate latency`` stored, outside the bundle they are of.

A profile belongs to one device in one power mode, one bundle (by digest), one engine and one
precision; asked for anything else there is none, never a near one. Files are JSON in the user's
data directory and replaced whole.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from edge.errors import UsageError
from edge.latency import Float64Array, Int64Array, Profile, Samples
from edge.system_files import SystemFiles
from edge.throttling import Clocks

QUANTILES = (0.5, 0.9, 0.99, 0.999, 0.9999)
BEYOND = 3
"""A quantile is stored where so many samples at least are expected beyond it."""

_ROUNDING = 1e-9  # 1.0 - 0.999 is a little more than 0.001


class ProfileKey(BaseModel):
    """What a stored profile is of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str
    power_mode: str
    bundle: str
    engine: str
    precision: str

    @staticmethod
    def here(bundle: str, engine: str, precision: str) -> ProfileKey:
        """The key on this device, in its present power mode; ``bundle`` is a digest."""
        files = SystemFiles()
        mode = files.text("var/lib/nvpmodel/status") or ""
        return ProfileKey(
            device=describe_device(files),
            power_mode=mode,
            bundle=bundle,
            engine=engine,
            precision=precision,
        )

    @property
    def path(self) -> Path:
        """Where its profile is stored."""
        base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
        name = hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:24]
        return Path(base) / "oat-edge" / "profiles" / f"{name}.json"


class StoredProfile(BaseModel):
    """Quantiles of every stage, ns, in the order of ``quantiles``: those that its plans support.

    A decode of one length is measured less often, so that the finest may lack there.
    ``finish_ns[i]``: token i and a decode after it, as ``Samples.finish_ns`` reckons them;
    ``decode_ns[k]``: a decode of k tokens.
    ``clocks``: what the device allowed its clocks then; None in a profile of before that was kept.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: ProfileKey
    plans: int
    quantiles: tuple[float, ...]
    prefill_ns: tuple[int, ...]
    token_ns: tuple[tuple[int, ...], ...]
    finish_ns: tuple[tuple[int, ...], ...]
    decode_ns: dict[int, tuple[int, ...]]
    clocks: Clocks | None = None

    @staticmethod
    def of(key: ProfileKey, samples: Samples, clocks: Clocks | None = None) -> StoredProfile:
        """The quantiles of samples, measured with these clocks."""
        return StoredProfile(
            key=key,
            plans=len(samples.prefill_ns),
            quantiles=supported(len(samples.prefill_ns)),
            prefill_ns=_quantiles(samples.prefill_ns),
            token_ns=tuple(_quantiles(column) for column in samples.token_ns.T),
            finish_ns=tuple(_quantiles(column) for column in samples.finish_ns.T),
            decode_ns={
                int(prefix): _quantiles(samples.decode_ns[samples.prefix == prefix])
                for prefix in np.unique(samples.prefix)
            },
            clocks=clocks,
        )

    def profile(self, miss_target: float) -> Profile:
        """The profile at the stored quantile that misses no more often than ``miss_target``, or at
        the finest there is where too few plans were measured for it.

        Raises UsageError for a target finer than any that is ever stored.
        """
        finest, target = 1.0 - QUANTILES[-1], miss_target * (1.0 + _ROUNDING)
        if finest > target:
            raise UsageError(f"miss target is {miss_target}, allowed is {finest:g} or more")
        column = next((i for i, q in enumerate(self.quantiles) if 1.0 - q <= target), -1)
        return Profile(
            prefill_ns=self.prefill_ns[0],
            token_ns=tuple(token[0] for token in self.token_ns),
            decode_ns=max(decode[0] for decode in self.decode_ns.values()),
            finish_ns=tuple(finish[column] for finish in self.finish_ns),
        )

    def save(self) -> Path:
        """Write it to its place, whole or not at all; returns the path."""
        path = self.key.path
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(self.model_dump_json(indent=1))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        return path


def supported(samples: int) -> tuple[float, ...]:
    """The quantiles of which so many samples say something; the median always."""
    enough = (q for q in QUANTILES[1:] if samples * (1.0 - q) >= BEYOND * (1.0 - _ROUNDING))
    return (QUANTILES[0], *enough)


def plans_for(quantile: float) -> int:
    """How many samples a quantile needs."""
    return round(BEYOND / (1.0 - quantile))


def find_profile(key: ProfileKey) -> StoredProfile | None:
    """The stored profile of exactly this key; None where there is none, or it is not whole."""
    try:
        stored = StoredProfile.model_validate_json(key.path.read_bytes())
    except (OSError, ValidationError):
        return None
    return stored if stored.key == key else None


def describe_device(files: SystemFiles) -> str:
    """The device in words: its board or processor, and how many cores."""
    board = (files.text("proc/device-tree/model") or "").rstrip("\0")
    return f"{board or _processor(files)}, {os.cpu_count()} cores"


def _processor(files: SystemFiles) -> str:
    for line in (files.text("proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _quantiles(samples_ns: Int64Array | Float64Array) -> tuple[int, ...]:
    return tuple(np.quantile(samples_ns, supported(len(samples_ns))).astype(int).tolist())
