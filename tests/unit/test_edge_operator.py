from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.ladder import Mode
from edge.operator import Operator
from edge.rates import ABANDONED_NS, LEASE_NS
from edge.records import CONTROL
from edge.safety import Stop
from edge.shared_memory import Mailbox

T0 = 1_000_000_000_000


@pytest.fixture
def control(tmp_path: Path) -> Mailbox:
    return Mailbox(tmp_path / "control", CONTROL, create=True)


def say(control: Mailbox, mode: Mode, now_ns: int, episode: int = 0) -> None:
    record = np.zeros((), CONTROL)
    record["mode"], record["episode"], record["heartbeat_ns"] = mode, episode, now_ns
    control.post(record)


def test_before_any_word_nothing_is_asked_for(control: Mailbox) -> None:
    operator = Operator(control, T0)
    operator.listen()
    assert operator.mode is Mode.IDLE
    assert operator.lease(T0) is None


def test_the_newest_word_counts(control: Mailbox) -> None:
    operator = Operator(control, T0)
    say(control, Mode.HOME, T0 + 1, 1)
    say(control, Mode.POLICY, T0 + 2, 2)
    operator.listen()
    assert (operator.mode, operator.episode) == (Mode.POLICY, 2)


def test_a_silent_supervisor_stops_the_arm_just_after_its_lease(control: Mailbox) -> None:
    operator = Operator(control, T0)
    say(control, Mode.POLICY, T0 + 5)
    operator.listen()
    assert operator.lease(T0 + 5 + LEASE_NS) is None
    assert operator.lease(T0 + 5 + LEASE_NS + 1) == Stop("the supervisor is silent")


def test_a_word_renews_the_lease(control: Mailbox) -> None:
    operator = Operator(control, T0)
    late_ns = T0 + 2 * LEASE_NS
    assert operator.lease(late_ns) is not None
    say(control, Mode.POLICY, late_ns)
    operator.listen()
    assert operator.lease(late_ns + LEASE_NS) is None


def test_an_old_word_read_late_does_not_renew_the_lease(control: Mailbox) -> None:
    operator = Operator(control, T0)
    say(control, Mode.POLICY, T0)
    operator.listen()
    operator.listen()
    assert operator.lease(T0 + LEASE_NS + 1) is not None


def test_the_servo_ends_when_asked_to_or_when_nobody_is_there(control: Mailbox) -> None:
    operator = Operator(control, T0)
    assert not operator.wants_the_end(T0 + ABANDONED_NS)
    assert operator.wants_the_end(T0 + ABANDONED_NS + 1)
    say(control, Mode.SHUTDOWN, T0)
    operator.listen()
    assert operator.wants_the_end(T0)
