"""Error frames as Linux encodes them (linux/can/error.h), so that one reader suits all."""

from __future__ import annotations

from firmware_bridge.can_bus.client import News
from firmware_bridge.can_bus.error_state import PASSIVE_LIMIT, WARNING_LIMIT
from firmware_bridge.can_bus.node import EventKind

CONTROLLER = 0x04
PROTOCOL = 0x08
NO_ACK = 0x20
BUS_OFF = 0x40
BUS_ERROR = 0x80
RESTARTED = 0x100
COUNTERS = 0x200

RX_OVERFLOW = 0x01
RX_WARNING, TX_WARNING = 0x04, 0x08
RX_PASSIVE, TX_PASSIVE = 0x10, 0x20
ACTIVE_AGAIN = 0x40


def error_frame(news: News, bus_off: bool) -> tuple[int, bytes] | None:
    """(id, 8 data bytes) of the error frame for an event, or None if it has none."""
    status = 0
    if news.kind is EventKind.STATE:
        code = BUS_OFF if bus_off else CONTROLLER
        status = 0 if bus_off else _controller_status(news)
    elif news.kind is EventKind.RESTARTED:
        code = RESTARTED
    elif news.kind is EventKind.NO_ACK:
        code = NO_ACK
    elif news.kind is EventKind.BUS_ERROR:
        code = PROTOCOL | BUS_ERROR
    elif news.kind is EventKind.OVERFLOW:
        code, status = CONTROLLER, RX_OVERFLOW
    else:
        return None
    counters = bytes((min(news.transmit_errors, 255), min(news.receive_errors, 255)))
    return code | COUNTERS, bytes((0, status, 0, 0, 0, 0)) + counters


def _controller_status(news: News) -> int:
    status = 0
    if news.transmit_errors > PASSIVE_LIMIT:
        status |= TX_PASSIVE
    elif news.transmit_errors >= WARNING_LIMIT:
        status |= TX_WARNING
    if news.receive_errors > PASSIVE_LIMIT:
        status |= RX_PASSIVE
    elif news.receive_errors >= WARNING_LIMIT:
        status |= RX_WARNING
    return status or ACTIVE_AGAIN
