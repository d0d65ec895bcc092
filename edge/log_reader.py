"""Reads what ``edge.recorder`` wrote back into the records that the run had.

A log that was cut off, as by a crash or a full disk, is read up to the last whole chunk before the
cut; ``Log.damage`` says so.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from mcap.exceptions import McapError
from mcap.records import Channel, McapRecord, Message, Metadata
from mcap.stream_reader import StreamReader
from zstandard import ZstdError

from edge.errors import RunError, UsageError
from edge.ladder import Mode, Rung
from edge.recorder import EVENT_TOPIC, PLAN_TOPIC, TICK_TOPIC
from edge.records import plan_dtype, tick_dtype

MAGIC = b"\x89MCAP0\r\n"
DAMAGE = "it is cut off or damaged; only the whole chunks that precede the damage are read"
_DAMAGED = (McapError, ValueError, struct.error, ZstdError)

Records = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: what, why, and on which rung."""

    event: str
    reason: str
    rung: str


@dataclass(frozen=True, slots=True)
class Log:
    """A run as it was logged: ``ticks`` of ``tick_dtype``, ``plans`` of ``plan_dtype``.

    A log of an older version lacks the fields that it did not know. ``session``: the run's
    settings as logged, by whatever version; ``joints``: the names among them; ``damage``: what is
    wrong with the file, or empty.
    """

    session: dict[str, Any]
    joints: tuple[str, ...]
    ticks: Records
    plans: Records
    events: tuple[Event, ...]
    damage: str


def read_log(path: Path) -> Log:
    """The log at ``path``. Raises UsageError where there is none, RunError where it is no log."""
    records, damage = _read_records(path)
    topics = {record.id: record.topic for record in records if isinstance(record, Channel)}
    messages: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        if isinstance(record, Message):
            messages.setdefault(topics.get(record.channel_id, ""), []).append(_parse(path, record))
    session = _session(path, records)
    try:
        joints = tuple(str(joint["name"]) for joint in session["robot"]["joints"])
        buses = len(session["robot"].get("buses", "1"))
        plans = messages.get(PLAN_TOPIC, [])
        tokens = max((len(plan["token_ns"]) for plan in plans), default=1)
        return Log(
            session,
            joints,
            _rebuild(messages.get(TICK_TOPIC, []), tick_dtype(len(joints), buses)),
            _rebuild(plans, plan_dtype(tokens)),
            tuple(Event(**event) for event in messages.get(EVENT_TOPIC, [])),
            damage,
        )
    except KeyError as error:
        raise RunError(f"log {path}: written by another version: no {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise RunError(f"log {path}: its messages are not those of oat-edge: {error}") from error


def _read_records(path: Path) -> tuple[list[McapRecord], str]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"log {path}: {error.strerror}") from error
    if not data.startswith(MAGIC):
        raise RunError(f"log {path}: not an MCAP file")
    records: list[McapRecord] = []
    reader = StreamReader(BytesIO(data), validate_crcs=True, record_size_limit=len(data))
    whole = _take(reader, records)
    return records, "" if whole else DAMAGE


def _take(reader: StreamReader, into: list[McapRecord]) -> bool:
    """Add a reader's records up to the first unreadable one; True if there was none."""
    try:
        for record in reader.records:
            into.append(record)  # one by one: what precedes the damage is kept
    except _DAMAGED:
        return False
    return True


def _parse(path: Path, message: Message) -> dict[str, Any]:
    try:
        content = json.loads(message.data)
    except ValueError as error:
        raise RunError(f"log {path}: message {message.sequence} is not JSON") from error
    if not isinstance(content, dict):
        raise RunError(f"log {path}: message {message.sequence} is not an object")
    return content


def _session(path: Path, records: list[McapRecord]) -> dict[str, Any]:
    for record in records:
        if isinstance(record, Metadata) and record.name == "session":
            try:
                session = json.loads(record.metadata["session"])
            except (KeyError, ValueError) as error:
                raise RunError(f"log {path}: its session cannot be read") from error
            if isinstance(session, dict):
                return session
    raise RunError(f"log {path}: an MCAP file, but without a session of oat-edge")


def _rebuild(messages: list[dict[str, Any]], dtype: np.dtype[Any]) -> Records:
    """Messages as records; a field that their version did not have is absent, never zero."""
    back: dict[str, Callable[[Any], Any]] = {
        "rung": lambda label: Rung[label.upper()],
        "mode": lambda name: Mode[name.upper()],
    }
    present = [name for name in dtype.names or () if not messages or name in messages[0]]
    back |= {name: str.encode for name in present if dtype[name].kind == "S"}
    records = np.zeros(len(messages), [(name, dtype[name]) for name in present])
    for name in present if messages else ():
        convert = back.get(name)
        values = [message[name] for message in messages]
        records[name] = [convert(value) for value in values] if convert else values
    return records
