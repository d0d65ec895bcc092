"""Warming up for a plan that is expected, so that it finds its code and weights in the caches.

After a third of a second of other work the caches are cold and the core may sleep: a first token
then takes thrice its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from edge.bundle import Manifest
from edge.engines import Engine
from edge.latency import LatencyModel
from edge.rates import NS_PER_MS, NS_PER_US
from edge.records import request_dtype
from edge.shared_memory import Mailbox, Record

LEAD_NS = 3 * NS_PER_MS  # a whole plan is behind us so long before the request
SPREAD = 1.5  # and it may take so much longer than usual
STAGE_SPREAD = 2.5  # so may a stage, for which the request would have to wait
LOOK_OUT_NS = 12 * NS_PER_MS  # so long beyond its time a request is looked out for: a late tick
SPIN_NS = 400 * NS_PER_US  # about the noticed moment, so near that nobody else needs the core
PAUSE_S = 150e-6  # at other times, after every stage: the kernel may have work here for the bus


def run_through(engine: Engine, features: Record, tokens: int) -> None:
    """A whole plan for nobody."""
    engine.prefill(features)
    for _ in range(tokens):
        engine.next_token()
    engine.decode(tokens)
    engine.decode_full(tokens)


def run_shortest(engine: Engine, features: Record) -> None:
    """A plan of one token for nobody, without its whole chunk."""
    engine.prefill(features)
    engine.next_token()
    engine.decode(1)


class WarmUp:
    """Runs plans for nobody shortly before a request is expected, and looks out for it."""

    def __init__(
        self,
        engine: Engine,
        manifest: Manifest,
        requests: Mailbox,
        model: LatencyModel,
        clock: Callable[[], int],
        rehearse: Callable[[Record], None],
    ) -> None:
        """``rehearse`` goes the whole way of a plan of one token, for nobody."""
        self._engine = engine
        self._rehearse = rehearse
        self._requests = requests
        self._model = model
        self._clock = clock
        self._tokens = manifest.tokenizer.tokens
        self._request = np.zeros((), request_dtype(manifest))
        self._expected_ns = 0

    def expect(self, request_ns: int) -> None:
        """A request will come at about this time."""
        self._expected_ns = request_ns

    @property
    def due_ns(self) -> int:
        """When to ``run`` so that a whole plan ends before the request; 0 if none is expected."""
        if not self._expected_ns:
            return 0
        return self._expected_ns - self._usually(SPREAD * self._model.profile.plan_ns) - LEAD_NS

    def run(self) -> Record | None:
        """Run a whole plan, stay warm, and return the request if it comes meanwhile.

        With no time left for a whole plan nothing is run: the request would have to wait for it.
        """
        expected_ns, self._expected_ns = self._expected_ns, 0
        if self._clock() + self._usually(self._model.profile.plan_ns) > expected_ns:
            return None
        self.run_through()
        return self._stay_warm(expected_ns + LOOK_OUT_NS)

    def run_through(self) -> None:
        """A whole plan, now."""
        run_through(self._engine, self._request["features"], self._tokens)

    def rehearse(self) -> None:
        """The way of a shortest plan, now."""
        self._rehearse(self._request)

    def _stay_warm(self, until_ns: int) -> Record | None:
        """Make shortest plans for nobody until the request comes, and return it.

        The servo gives notice of the moment when it will: nothing is begun any more that would
        last beyond that. What is left of the time is prefill's, with which the plan will begin.
        """
        profile = self._model.profile
        shortest_ns = profile.prefill_ns + profile.token_ns[0] + profile.decode_ns
        due_ns = until_ns
        while self._clock() < until_ns:
            request = self._requests.take()
            if request is not None and int(request["plan"]):
                return request
            if request is not None:
                due_ns = int(request["observed_ns"])
            left_ns = due_ns - self._clock()
            if left_ns > self._usually(STAGE_SPREAD * shortest_ns):
                self.rehearse()
            elif left_ns > self._usually(STAGE_SPREAD * profile.prefill_ns):
                self._engine.prefill(self._request["features"])
            if abs(left_ns) > SPIN_NS:
                time.sleep(PAUSE_S)
        return None

    def _usually(self, profiled_ns: float) -> int:
        return round(self._model.factor * profiled_ns)
