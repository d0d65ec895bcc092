"""The planner process: builds the engine, measures it, then plans whenever the bell rings."""

from __future__ import annotations

import logging
import select
import time
from functools import partial

from edge.bundle import Manifest
from edge.engines import Engine, build_engine, resolve
from edge.engines.coarse_table import with_coarse_table
from edge.engines.whole_chunk import WholeChunk, outlasts_the_head
from edge.latency import LatencyModel, Profile
from edge.planner import Planner
from edge.process import busy, is_orphaned, make_real_time, ready
from edge.profiles import ProfileKey, StoredProfile, find_profile
from edge.profiling import measure
from edge.rates import NS_PER_MS, NS_PER_US
from edge.records import Channels
from edge.session import Bell, Session
from edge.signature import load_admitted
from edge.throttling import watch_throttling

ORPHAN_CHECK_MS = 1_000
START_PLANS = 60  # measured at start where the device has no stored profile
WARMING_PLANS = 5


def run(session: Session) -> None:
    """Plan until ended by a signal, or until the session's directory is gone."""
    logging.basicConfig(level=logging.INFO)  # into planner.log: which engine ``auto`` chose
    settings = session.robot.planner
    loaded = load_admitted(session.bundle, session.robot.bundle_policy)
    name = resolve(loaded, settings.engine, settings.precision)
    engine = build_engine(loaded, name, settings.precision, partial(busy, session, "planner"))
    whole = outlasts_the_head(settings.budget_us * NS_PER_US, loaded.manifest)
    engine = WholeChunk(engine) if whole else with_coarse_table(engine, loaded.manifest)
    make_real_time(session, "planner", settings)
    channels = Channels.open(session, loaded.manifest)
    key = ProfileKey.here(loaded.digest, name, settings.precision)
    stored = None if whole else find_profile(key)  # it is one of heads
    watch = watch_throttling(stored.clocks if stored is not None else None)
    model = LatencyModel(_profile(stored, loaded.manifest, engine, settings.miss_target))
    planner = Planner(engine, loaded.manifest, channels, model, session.max_prefix)
    bell = Bell(session.file("bell"))
    poll = select.poll()
    poll.register(bell.descriptor, select.POLLIN)
    ready(session, "planner")
    while not is_orphaned(session):
        pause_ms = _pause_ms(planner.warm_up.due_ns)
        if poll.poll(pause_ms):
            bell.silence()
            request = channels.request.take()
        else:
            request = planner.warm_up.run() if planner.warm_up.due_ns else None
        if request is not None:
            planner.answer(request)
        throttle = watch.poll(time.monotonic_ns())
        if throttle is not None:
            planner.slow_down(throttle)


def _profile(
    stored: StoredProfile | None, manifest: Manifest, engine: Engine, miss_target: float
) -> Profile:
    """The device's stored profile; where there is none, a short one measured now."""
    samples = measure(engine, manifest, START_PLANS if stored is None else WARMING_PLANS)
    return (stored or samples).profile(miss_target)


def _pause_ms(until_ns: int) -> int:
    """How long to listen for the bell: to the next warm-up, if there is one."""
    if not until_ns:
        return ORPHAN_CHECK_MS
    return max(0, (until_ns - time.monotonic_ns()) // NS_PER_MS)
