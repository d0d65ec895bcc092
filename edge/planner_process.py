"""The planner process: builds the engine, measures it, then plans whenever the bell rings."""

from __future__ import annotations

import select

from edge import bundle
from edge.engines import build_engine
from edge.planner import Planner, measure
from edge.prefix import LatencyModel
from edge.process import make_real_time, ready
from edge.records import Channels
from edge.session import Bell, Session

ORPHAN_CHECK_MS = 1_000


def run(session: Session) -> None:
    """Plan until ended by a signal, or until the session's directory is gone."""
    settings = session.robot.planner
    loaded = bundle.load(session.bundle)
    engine = build_engine(loaded, settings.engine, settings.precision)
    make_real_time(session, "planner", settings)
    channels = Channels.open(session, loaded.manifest)
    model = LatencyModel(measure(engine, loaded.manifest))
    planner = Planner(engine, loaded.manifest, channels, model, session.max_prefix)
    bell = Bell(session.file("bell"))
    poll = select.poll()
    poll.register(bell.descriptor, select.POLLIN)
    ready(session, "planner")
    while session.directory.exists():
        if not poll.poll(ORPHAN_CHECK_MS):
            continue
        bell.silence()
        request = channels.request.take()
        if request is not None:
            planner.plan(request)
