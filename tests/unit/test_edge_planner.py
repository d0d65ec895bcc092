from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import Manifest
from edge.latency import LatencyModel, Profile
from edge.planner import Planner
from edge.records import Channels
from edge.session import Session
from edge.shared_memory import Record
from tests.edge_parts import make_manifest, make_robot

MS = 1_000_000
AGES = 3_600_000 * MS  # far beyond anything that a busy machine may take


class CountingEngine:
    """Actions that say from how many tokens they were decoded; does nothing that takes time."""

    def __init__(self, manifest: Manifest) -> None:
        action = manifest.action
        self._full = np.zeros((action.action_horizon, len(action.names)), np.float32)
        self._head = action.head_steps
        self.generated = 0
        self.poison = False

    def prefill(self, features: Record) -> None:
        self.generated = 0

    def next_token(self) -> int:
        self.generated += 1
        return 0

    def decode(self, prefix: int) -> np.ndarray:
        return self.decode_full(prefix)[: self._head]

    def decode_full(self, prefix: int) -> np.ndarray:
        assert 1 <= prefix <= self.generated
        self._full[:] = np.nan if self.poison else prefix
        return self._full


class Bench:
    """A planner on its channels.

    ``token_ns`` is what its profile expects of a token, ``finish_ns`` the most that a token and a
    decode take.
    """

    def __init__(
        self, folder: Path, token_ns: int, max_prefix: int | None = None, finish_ns: int = 0
    ) -> None:
        manifest = make_manifest()
        session = Session(directory=folder, robot=make_robot(), bundle=folder, seed=0)
        self.channels = Channels.open(session, manifest, create=True)
        self.reader = Channels.open(session, manifest)
        self.engine = CountingEngine(manifest)
        tokens = (token_ns,) * 4
        profile = Profile(MS, tokens, MS, (finish_ns or token_ns + MS,) * 4)
        self.model = LatencyModel(profile)
        self.clock = time.monotonic_ns
        self.planner = Planner(
            self.engine, manifest, self.channels, self.model, max_prefix, lambda: self.clock()
        )

    def ask(self, plan: int = 1, budget_ns: int = AGES) -> None:
        request = np.zeros((), self.channels.request.dtype)
        now_ns = self.clock()
        request["plan"], request["epoch"] = plan, 3
        request["observed_ns"], request["deadline_ns"] = now_ns, now_ns + budget_ns
        self.planner.answer(request)


def test_with_time_for_all_tokens_all_are_decoded_and_the_whole_horizon_is_posted(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, token_ns=MS)
    bench.ask()
    chunk = bench.reader.chunk.take()
    assert chunk is not None
    assert (int(chunk["plan"]), int(chunk["epoch"])) == (1, 3)
    assert (int(chunk["prefix"]), int(chunk["valid"])) == (4, 8)
    np.testing.assert_array_equal(chunk["actions"], 4.0)
    (plan,) = bench.reader.plans.drain()
    assert (int(plan["prefix"]), int(plan["late"])) == (4, 0)


def test_however_little_time_there_is_one_token_makes_a_chunk(tmp_path: Path) -> None:
    bench = Bench(tmp_path, token_ns=AGES)
    for plan in range(1, 6):
        bench.ask(plan, budget_ns=100_000)
        chunk = bench.reader.chunk.take()
        assert chunk is not None
        assert (int(chunk["plan"]), int(chunk["prefix"])) == (plan, 1)
    assert len(bench.reader.plans.drain()) == 5


def test_no_token_is_begun_that_does_not_fit(tmp_path: Path) -> None:
    bench = Bench(tmp_path, token_ns=AGES)
    bench.ask(budget_ns=AGES // 2)
    assert bench.engine.generated == 1


def test_a_longest_prefix_that_was_asked_for_is_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path, token_ns=MS, max_prefix=2)
    bench.ask()
    chunk = bench.reader.chunk.take()
    assert chunk is not None
    assert int(chunk["prefix"]) == 2


