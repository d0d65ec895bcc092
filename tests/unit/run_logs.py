"""Logs of made-up runs, written by the recorder itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.ladder import Mode, Rung
from edge.recorder import Recorder
from edge.records import plan_dtype, tick_dtype
from edge.robot import load_robot
from edge.session import Session
from edge.shared_memory import Record

TICK_NS = 5_000_000
START_NS = 1_000_000_000
TOKENS = 8
JOINTS = 7
RUNGS = (Rung.DISENGAGED, Rung.RAMP, Rung.FULL, Rung.PREFIX, Rung.TAIL, Rung.HOLD)
TICKS_PER_RUNG = 10


def tick(number: int, episode: int = 1) -> Record:
    """Tick ``number``: the rungs of ``RUNGS`` in turn; joint j at ``number + j``, led by 0.5."""
    record = np.zeros((), tick_dtype(JOINTS))
    rung = RUNGS[min(number // TICKS_PER_RUNG, len(RUNGS) - 1)]
    driven = rung not in (Rung.DISENGAGED, Rung.RAMP)
    record["tick"] = number
    record["due_ns"] = START_NS + number * TICK_NS
    record["rung"] = rung
    record["mode"] = Mode.POLICY if driven else Mode.HOME
    record["episode"] = episode
    record["sent"] = rung is not Rung.DISENGAGED
    record["measured"] = number + np.arange(JOINTS)
    record["command"] = record["measured"] + 0.5
    record["late_ns"], record["read_ns"] = 2_000, 1_500_000
    record["decide_ns"], record["write_ns"] = 150_000, 40_000
    record["reason"] = b"as \xc2\xb5sual"
    return record


def plan(number: int, prefix: int, late: bool = False) -> Record:
    """A plan of 0.1 ms to start, 0.2 ms prefill, 0.3 ms a token and 0.4 ms decode."""
    record = np.zeros((), plan_dtype(TOKENS))
    observed_ns = START_NS + (20 + 8 * number) * TICK_NS
    record["plan"], record["observed_ns"] = number, observed_ns
    record["started_ns"] = observed_ns + 100_000
    record["prefill_ns"] = 200_000
    record["token_ns"][:prefix] = 300_000
    record["prefix"], record["late"], record["decode_ns"] = prefix, late, 400_000
    record["published_ns"] = observed_ns + 300_000 + 300_000 * prefix + 400_000
    return record


def write_log(path: Path, ticks: int = 60, plans: tuple[int, ...] = (8, 4, 1)) -> Path:
    """A log of so many ticks, and of plans with these prefix lengths, the last one late."""
    session = Session(
        directory=path.parent, robot=load_robot("viperx"), bundle=path.parent / "bundle", seed=7
    )
    with Recorder(path, session, TOKENS, chunk_bytes=4096) as recorder:
        for number in range(ticks):
            recorder.ticks(tick(number)[None])
        for number, prefix in enumerate(plans):
            recorder.plans(plan(number, prefix, late=number == len(plans) - 1)[None])
        recorder.event("episode", "1 of 1", START_NS)
    return path
