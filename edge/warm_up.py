"""Warming up for a plan that is expected, so that it finds its code and weights in the caches.

After a third of a second of other work the caches are cold and the core may sleep: a first token
then takes thrice its time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import cycle

import numpy as np

from edge.bundle import Manifest
from edge.engines import Engine
from edge.latency import LatencyModel
from edge.rates import NS_PER_MS
from edge.records import request_dtype
from edge.shared_memory import Mailbox, Record

LEAD_NS = NS_PER_MS  # a whole plan is behind us so long before the request
SPREAD = 1.5  # and it may take so much longer than usual
STAGE_SPREAD = 3.0  # so may a stage, for which the request would have to wait
LOOK_OUT_NS = 3 * NS_PER_MS  # how long a request is looked out for beyond its time


def run_through(engine: Engine, features: Record, tokens: int) -> None:
    """A whole plan for nobody."""
    engine.prefill(features)
    for _ in range(tokens):
        engine.next_token()
    engine.decode(tokens)
    engine.decode_full(tokens)


class WarmUp:
    """Runs plans for nobody shortly before a request is expected, and looks out for it."""

    def __init__(
        self,
        engine: Engine,
        manifest: Manifest,
        requests: Mailbox,
        model: LatencyModel,
        clock: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._requests = requests
        self._model = model
        self._clock = clock
        self._tokens = manifest.tokenizer.tokens
        self._features = np.zeros((), request_dtype(manifest))["features"]
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
        run_through(self._engine, self._features, self._tokens)

    def _stay_warm(self, until_ns: int) -> Record | None:
        """Run the stages of a shortest plan in turn until the request comes, and return it.

        The servo gives notice of the moment when it will: no stage is begun any more that would
        last beyond that.
        """
        stages = cycle(self._shortest_plan())
        stage, usual_ns = next(stages)
        due_ns = until_ns
        while self._clock() < until_ns:
            request = self._requests.take()
            if request is not None and int(request["plan"]):
                return request
            if request is not None:
                due_ns = int(request["observed_ns"])
            if self._clock() + self._usually(STAGE_SPREAD * usual_ns) < due_ns:
                stage()
                stage, usual_ns = next(stages)
        return None

    def _shortest_plan(self) -> list[tuple[Callable[[], object], int]]:
        """The stages of a plan of one token, with how long each usually takes, ns."""
        profile = self._model.profile
        return [
            (partial(self._engine.prefill, self._features), profile.prefill_ns),
            (self._decode_first, profile.token_ns[0] + profile.decode_ns),
        ]

    def _decode_first(self) -> None:
        self._engine.next_token()
        self._engine.decode(1)

    def _usually(self, profiled_ns: float) -> int:
        return round(self._model.factor * profiled_ns)
