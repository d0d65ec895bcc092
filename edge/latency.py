"""How long the stages of a plan take on this device: a profile, and its correction as one plans.

Everything is integers of nanoseconds. A profile is measured once (``oat-edge calibrate latency``
stores one, or the planner measures a short one at start); the correction is one factor that follows
how slow the device is now.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge.errors import UsageError

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]

_RISE, _FALL = 0.5, 0.2
_PLANS_A_SECOND = 3
_STEP_DOWN = (
    1.25  # when as many plans were all faster by so much: a new clock, not the usual spread
)
_PUBLISH_NS = 20_000  # as long as nothing was published
_LEAST, _MOST = 0.5, 8.0
_USUAL_SPREAD = 1.15
_FORGET = 0.03  # a surprise is remembered for some thirty plans
_WORST_SURPRISE = 3.0
_SUDDEN = 2.0  # so much slower than the plans before: not the usual spread, but a new state


@dataclass(frozen=True, slots=True)
class Samples:
    """Measured plans: durations in ns, (plans,), (plans, tokens), (plans,); the decoded prefix."""

    prefix: Int64Array
    prefill_ns: Int64Array
    token_ns: Int64Array
    decode_ns: Int64Array

    def profile(self, miss_target: float) -> Profile:
        """The profile whose high quantiles are exceeded by ``miss_target`` of the samples.

        Of few samples the second highest is taken: one hiccup is no quantile.
        """
        if not 0.0 < miss_target < 1.0:
            raise UsageError(f"miss target is {miss_target}, allowed is above 0 and below 1")
        finish_ns = self.finish_ns
        share = 1.0 - max(miss_target, 2.0 / len(finish_ns))
        high_ns = np.quantile(finish_ns, share, axis=0).astype(int).tolist()
        return replace(self._usual, finish_ns=tuple(high_ns))

    @property
    def finish_ns(self) -> Float64Array:
        """What token i and a decode after it took, (plans, tokens), had the device been as fast as
        it usually is.

        What the slowness explains that a planner knew of when it had to decide on that token is
        taken off, since it is put on when the planner decides (``LatencyModel``). What remains is
        surprise. With slow spells left in, they would be reckoned with twice.
        """
        profile = self._usual
        model, usual_ns = LatencyModel(profile), np.array(profile.token_ns) + profile.decode_ns
        finish_ns = (self.token_ns + self.decode_ns[:, None]).astype(np.float64)
        for plan, token_ns in enumerate(self.token_ns):
            stages_ns = (int(self.prefill_ns[plan]), *token_ns[1:].tolist())
            later = range(1, len(token_ns))
            slowness = [model.slowness(tokens, stages_ns[tokens - 1]) for tokens in later]
            finish_ns[plan] -= (np.array([model.factor, *slowness]) - 1.0) * usual_ns
            model.observe(token_ns, int(self.decode_ns[plan]))
        return finish_ns

    @property
    def _usual(self) -> Profile:
        """Medians; no quantile yet of what ends a plan."""
        return Profile(
            prefill_ns=int(np.median(self.prefill_ns)),
            token_ns=tuple(np.median(self.token_ns, axis=0).astype(int).tolist()),
            decode_ns=int(np.median(self.decode_ns)),
            finish_ns=(),
        )


@dataclass(frozen=True, slots=True)
class Profile:
    """Stage durations on this device, ns.

    Medians of prefill, of each token and of a decode; and ``finish_ns[i]``, a high quantile of what
    token i and a decode after it take together while the device is as fast as usual.
    """

    prefill_ns: int
    token_ns: tuple[int, ...]
    decode_ns: int
    finish_ns: tuple[int, ...]

    @property
    def plan_ns(self) -> int:
        """Median duration of a whole plan of all tokens."""
        return self.prefill_ns + sum(self.token_ns) + self.decode_ns


class LatencyModel:
    """A profile and its online correction.

    ``factor`` is how much slower than the profile the device must be taken to be. It rises fast and
    falls slowly over the plans, and so lies above their mean, which is what counts where nothing is
    at risk; a slowness that sets in within a plan counts in that plan already, and one that is over
    is forgotten once all plans of a second were faster. How far a decode exceeded it of late widens
    what must be reckoned with: profiles are measured in peace. What prefill took does not enter
    into later plans: it pays for caches that other work has emptied.

    ``publish_ns``: what it usually takes to hand out a chunk once it is decoded, on top of all that
    is foretold here: it is no work of the engine, and tells nothing of the device's speed.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.factor = 1.0
        self._mean = 1.0
        self._surprise = 1.0
        self.publish_ns = _PUBLISH_NS
        self._recent: deque[float] = deque(maxlen=_PLANS_A_SECOND)
        # Of the stage before a decision, by the number of tokens there are then.
        self._stage_ns = (profile.prefill_ns, profile.prefill_ns, *profile.token_ns[1:])
        self._reckon()

    def finish_ns(self, tokens: int, last_stage_ns: int) -> int:
        """High quantile of what one more token after ``tokens`` and its decode will take.

        ``last_stage_ns``: how long the stage before it took: a token, or prefill after the first.
        """
        if last_stage_ns <= self._known_ns[tokens]:
            return self._finish_ns[tokens]
        return self._high_ns(tokens, self.slowness(tokens, last_stage_ns))

    def slowness(self, tokens: int, last_stage_ns: int) -> float:
        """How much slower than its profile the device must be taken to be after ``tokens``."""
        return max(self.factor, self.seen(tokens, last_stage_ns))

    def seen(self, tokens: int, last_stage_ns: int) -> float:
        """How many times its usual duration the stage before the next of ``tokens`` took."""
        return min(last_stage_ns / self._stage_ns[tokens], _MOST)

    def seen_in_decode(self, decode_ns: int) -> float:
        """The same where that stage was a decode."""
        return min(decode_ns / self.profile.decode_ns, _MOST)

    def usual_finish_ns(self, tokens: int, seen: float) -> int:
        """What one more token after ``tokens`` and its decode usually take, with what varies.

        ``seen``: how many times its usual duration the stage before it took.
        """
        usual_ns = self.profile.token_ns[tokens] + self.profile.decode_ns
        return round(_USUAL_SPREAD * usual_ns * self._factor_now(seen))

    def usual_decode_ns(self, seen: float) -> int:
        """What a decode usually takes, with what usually varies."""
        return round(_USUAL_SPREAD * self.profile.decode_ns * self._factor_now(seen))

    def _factor_now(self, seen: float) -> float:
        return seen if seen > _SUDDEN * self._mean else self._mean

    def _high_ns(self, tokens: int, slowness: float) -> int:
        """What a device does slower takes longer; a gap that is torn into a plan does not."""
        profile = self.profile
        usual_ns = profile.token_ns[tokens] + profile.decode_ns
        torn_ns = profile.finish_ns[tokens] - usual_ns
        seen_ns = profile.token_ns[tokens] + self._surprise * profile.decode_ns
        return round(max(usual_ns * slowness + torn_ns, seen_ns * slowness))

    def _reckon(self) -> None:
        """Work out between plans what is asked for within one, where each microsecond counts.

        That is what is ahead as long as no stage takes longer than is known.
        """
        self._known_ns = [self.factor * stage_ns for stage_ns in self._stage_ns]
        tokens = range(len(self.profile.finish_ns))
        self._finish_ns = [self._high_ns(number, self.factor) for number in tokens]

    def rescale(self, ratio: float) -> None:
        """The clocks have changed: everything takes ``ratio`` times as long from now on."""
        self.factor = min(max(self.factor * ratio, _LEAST), _MOST)
        self._mean = min(max(self._mean * ratio, _LEAST), _MOST)
        self._recent.clear()
        self._reckon()

    def observe(self, token_ns: Int64Array, decode_ns: int) -> None:
        """Learn from a finished plan: durations of its tokens, shape (tokens,), and its decode."""
        usual = sum(self.profile.token_ns[1 : len(token_ns)]) + self.profile.decode_ns
        taken = int(token_ns[1:].sum()) + decode_ns
        ratio = min(max(taken / usual, _LEAST), _MOST)
        excess = min(decode_ns / (self.profile.decode_ns * self.factor), _WORST_SURPRISE)
        self._surprise = max(excess, self._surprise + _FORGET * (excess - self._surprise))
        self.factor += (_RISE if ratio > self.factor else _FALL) * (ratio - self.factor)
        self._mean += _FALL * (ratio - self._mean)
        self._recent.append(ratio)
        self._step_down()
        self._reckon()

    def observe_publishing(self, taken_ns: int) -> None:
        """Learn what publishing a chunk took; a gap that the system tore into it counts little."""
        self.publish_ns += round(_FALL * (min(taken_ns, 2 * self.publish_ns) - self.publish_ns))

    def _step_down(self) -> None:
        """Take the device to be as fast as it was in the slowest of the last plans, if faster."""
        slowest = max(self._recent)
        if len(self._recent) == _PLANS_A_SECOND and _STEP_DOWN * slowest < self.factor:
            self.factor = slowest
            self._mean = min(self._mean, slowest)
