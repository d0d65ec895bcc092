"""Consistent overhead byte stuffing (Cheshire and Baker, 1999): no zero inside, one zero after."""

from __future__ import annotations

DELIMITER = b"\0"
MAX_RUN = 254  # non-zero bytes that one code byte can announce


def encode(data: bytes) -> bytes:
    """Return ``data`` without zeros; the delimiter is not appended."""
    encoded = bytearray()
    blocks = data.split(DELIMITER)
    for number, block in enumerate(blocks):
        while len(block) >= MAX_RUN and (len(block) > MAX_RUN or number < len(blocks) - 1):
            encoded += b"\xff" + block[:MAX_RUN]
            block = block[MAX_RUN:]
        if len(block) == MAX_RUN:  # a full run at the very end needs no further code
            encoded += b"\xff" + block
        else:
            encoded += bytes((len(block) + 1,)) + block
    return bytes(encoded)


def decode(encoded: bytes) -> bytes | None:
    """Undo ``encode``; None where it cannot have come from there."""
    decoded = bytearray()
    at = 0
    while at < len(encoded):
        code = encoded[at]
        end = at + code
        if code == 0 or end > len(encoded) or 0 in encoded[at + 1 : end]:
            return None
        decoded += encoded[at + 1 : end]
        if code <= MAX_RUN and end < len(encoded):
            decoded += DELIMITER
        at = end
    return bytes(decoded)


class Deframer:
    """Cuts a byte stream into payloads; ``damaged`` counts frames that COBS or length refuse."""

    def __init__(self, max_payload: int) -> None:
        self.damaged = 0
        self._max_frame = max_payload + 1 + max_payload // MAX_RUN
        self._pending = b""
        self._overflowed = False

    def reset(self) -> None:
        """Forget an unfinished frame."""
        self._pending, self._overflowed = b"", False

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream and return the payloads that they complete."""
        *complete, rest = (self._pending + data).split(DELIMITER)
        payloads = []
        for frame in complete:
            payload = None if self._overflowed else self._payload(frame)
            self._overflowed = False
            if payload:
                payloads.append(payload)
            elif payload is None:
                self.damaged += 1
        if len(rest) > self._max_frame:
            self._overflowed, rest = True, b""
        self._pending = rest
        return payloads

    def _payload(self, frame: bytes) -> bytes | None:
        return None if len(frame) > self._max_frame else decode(frame)
