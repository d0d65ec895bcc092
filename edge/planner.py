"""The planner: from an observation to a chunk before its deadline, in a process of its own.

The longest prefix that fits is decoded; a coarse chunk comes first where it is cheap. When the
executed part is in the mailbox, the rest of the horizon is decoded too: the tail that the servo
lives on if the next chunk does not come.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import cycle

import numpy as np

from edge.bundle import Manifest
from edge.engines import Engine, Float32Array
from edge.engines.coarse_table import CoarseTable
from edge.latency import LatencyModel
from edge.prefix import another_token_fits, coarse_first
from edge.rates import NS_PER_MS, period_ns
from edge.records import Channels, chunk_dtype, plan_dtype, request_dtype
from edge.shared_memory import Record
from edge.throttling import FREE, Throttle

REHEARSAL_LEAD_NS = NS_PER_MS  # a rehearsal has its whole plan behind it so long before
REHEARSAL_SPREAD = 1.5  # and may take so much longer than usual
LOOK_OUT_NS = 3 * NS_PER_MS  # how long an expected request is looked out for
STAGE_SPREAD = 1.5  # a stage may take so much longer than usual


class Planner:
    """Answers requests with chunks on one engine; ``model`` learns from every plan.

    ``clock`` is monotonic, ns, and the same that requests are stamped with.
    """

    def __init__(
        self,
        engine: Engine,
        manifest: Manifest,
        channels: Channels,
        model: LatencyModel,
        max_prefix: int | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._engine = engine
        self._coarse_is_free = isinstance(engine, CoarseTable)
        self._channels = channels
        self._model = model
        self._clock = clock
        self._tokens = min(max_prefix or manifest.tokenizer.tokens, manifest.tokenizer.tokens)
        self._chunk = np.zeros((), chunk_dtype(manifest))
        self._plan = np.zeros((), plan_dtype(manifest.tokenizer.tokens))
        self._features = np.zeros((), request_dtype(manifest))["features"]
        self._step_ns = period_ns(manifest.action.rate_hz)
        self._execution_ns = manifest.action.execution_horizon * self._step_ns
        self._expected_ns = 0
        self.slow_down(FREE)

    def slow_down(self, throttle: Throttle) -> None:
        """Reckon with other clocks from the next plan on, before it can be late."""
        self._model.rescale(throttle.factor / (float(self._plan["throttle"]) or 1.0))
        self._plan["throttle"] = throttle.factor
        self._plan["throttle_reason"] = throttle.reason.encode()

    def answer(self, request: Record) -> None:
        """Plan what was asked for. A request so old that it has been made anew is passed over."""
        if int(request["plan"]) == 0:
            self._expected_ns = int(request["observed_ns"])
        elif self._clock() < int(request["deadline_ns"]) + self._step_ns:
            self._answer(request)

    def _answer(self, request: Record) -> None:
        """Observation → tokens → chunk; records how long each stage took."""
        self._begin(request, self._clock())
        self._engine.prefill(request["features"])
        self._plan["prefill_ns"] = self._clock() - int(self._plan["started_ns"])
        prefix = self._generate()
        decoding_ns = self._clock()
        self._publish(self._engine.decode(prefix), prefix)
        self._finish(prefix, decoding_ns, self._clock())
        self._publish(self._engine.decode_full(prefix), prefix)
        self._expected_ns = int(request["observed_ns"]) + self._execution_ns

    def _begin(self, request: Record, now_ns: int) -> None:
        for name in ("plan", "epoch", "observed_ns"):
            self._chunk[name] = request[name]
        for name in ("plan", "observed_ns", "deadline_ns"):
            self._plan[name] = request[name]
        self._plan["started_ns"] = now_ns
        self._plan["token_ns"] = 0
        self._decodes = 0

    def _generate(self) -> int:
        """Generate tokens until no further one fits; returns how many there are, at least one."""
        deadline_ns = int(self._plan["deadline_ns"])
        budget_ns = deadline_ns - int(self._plan["observed_ns"])
        coarse = self._coarse_is_free or coarse_first(self._model, budget_ns)
        for prefix in range(1, self._tokens + 1):
            token_ns = self._time_token(prefix - 1)
            if prefix == self._tokens:
                break
            if prefix == 1 and coarse:
                self._publish(self._engine.decode(1), 1)
            now_ns = self._clock()
            if not another_token_fits(self._model, prefix, token_ns, now_ns, deadline_ns):
                break
        return prefix

    def _time_token(self, index: int) -> int:
        before_ns = self._clock()
        self._engine.next_token()
        taken_ns = self._clock() - before_ns
        self._plan["token_ns"][index] = taken_ns
        return taken_ns

    def _publish(self, actions: Float32Array, prefix: int) -> None:
        """Post the chunk. Actions that are not finite never leave: the servo lives on its tail."""
        self._decodes += 1
        if not np.isfinite(actions).all():
            return
        self._chunk["prefix"] = prefix
        self._chunk["valid"] = len(actions)
        self._chunk["actions"][: len(actions)] = actions
        self._channels.chunk.post(self._chunk)

    def _finish(self, prefix: int, decoding_ns: int, published_ns: int) -> None:
        plan = self._plan
        plan["prefix"] = prefix
        plan["coarse"] = self._decodes > 1
        plan["decode_ns"] = published_ns - decoding_ns
        plan["published_ns"] = published_ns
        plan["late"] = published_ns > int(plan["deadline_ns"])
        self._channels.plans.append(plan)
        if prefix > 1 or not self._coarse_is_free:  # a look-up tells nothing of the device
            self._model.observe(plan["token_ns"][:prefix], published_ns - decoding_ns)

    @property
    def rehearsal_ns(self) -> int:
        """When to rehearse, so that it ends before the next request; 0 while none is expected."""
        if not self._expected_ns:
            return 0
        plan_ns = round(REHEARSAL_SPREAD * self._model.factor * self._model.profile.plan_ns)
        return self._expected_ns - plan_ns - REHEARSAL_LEAD_NS

    def rehearse(self) -> Record | None:
        """Run a plan for nobody, stay warm, and look out for the request that is expected now.

        After a third of a second of other work the caches are cold and the core may sleep: a first
        token then takes thrice its time. Returns the request if it came during the look-out. With
        no time left for a whole plan there is no rehearsal: the request would have to wait for it.
        """
        expected_ns, self._expected_ns = self._expected_ns, 0
        if self._clock() + round(self._model.factor * self._model.profile.plan_ns) > expected_ns:
            return None
        self._engine.prefill(self._features)
        for _ in range(self._tokens):
            self._engine.next_token()
        self._engine.decode_full(self._tokens)
        return self._stay_warm(expected_ns + LOOK_OUT_NS)

    def _stay_warm(self, until_ns: int) -> Record | None:
        """Run the stages of a shortest plan in turn until the request comes, and return it.

        The servo gives notice of the moment when it will: no stage is begun any more that would
        last beyond that.
        """
        stages = cycle(self._shortest_plan())
        stage, usual_ns = next(stages)
        due_ns = until_ns
        while self._clock() < until_ns:
            request = self._channels.request.take()
            if request is not None and int(request["plan"]):
                return request
            if request is not None:
                due_ns = int(request["observed_ns"])
            if self._clock() + round(STAGE_SPREAD * self._model.factor * usual_ns) < due_ns:
                stage()
                stage, usual_ns = next(stages)
        return None

    def _shortest_plan(self) -> list[tuple[Callable[[], object], int]]:
        """The stages of a plan of one token, with how long each usually takes, ns."""
        profile = self._model.profile
        return [
            (partial(self._engine.prefill, self._features), profile.prefill_ns),
            (self._first_decode, profile.token_ns[0] + profile.decode_ns),
        ]

    def _first_decode(self) -> None:
        self._engine.next_token()
        self._engine.decode(1)
