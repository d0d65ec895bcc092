"""One packet as one line, for people and for programs."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from firmware_bridge.devices import Decoded

NAME_WIDTH = 21
LEAST_WIDTH = 40
_ARROWS = {"host": ">", "device": "<"}


def as_line(time_s: float, decoded: Decoded) -> str:
    """Time, direction, id, name and fields; cut to the terminal's width, if it is one."""
    who = "" if decoded.device_id is None else str(decoded.device_id)
    fields = " ".join(_field(name, value) for name, value in decoded.fields.items())
    fields = fields or decoded.raw.hex(" ")
    arrow = _ARROWS[decoded.sender]
    line = f"{time_s:10.4f} {arrow} {who:>3} {decoded.name:<{NAME_WIDTH}} {fields}".rstrip()
    if not sys.stdout.isatty():
        return line
    width = max(LEAST_WIDTH, shutil.get_terminal_size().columns)
    return line if len(line) <= width else line[: width - 1] + "…"


def _field(name: str, value: Any) -> str:
    if isinstance(value, dict):
        inner = " ".join(_field(key, item).replace("=", ":") for key, item in value.items())
        return f"{name}{{{inner}}}"
    if isinstance(value, list):
        return f"{name}={','.join(map(str, value))}"
    return f"{name}={value:.5g}" if isinstance(value, float) else f"{name}={value}"


def as_json_line(time_s: float, decoded: Decoded) -> str:
    """One JSON object: ``t_s, from, id, name, fields, raw`` (hexadecimal)."""
    row = {
        "t_s": round(time_s, 6),
        "from": decoded.sender,
        "id": decoded.device_id,
        "name": decoded.name,
        "fields": _finite(decoded.fields),
        "raw": decoded.raw.hex(),
    }
    return json.dumps(row, allow_nan=False)


def _finite(value: Any) -> Any:
    """JSON knows no infinity and no NaN: they become texts."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    is_odd = isinstance(value, float) and (value != value or value in (float("inf"), -float("inf")))
    return str(value) if is_odd else value
