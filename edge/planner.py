"""The planner: from an observation to a chunk before its deadline, in a process of its own.

The longest prefix that fits is decoded; a coarse chunk comes first where it is cheap. Until the
deadline only the head of a chunk is decoded. When it is in the mailbox, the whole is: all that will
be executed, and the tail that the servo lives on if the next chunk does not come. Before a plan it
warms up (``edge.warm_up``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge.bundle import Manifest
from edge.engines import Engine, Float32Array
from edge.engines.coarse_table import CoarseTable
from edge.latency import LatencyModel
from edge.prefix import (
    another_token_fits,
    another_token_will_probably_fit,
    coarse_first,
    decode_will_probably_fit,
)
from edge.rates import period_ns
from edge.records import Channels, chunk_dtype, plan_dtype
from edge.shared_memory import Record
from edge.throttling import FREE, Throttle
from edge.warm_up import WarmUp

NEVER_NS = 1 << 62
_TIMES = (
    *("observed_ns", "deadline_ns", "started_ns"),
    *("prefill_ns", "token_ns", "decode_ns", "published_ns"),
)


@dataclass(slots=True)
class Attempt:
    """How a plan has gone so far: times in ns, durations of its stages by the clock.

    ``out``: the prefix of the finest chunk that is in the mailbox, 0 as long as none is.
    """

    started_ns: int
    observed_ns: int
    deadline_ns: int
    token_ns: list[int]
    prefill_ns: int = 0
    decode_ns: int = 0
    publish_ns: int = 0
    decodes: int = 0
    out: int = 0
    published_ns: int = 0


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
        self._no_tokens = [0] * manifest.tokenizer.tokens
        self._attempt = Attempt(0, 0, 0, self._no_tokens.copy())
        self._chunk = np.zeros((), chunk_dtype(manifest))
        self._fields = {name: self._chunk[name] for name in chunk_dtype(manifest).names or ()}
        self._plan = np.zeros((), plan_dtype(manifest.tokenizer.tokens))
        self._step_ns = period_ns(manifest.action.rate_hz)
        self.warm_up = WarmUp(engine, manifest, channels.request, model, clock, self._rehearse)
        self.slow_down(FREE)

    def slow_down(self, throttle: Throttle) -> None:
        """Reckon with other clocks from the next plan on, before it can be late."""
        self._model.rescale(throttle.factor / (float(self._plan["throttle"]) or 1.0))
        self._plan["throttle"] = throttle.factor
        self._plan["throttle_reason"] = throttle.reason.encode()

    def answer(self, request: Record) -> None:
        """Plan what was asked for. A request so old that it has been made anew is passed over."""
        if int(request["plan"]) == 0:
            self.warm_up.expect(int(request["observed_ns"]))
        elif self._clock() < int(request["deadline_ns"]) + self._step_ns:
            self._answer(request)

    def _answer(self, request: Record) -> None:
        """Observation → tokens → chunk; records how long each stage took."""
        self._begin(request, self._clock())
        self._engine.prefill(request["features"])
        self._attempt.prefill_ns = self._clock() - self._attempt.started_ns
        tokens = self._generate()
        self._finish(tokens)
        self._publish(self._engine.decode_full(tokens), tokens)

    def _rehearse(self, request: Record) -> None:
        """The way of a plan of one token up to the mailbox, so that its code is in the caches."""
        self._begin(request, self._clock())
        self._engine.prefill(request["features"])
        token_ns = self._time_token(0)
        self._attempt.deadline_ns = NEVER_NS  # so nothing is posted
        for self._attempt.out in (0, 1):
            self._goes_on(1, token_ns)
        np.isfinite(self._engine.decode(1)).all()

    def _begin(self, request: Record, now_ns: int) -> None:
        for name in ("plan", "epoch", "observed_ns"):
            self._fields[name][()] = request[name]
        observed_ns, deadline_ns = int(request["observed_ns"]), int(request["deadline_ns"])
        self._attempt = Attempt(now_ns, observed_ns, deadline_ns, self._no_tokens.copy())

    def _generate(self) -> int:
        """Generate and decode until nothing more fits; returns how many tokens there are, >= 1."""
        attempt = self._attempt
        budget_ns = attempt.deadline_ns - attempt.observed_ns
        coarse = self._coarse_is_free or coarse_first(self._model, budget_ns)
        for tokens in range(1, self._tokens + 1):
            token_ns = self._time_token(tokens - 1)
            stage_ns = token_ns if tokens > 1 else attempt.prefill_ns
            if tokens == 1 and coarse and self._tokens > 1:
                self._decode(1)
            if tokens == self._tokens or not self._goes_on(tokens, stage_ns):
                break
        if not attempt.out or self._is_finer(tokens, stage_ns):
            self._decode(tokens)
        return tokens

    def _goes_on(self, tokens: int, stage_ns: int) -> bool:
        """Whether to generate another token.

        Where that is no longer certain, these are decoded first: with a chunk out, what will
        probably fit puts nothing at risk. A device that is slow shows in that decode as in the
        token before it; what shows in one of them alone was a gap.
        """
        attempt, model = self._attempt, self._model
        if attempt.out:
            seen = model.seen(tokens, stage_ns)
        elif another_token_fits(model, tokens, stage_ns, self._clock(), attempt.deadline_ns):
            return True
        else:
            self._decode(tokens)
            seen = min(model.seen(tokens, stage_ns), model.seen_in_decode(attempt.decode_ns))
        state = (model, tokens, seen, self._clock(), attempt.deadline_ns)
        return another_token_will_probably_fit(*state)

    def _is_finer(self, tokens: int, stage_ns: int) -> bool:
        """Whether a decode of so many tokens will refine, in time, the chunk that is out."""
        seen = self._model.seen(tokens, stage_ns)
        state = (self._model, seen, self._clock(), self._attempt.deadline_ns)
        return tokens > self._attempt.out and decode_will_probably_fit(*state)

    def _time_token(self, index: int) -> int:
        before_ns = self._clock()
        self._engine.next_token()
        taken_ns = self._clock() - before_ns
        self._attempt.token_ns[index] = taken_ns
        return taken_ns

    def _decode(self, tokens: int) -> None:
        """Decode the head and post it; the finest that is in time counts."""
        attempt, before_ns = self._attempt, self._clock()
        actions = self._engine.decode(tokens)
        decoded_ns = self._clock()
        published = self._publish(actions, tokens)
        now_ns = self._clock()
        attempt.decode_ns = decoded_ns - before_ns
        attempt.publish_ns = now_ns - decoded_ns
        attempt.decodes += 1
        if published and (not attempt.out or now_ns <= attempt.deadline_ns):
            attempt.out, attempt.published_ns = tokens, now_ns

    def _publish(self, actions: Float32Array, prefix: int) -> bool:
        """Post the chunk. Actions that are not finite never leave: the servo lives on its tail."""
        if not np.logical_and.reduce(np.isfinite(actions), axis=None):
            return False
        fields = self._fields
        fields["prefix"][()] = prefix
        fields["valid"][()] = len(actions)
        fields["actions"][: len(actions)] = actions
        self._channels.chunk.post(self._chunk)
        return True

    def _finish(self, tokens: int) -> None:
        """Write the plan down, and learn from it."""
        plan, attempt = self._plan, self._attempt
        if not attempt.out:
            attempt.out, attempt.published_ns = tokens, self._clock()
        plan["plan"] = self._fields["plan"]
        for name in _TIMES:
            plan[name] = getattr(attempt, name)
        plan["prefix"] = attempt.out
        plan["generated"] = tokens
        plan["coarse"] = attempt.decodes > 1
        plan["late"] = attempt.published_ns > attempt.deadline_ns
        self._channels.plans.append(plan)
        if tokens > 1 or not self._coarse_is_free:  # a look-up tells nothing of the device
            self._model.observe(plan["token_ns"][:tokens], attempt.decode_ns)
            self._model.observe_publishing(attempt.publish_ns)