def test_a_request_that_has_been_made_anew_by_now_is_passed_over(tmp_path: Path) -> None:
    bench = Bench(tmp_path, token_ns=MS)
    bench.ask(budget_ns=-100 * MS)
    assert bench.reader.chunk.take() is None
    assert len(bench.reader.plans.drain()) == 0


def test_actions_that_are_not_finite_never_leave(tmp_path: Path) -> None:
    bench = Bench(tmp_path, token_ns=MS)
    bench.engine.poison = True
    bench.ask()
    assert bench.reader.chunk.take() is None
    bench.engine.poison = False
    bench.ask(plan=2)
    assert bench.reader.chunk.take() is not None


def test_a_notice_brings_no_chunk_but_a_rehearsal_in_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, token_ns=MS)
    assert bench.planner.warm_up.due_ns == 0
    bench.ask(plan=0)
    assert bench.reader.chunk.take() is None
    assert 0 < bench.planner.warm_up.due_ns < time.monotonic_ns()
    bench.planner.warm_up.run()
    assert bench.planner.warm_up.due_ns == 0
    assert bench.reader.chunk.take() is None


def test_a_request_that_comes_during_the_rehearsal_is_not_lost(tmp_path: Path) -> None:
    bench = Bench(tmp_path, token_ns=MS)
    bench.ask(plan=0)
    request = np.zeros((), bench.channels.request.dtype)
    request["plan"] = 7
    bench.reader.request.post(request)
    found = bench.planner.warm_up.run()
    kept = found if found is not None else bench.channels.request.take()
    assert kept is not None
    assert int(kept["plan"]) == 7


@pytest.mark.parametrize(("ahead_ms", "rehearsed"), [(6, True), (5, False)])
def test_there_is_no_rehearsal_that_would_hold_up_the_request(
    tmp_path: Path, ahead_ms: int, rehearsed: bool
) -> None:
    """A whole plan takes 6 ms by the profile: prefill, four tokens and a decode."""
    bench = Bench(tmp_path, token_ns=MS)
    now = [0]

    def clock() -> int:
        now[0] += 10_000
        return now[0]

    bench.clock = clock
    notice = np.zeros((), bench.channels.request.dtype)
    notice["observed_ns"] = ahead_ms * MS + 100_000
    bench.planner.answer(notice)
    now[0] = 0
    generate = bench.engine.next_token
    generated = []

    def next_token() -> int:
        generated.append(now[0])
        now[0] += MS
        return generate()

    bench.engine.next_token = next_token  # type: ignore[method-assign]
    assert bench.planner.warm_up.run() is None
    assert bool(generated) is rehearsed


@pytest.mark.parametrize("slow_token", [1, 2, 3])
def test_a_token_that_takes_far_too_long_ends_the_plan_before_its_deadline(
    tmp_path: Path, slow_token: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, token_ns=MS)
    now = [1_000_000 * MS]
    bench.clock = lambda: now[0]
    generate = bench.engine.next_token

    def next_token() -> int:
        now[0] += 20 * MS if bench.engine.generated == slow_token else MS
        return generate()

    monkeypatch.setattr(bench.engine, "next_token", next_token)
    bench.ask(budget_ns=slow_token * MS + 24 * MS)
    (plan,) = bench.reader.plans.drain()
    assert int(plan["generated"]) == slow_token + 1
    assert int(plan["prefix"]) == 1, "the coarse chunk that went ahead is what counts"
    assert int(plan["late"]) == 0
    chunk = bench.reader.chunk.take()
    assert chunk is not None
    assert int(chunk["prefix"]) == slow_token + 1, "the whole horizon comes from all tokens"


def test_where_certainty_ends_a_chunk_is_secured_and_time_is_used_to_the_end(
    tmp_path: Path,
) -> None:
    """A token usually takes 1 ms, and so does a decode; rarely both take 9 ms."""
    bench = Bench(tmp_path, token_ns=MS, finish_ns=9 * MS)
    now = [1_000_000 * MS]
    bench.clock = lambda: now[0]
    generate, decode, decodes = bench.engine.next_token, bench.engine.decode, []

    def next_token() -> int:
        now[0] += MS
        return generate()

    def timed_decode(prefix: int) -> np.ndarray:
        now[0] += MS
        decodes.append(prefix)
        return decode(prefix)

    bench.engine.next_token = next_token  # type: ignore[method-assign]
    bench.engine.decode = timed_decode  # type: ignore[method-assign]
    bench.ask(budget_ns=7 * MS)
    assert decodes == [1, 4]
    (plan,) = bench.reader.plans.drain()
    assert (int(plan["prefix"]), int(plan["late"]), int(plan["coarse"])) == (4, 0, 1)


