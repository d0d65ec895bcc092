"""Writes a bundle: every file listed with its hash, the whole directory put in place at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.bundle import MANIFEST, SEAL, Manifest, fingerprint, seal
from models.directories import write_directory


def write_bundle(
    out: Path, files: Mapping[str, bytes], fields: Mapping[str, Any], overwrite: bool = False
) -> Manifest:
    """Writes ``files`` and a manifest of ``fields`` (all but ``files``) to ``out``.

    Raises FileExistsError if ``out`` exists and ``overwrite`` is not set, ValueError if it is
    something other than a bundle, and pydantic's ValidationError for fields that do not fit.
    """
    refuse_to_clobber(out, overwrite)
    entries = {name: fingerprint(content) for name, content in files.items()}
    manifest = Manifest.model_validate({**fields, "files": entries})
    text = (manifest.model_dump_json(indent=2, by_alias=True) + "\n").encode()
    write_directory(out, {**files, MANIFEST: text, SEAL: seal(text)})
    return manifest


def refuse_to_clobber(out: Path, overwrite: bool) -> None:
    """Raises unless ``out`` is free, or a bundle or empty directory that may be overwritten."""
    if not out.exists():
        return
    if not out.is_dir() or (any(out.iterdir()) and not (out / MANIFEST).is_file()):
        raise ValueError(f"{out}: exists and is not a bundle; choose another path")
    if not overwrite and any(out.iterdir()):
        raise FileExistsError(f"{out}: exists; give --force to replace it")
