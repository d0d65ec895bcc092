"""The recorder: writes what the servo and the planner publish to an MCAP log that Foxglove opens.

Topics, all JSON with a schema: ``/servo/tick``, ``/planner/plan``, ``/event``; zstd compresses
them in chunks. Log times are wall clock (an offset taken once); ``*_ns`` fields are monotonic.
The robot and the session stand in the log's metadata.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
from mcap.writer import CompressionType, Writer

from edge.errors import RunError
from edge.ladder import GAVE_UP, Mode, Rung
from edge.records import plan_dtype, tick_dtype
from edge.session import Session
from edge.shared_memory import Records

CHUNK_BYTES = 128 * 1024  # under a second of a run, compressed as a whole: what a killed
# supervisor may lose
TICK_TOPIC, PLAN_TOPIC, EVENT_TOPIC = "/servo/tick", "/planner/plan", "/event"


class Recorder:
    """Appends to one log; use as a context manager, so that the log is closed whole.

    A log in which nothing was written goes.
    """

    def __init__(
        self, path: Path, session: Session, tokens: int, chunk_bytes: int = CHUNK_BYTES
    ) -> None:
        """Raises RunError that names the path if it cannot be written."""
        self.path = path
        self._made_parent = not path.parent.exists()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("xb")
        except OSError as error:
            raise RunError(f"log {path}: {error.strerror}") from error
        self._writer = Writer(self._file, chunk_bytes, CompressionType.ZSTD)
        self._writer.start(profile="", library="oat-edge")
        self._offset_ns = time.time_ns() - time.monotonic_ns()
        self._sequence = 0
        self._last_rung = ""
        self._last_throttle = ""
        self._last_giving_up = ""
        robot = session.robot
        self._writer.add_metadata("session", {"session": session.as_json()})
        fields = (
            _schema(tick_dtype(len(robot.joints), len(robot.buses))),
            _schema(plan_dtype(tokens)),
        )
        self._tick = self._channel(TICK_TOPIC, fields[0] | {"rung": {"type": "string"}})
        self._plan = self._channel(PLAN_TOPIC, fields[1])
        text = {"type": "string"}
        self._event = self._channel(EVENT_TOPIC, {"event": text, "reason": text, "rung": text})

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.finish()  # type: ignore[no-untyped-call]
        self._file.close()
        if not self._sequence:
            self._discard()

    def _discard(self) -> None:
        """Leave nothing behind where nothing happened."""
        self.path.unlink(missing_ok=True)
        if self._made_parent:
            with suppress(OSError):  # another run's log is in it by now
                self.path.parent.rmdir()

    def ticks(self, ticks: Records) -> None:
        """Log ticks, in order, and the changes of rung that they brought."""
        for message in _plain(ticks):
            message["rung"] = Rung(message["rung"]).label
            message["mode"] = Mode(message["mode"]).name.lower()
            self._write(self._tick, message["due_ns"], message)
            if message["rung"] != self._last_rung:
                self._last_rung = message["rung"]
                self.event("rung", message["reason"], message["due_ns"])
            self._note_giving_up(message)
        self._file.flush()

    def _note_giving_up(self, tick: dict[str, Any]) -> None:
        """An attempt to engage the joints that came to nothing changes no rung."""
        gave_up = tick["reason"] if tick["reason"].startswith(GAVE_UP) else ""
        if gave_up and gave_up != self._last_giving_up:
            self.event("engaging", gave_up, tick["due_ns"])
        self._last_giving_up = gave_up

    def plans(self, plans: Records) -> None:
        """Log plans, in order, and the changes of clocks that they tell of."""
        for message in _plain(plans):
            self._write(self._plan, message["published_ns"], message)
            if message["throttle_reason"] != self._last_throttle:
                self._last_throttle = message["throttle_reason"]
                reason = self._last_throttle or "no longer slowed down"
                self.event("throttle", reason, message["published_ns"])

    def event(self, event: str, reason: str, now_ns: int) -> None:
        """Log an event: what happened, why, and on which rung."""
        message = {"event": event, "reason": reason, "rung": self._last_rung}
        self._write(self._event, now_ns, message)

    def _channel(self, topic: str, properties: dict[str, Any]) -> int:
        schema = {"type": "object", "properties": properties}
        name = topic.strip("/").replace("/", ".")
        number = self._writer.register_schema(name, "jsonschema", json.dumps(schema).encode())
        return self._writer.register_channel(topic, "json", number)

    def _write(self, channel: int, now_ns: int, message: dict[str, Any]) -> None:
        self._sequence += 1
        stamp_ns = now_ns + self._offset_ns
        data = orjson.dumps(message)
        self._writer.add_message(channel, stamp_ns, data, stamp_ns, self._sequence)


def _plain(records: Records) -> Iterator[dict[str, Any]]:
    names = records.dtype.names or ()
    columns = [_plain_column(records[name]) for name in names]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _plain_column(column: Records) -> list[Any]:
    values: list[Any] = column.tolist()
    if column.dtype.kind != "S":
        return values
    return [value.decode(errors="replace") for value in values]


def _schema(dtype: Any) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name in dtype.names:
        field = dtype[name]
        kind = {"i": "integer", "f": "number", "S": "string"}[field.base.kind]
        element = {"type": kind}
        properties[name] = {"type": "array", "items": element} if field.shape else element
    return properties
