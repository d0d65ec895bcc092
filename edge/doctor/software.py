"""Versions of what runs the graphs: onnxruntime, the native engine, TensorRT, CUDA, JetPack."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from edge.doctor.finding import Finding, Status, absent
from edge.system_files import SystemFiles

AREA = "software"
_CUDA = "usr/local/cuda/version.json"
_JETPACK = "etc/nv_tegra_release"
_PACKAGES = {"onnxruntime": True, "tensorrt": False, "openvino": False}  # name: needed


def examine(files: SystemFiles) -> list[Finding]:
    """All findings of this area."""
    packages = [_package(name, needed) for name, needed in _PACKAGES.items()]
    return [_native(), *packages, _cuda(files), _jetpack(files)]


def _native() -> Finding:
    from edge.engines.native.library import load
    from edge.errors import EngineError

    try:
        return Finding(AREA, "native engine", Status.OK, Path(load()._name).name)
    except EngineError as error:
        return absent(AREA, "native engine", str(error))


def _package(name: str, needed: bool) -> Finding:
    try:
        return Finding(AREA, name, Status.OK, metadata.version(name))
    except metadata.PackageNotFoundError:
        if needed:
            return Finding(AREA, name, Status.FAIL, "not installed", f"pip install {name}")
        return absent(AREA, name, "not installed")


def _cuda(files: SystemFiles) -> Finding:
    """The driver's module tells whether a GPU can be used, the toolkit's file which CUDA."""
    driver = (files.text("proc/driver/nvidia/version") or "").splitlines()
    toolkit = _toolkit(files.text(_CUDA) or "")
    if not driver and not toolkit:
        return absent(AREA, "CUDA", "no driver and no toolkit")
    return Finding(AREA, "CUDA", Status.OK, ", ".join([*toolkit, *driver[:1]]))


def _toolkit(text: str) -> list[str]:
    import json

    try:
        return [f"toolkit {json.loads(text)['cuda']['version']}"]
    except (ValueError, KeyError, TypeError):
        return []


def _jetpack(files: SystemFiles) -> Finding:
    lines = (files.text(_JETPACK) or "").splitlines()
    if not lines:
        return absent(AREA, "Jetson Linux", "not a Jetson")
    return Finding(AREA, "Jetson Linux", Status.OK, lines[0].lstrip("# "))
