"""The planner: from an observation to a chunk before its deadline, in a process of its own.

The longest prefix that fits is decoded; a coarse chunk comes first where it is cheap. When the
executed part is in the mailbox, the rest of the horizon is decoded too: the tail that the servo
lives on if the next chunk does not come.
"""

from __future__ import annotations

import time

import numpy as np

from edge.bundle import Manifest
from edge.engines import Engine, Float32Array
from edge.prefix import LatencyModel, Profile, another_token_fits, coarse_first
from edge.rates import NS_PER_MS, period_ns
from edge.records import Channels, chunk_dtype, plan_dtype, request_dtype
from edge.shared_memory import Record

WARM_UP_PLANS = 10
PROFILE_PLANS = 40
REHEARSAL_LEAD_NS = 3 * NS_PER_MS  # a rehearsal ends so long before the request it is for
LOOK_OUT_NS = 3 * NS_PER_MS  # how long an expected request is looked out for


class Planner:
    """Plans on one engine; ``model`` learns from every plan."""

    def __init__(
        self,
        engine: Engine,
        manifest: Manifest,
        channels: Channels,
        model: LatencyModel,
        max_prefix: int | None = None,
    ) -> None:
        self._engine = engine
        self._channels = channels
        self._model = model
        self._tokens = min(max_prefix or manifest.tokenizer.tokens, manifest.tokenizer.tokens)
        self._chunk = np.zeros((), chunk_dtype(manifest))
        self._plan = np.zeros((), plan_dtype(manifest.tokenizer.tokens))
        self._features = np.zeros((), request_dtype(manifest))["features"]
        self._step_ns = period_ns(manifest.action.rate_hz)
        self._execution_ns = manifest.action.execution_horizon * self._step_ns
        self._expected_ns = 0

    def answer(self, request: Record) -> None:
        """Plan what was asked for. A request so old that it has been made anew is passed over."""
        if int(request["plan"]) == 0:
            self._expected_ns = int(request["observed_ns"])
        elif time.monotonic_ns() < int(request["deadline_ns"]) + self._step_ns:
            self._answer(request)

    def _answer(self, request: Record) -> None:
        """Observation → tokens → chunk; posts the chunk and records how long each stage took."""
        started_ns = time.monotonic_ns()
        observed_ns, deadline_ns = int(request["observed_ns"]), int(request["deadline_ns"])
        self._begin(request, started_ns)
        self._engine.prefill(request["features"])
        prefilled_ns = time.monotonic_ns()
        self._plan["prefill_ns"] = prefilled_ns - observed_ns
        coarse = coarse_first(self._model, deadline_ns - observed_ns)
        prefix = self._generate(deadline_ns, coarse)
        decoding_ns = time.monotonic_ns()
        self._publish(self._engine.decode(prefix), prefix)
        published_ns = time.monotonic_ns()
        self._publish(self._engine.decode_full(prefix), prefix)
        self._plan["prefix"] = prefix
        self._plan["decode_ns"] = published_ns - decoding_ns
        self._plan["published_ns"] = published_ns
        self._plan["late"] = published_ns > deadline_ns
        self._channels.plans.append(self._plan)
        self._expected_ns = observed_ns + self._execution_ns
        self._model.observe(prefix, 1 + (coarse and prefix > 1), published_ns - prefilled_ns)

    @property
    def rehearsal_ns(self) -> int:
        """When to rehearse, so that it ends before the next request; 0 while none is expected."""
        if not self._expected_ns:
            return 0
        plan_ns = self._tokens * self._model.token_ns + 2 * self._model.decode_ns
        return self._expected_ns - 2 * plan_ns - REHEARSAL_LEAD_NS

    def rehearse(self) -> Record | None:
        """Run a plan for nobody, then look out for the request that is expected now.

        After a third of a second of other work the caches are cold and the core may sleep: a first
        token then takes thrice its time. Returns the request if it came during the look-out.
        """
        expected_ns, self._expected_ns = self._expected_ns, 0
        self._engine.prefill(self._features)
        for _ in range(self._tokens):
            self._engine.next_token()
        self._engine.decode_full(self._tokens)
        self._engine.decode(self._tokens)
        while time.monotonic_ns() < expected_ns + LOOK_OUT_NS:
            request = self._channels.request.take()
            if request is not None:
                return request
        return None

    def _begin(self, request: Record, started_ns: int) -> None:
        for name in ("plan", "epoch", "observed_ns"):
            self._chunk[name] = request[name]
        for name in ("plan", "observed_ns", "deadline_ns"):
            self._plan[name] = request[name]
        self._plan["started_ns"] = started_ns
        self._plan["token_ns"] = 0

    def _generate(self, deadline_ns: int, coarse: bool) -> int:
        """Generate tokens until no further one fits; returns how many there are, at least one.

        ``coarse``: publish the chunk of the first token before going on.
        """
        for prefix in range(1, self._tokens + 1):
            self._engine.next_token()
            now_ns = time.monotonic_ns()
            self._plan["token_ns"][prefix - 1] = now_ns - int(self._plan["observed_ns"])
            if prefix == self._tokens:
                break
            if prefix == 1 and coarse:
                self._publish(self._engine.decode(1), 1)
                now_ns = time.monotonic_ns()
            if not another_token_fits(self._model, now_ns, deadline_ns):
                break
        return prefix

    def _publish(self, actions: Float32Array, prefix: int) -> None:
        """Post the chunk. Actions that are not finite never leave: the servo lives on its tail."""
        if not np.isfinite(actions).all():
            return
        self._chunk["prefix"] = prefix
        self._chunk["valid"] = len(actions)
        self._chunk["actions"][: len(actions)] = actions
        self._channels.chunk.post(self._chunk)


def measure(engine: Engine, manifest: Manifest) -> Profile:
    """Warm the engine up, then measure its stages on this device; the cold runs do not count."""
    features = np.zeros((), request_dtype(manifest))["features"]
    token_ns: list[int] = []
    decode_ns: list[int] = []
    for index in range(WARM_UP_PLANS + PROFILE_PLANS):
        tokens, decode = _time_plan(engine, features, manifest.tokenizer.tokens)
        if index >= WARM_UP_PLANS:
            token_ns += tokens
            decode_ns.append(decode)
    return Profile.of(token_ns, decode_ns)


def _time_plan(engine: Engine, features: Record, tokens: int) -> tuple[list[int], int]:
    engine.prefill(features)
    times = [time.monotonic_ns()]
    for _ in range(tokens):
        engine.next_token()
        times.append(time.monotonic_ns())
    engine.decode(tokens)
    decoded_ns = time.monotonic_ns()
    engine.decode_full(tokens)
    return np.diff(times).tolist(), decoded_ns - times[-1]