@pytest.mark.parametrize(
    ("slow_token_ms", "slow_decode_ms", "budget_ms", "decodes"),
    [(4.0, 1.0, 9.0, [2, 3]), (1.0, 2.5, 7.5, [1, 3]), (4.0, 4.0, 9.9, [2])],
    ids=["a token alone", "a decode alone", "both"],
)
def test_what_is_slow_in_a_token_or_in_a_decode_alone_was_but_a_gap(
    tmp_path: Path,
    slow_token_ms: float,
    slow_decode_ms: float,
    budget_ms: float,
    decodes: list[int],
) -> None:
    """The second token or the first decode lasts: if it went on like that, no more would fit."""
    bench = Bench(tmp_path, token_ns=MS, finish_ns=2 * MS if slow_token_ms > 1 else 9 * MS)
    now = [1_000_000 * MS]
    bench.clock = lambda: now[0]
    generate, decode, decoded = bench.engine.next_token, bench.engine.decode, []

    def next_token() -> int:
        now[0] += int(slow_token_ms * MS) if bench.engine.generated == 1 else MS
        return generate()

    def timed_decode(prefix: int) -> np.ndarray:
        now[0] += MS if decoded else int(slow_decode_ms * MS)
        decoded.append(prefix)
        return decode(prefix)

    bench.engine.next_token = next_token  # type: ignore[method-assign]
    bench.engine.decode = timed_decode  # type: ignore[method-assign]
    bench.ask(budget_ns=int(budget_ms * MS))
    assert decoded == decodes
    (plan,) = bench.reader.plans.drain()
    assert (int(plan["prefix"]), int(plan["late"])) == (decodes[-1], 0)


def test_a_finer_chunk_that_comes_too_late_does_not_make_the_plan_late(tmp_path: Path) -> None:
    bench = Bench(tmp_path, token_ns=MS, finish_ns=9 * MS)
    now = [1_000_000 * MS]
    bench.clock = lambda: now[0]
    decode = bench.engine.decode

    def timed_decode(prefix: int) -> np.ndarray:
        now[0] += MS if prefix == 1 else 20 * MS
        return decode(prefix)

    bench.engine.decode = timed_decode  # type: ignore[method-assign]
    bench.ask(budget_ns=7 * MS)
    (plan,) = bench.reader.plans.drain()
    assert int(plan["prefix"]) == 1
    assert int(plan["late"]) == 0
    assert int(plan["generated"]) == 4


def test_no_stage_is_begun_that_would_last_beyond_the_noticed_moment(tmp_path: Path) -> None:
    bench = Bench(tmp_path, token_ns=MS)
    now = [0]

    def clock() -> int:
        now[0] += 10_000
        return now[0]

    bench.clock = clock
    notice = np.zeros((), bench.channels.request.dtype)
    notice["observed_ns"] = 100 * MS
    bench.planner.answer(notice)
    begun: list[int] = []
    bench.engine.prefill = lambda features: begun.append(now[0])  # type: ignore[method-assign]
    decode = bench.engine.decode

    def noted(prefix: int) -> np.ndarray:
        begun.append(now[0])
        return decode(prefix)

    bench.engine.decode = noted  # type: ignore[method-assign]
    nearer = notice.copy()
    nearer["observed_ns"] = 50 * MS
    bench.reader.request.post(nearer)
    assert bench.planner.warm_up.run() is None
    whole_plan, later = begun[:2], begun[2:]
    assert len(whole_plan) == 2
    assert later, "it stayed warm"
    assert max(later) < 49 * MS
