"""What each bus cost, and the base's velocities as the servo hears them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.bus_figures import BusFigures
from edge.drive import DriveReference
from edge.rates import DRIVE_NS
from edge.records import drive_dtype, tick_dtype
from edge.shared_memory import Mailbox

NOW_NS = 1_000_000_000_000


def test_each_bus_is_counted_for_itself() -> None:
    figures = BusFigures(("arm", "base"))
    ticks = np.zeros(200, tick_dtype(3, 2))
    ticks["bus_ns"][:, 0] = 1_600_000
    ticks["bus_ns"][:, 1] = 900_000
    ticks["bus_ns"][-10:, 1] = 3_000_000
    ticks["bus_missed"][-10:, 1] = 1
    figures.add(ticks[:150])
    figures.add(ticks[150:])
    summary = figures.summary()
    assert list(summary) == ["arm", "base"]
    assert summary["arm"]["cycles"] == summary["base"]["cycles"] == 200
    assert (summary["arm"]["misses"], summary["base"]["misses"]) == (0, 10)
    assert summary["arm"]["cycle_p50_us"] == pytest.approx(1600, rel=0.02)
    assert summary["base"]["cycle_p50_us"] == pytest.approx(900, rel=0.02)
    assert summary["base"]["cycle_p99_us"] == pytest.approx(3000, rel=0.02)


def test_the_bases_velocities_count_until_they_are_old_and_not_from_another_clock(
    tmp_path: Path,
) -> None:
    sender = Mailbox(tmp_path / "drive", drive_dtype(2), create=True)
    heard = DriveReference(Mailbox(tmp_path / "drive", drive_dtype(2)))
    heard.listen()
    assert heard.velocity_rad_s(NOW_NS) is None
    record = np.zeros((), drive_dtype(2))
    record["stamp_ns"], record["velocity_rad_s"] = NOW_NS, (1.0, -2.0)
    sender.post(record)
    heard.listen()
    for age_ns, counts in ((0, True), (DRIVE_NS, True), (DRIVE_NS + 1, False)):
        for now_ns in (NOW_NS + age_ns, NOW_NS - age_ns):
            velocity = heard.velocity_rad_s(now_ns)
            assert (velocity is not None) == counts
    heard.forget()
    assert heard.velocity_rad_s(NOW_NS) is None
