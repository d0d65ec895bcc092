"""The diagnostic console of a moteus servo through CAN-FD (reference manual, A.1.c: tunnels).

A command goes in ``0x40 channel length data`` subframes, its output is fetched by polls
(``0x42 channel most``), each answered by ``0x41 channel length data``.
"""

from __future__ import annotations

from firmware_bridge.can_bus.frame import CanFrame
from firmware_bridge.can_bus.link import CanLink
from firmware_bridge.moteus import codec

CLIENT_DATA, SERVER_DATA, CLIENT_POLL = 0x40, 0x41, 0x42
CHANNEL = 1
MOST = 48  # bytes in one answer
POLLS = 20
HEAD = 3


def say(link: CanLink, servo_id: int, command: str, answers_as: int) -> str:
    """Run one command; returns the first line of its output, "" if there is none.

    Commands are shorter than ``MOST`` bytes. ``answers_as``: the id that the servo has afterwards.
    Raises ``BusTimeout`` when it does not answer.
    """
    data = f"{command}\n".encode()
    head = bytes((CLIENT_DATA, CHANNEL, len(data)))
    link.tell([codec.frame(codec.command_id(servo_id, wants_answer=False), head + data)])
    poll = codec.frame(codec.command_id(answers_as), bytes((CLIENT_POLL, CHANNEL, MOST)))
    said = b""
    for _ in range(POLLS):
        said += link.ask([poll], lambda frame: _output(frame, answers_as), f"servo {answers_as}")
        if b"\n" in said:
            break
    return said.partition(b"\n")[0].decode(errors="replace").strip()


def _output(frame: CanFrame, servo_id: int) -> bytes | None:
    """What a servo's answer to a poll holds, None for any other frame."""
    data = frame.data
    if frame.can_id != codec.answer_id(servo_id) or len(data) < HEAD:
        return None
    if data[:2] != bytes((SERVER_DATA, CHANNEL)):
        return None
    return data[HEAD : HEAD + data[2]]
