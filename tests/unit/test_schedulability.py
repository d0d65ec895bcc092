"""Which rates hold: wire times by hand, quantiles of made-up plans, verdicts and refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge.errors import RunError
from edge.latency import Samples
from edge.robot import load_robot
from edge.robot_buses import Bus
from edge.schedulability import (
    PUBLISH_NS,
    TIGHT,
    PlanCost,
    Quantiles,
    TickCost,
    Verdict,
    plan_cost,
    reasons,
)
from edge.wire_times import check_wire, wire_costs
from firmware_bridge import protocols
from firmware_bridge.dynamixel.wire_cost import wire_cost
from firmware_bridge.protocols import load_protocols
from firmware_bridge.wire_cost import CycleCost, WireCost

SEVEN = (1, 2, 4, 6, 7, 8, 9)
# Protocol 2.0, by hand. Question: 7 header and length + 1 instruction + 2 address + 2 length
# + 7 ids + 2 CRC = 21. Fast answer: 7 + 1 + 7 · (error, id, 10 bytes, CRC 2) = 106. Plain answers:
# 7 · (7 + 1 + 1 error + 10 + 2) = 147. Goals: 7 + 1 + 2 + 2 + 7 · (id + 4) + 2 = 49.
QUESTION, FAST, PLAIN, GOALS = 21, 106, 147, 49


def flat(duration_us: float, samples: int = 100) -> Quantiles:
    ns = round(duration_us * 1000)
    return Quantiles(ns, ns, ns, samples)


def robot_at(rate_hz: int) -> Any:
    robot = load_robot("viperx")
    servo = robot.servo.model_copy(update={"rate_hz": rate_hz})
    return robot.model_copy(update={"servo": servo})


def test_seven_dynamixels_take_the_wire_time_computed_by_hand() -> None:
    cost = wire_cost(SEVEN, 1_000_000, True)
    assert (cost.question_bytes, cost.answer_bytes, cost.setpoint_bytes) == (QUESTION, FAST, GOALS)
    assert cost.read_ns == 1_270_000
    assert cost.write_ns == 490_000
    assert cost.cycle_ns == 1_760_000


def test_plain_sync_read_and_a_slower_line_cost_more() -> None:
    assert wire_cost(SEVEN, 1_000_000, False).cycle_ns == (QUESTION + PLAIN + GOALS) * 10_000
    assert wire_cost(SEVEN, 57_600, True).cycle_ns == pytest.approx(1_760_000 / 0.0576, abs=2)


def test_wire_time_is_rounded_up() -> None:
    assert WireCost(1, 0, 0, baud=3_000_000).read_ns == 3_334


def test_the_shipped_robot_holds_its_rate_and_shadows_cost_nothing() -> None:
    (cost,) = wire_costs(load_robot("viperx")).values()
    assert cost == wire_cost(SEVEN, 1_000_000, True)
    check_wire(load_robot("viperx"))


def test_a_kilohertz_on_a_one_megabaud_line_is_refused_by_its_bytes_alone() -> None:
    with pytest.raises(RunError) as refusal:
        check_wire(robot_at(1_000))
    assert str(refusal.value) == (
        "servo.rate_hz 1000 cannot hold: a cycle takes 1760 µs on the wire of bus arm "
        "(176 bytes at 1000000 baud), a tick has 1000 µs"
    )


# Feetech, by hand. Question: 6 header to instruction and check sum + 2 address and length + 7 ids.
# Answers: 7 · (6 + 4). Goals: 6 + 2 + 7 · (id + 2).
def test_seven_feetech_servos_take_the_wire_time_computed_by_hand() -> None:
    cost = cost_of(bus={"protocol": "feetech", "port": "/dev/ttyACM0"})
    assert (cost.read_ns, cost.write_ns) == ((15 + 70) * 10_000, 29 * 10_000)
    assert cost.text == "114 bytes at 1000000 baud"


def cost_of(bus: dict[str, Any]) -> CycleCost:
    robot = load_robot("viperx")
    (cost,) = wire_costs(robot.model_copy(update={"buses": {"arm": Bus(**bus)}})).values()
    return cost


@pytest.mark.parametrize("protocol", sorted(load_protocols()))
def test_every_protocols_cycle_is_that_of_its_bench_and_slower_on_a_slower_wire(
    protocol: str,
) -> None:
    spec = load_protocols()[protocol]
    port = "oatcan:demo" if spec.is_can else "/dev/ttyACM0"
    rate = "bitrate" if spec.is_can else "baud"
    cost = cost_of(bus={"protocol": protocol, "port": port})
    slow = cost_of(bus={"protocol": protocol, "port": port, rate: 500_000})
    assert cost.cycle_ns == pytest.approx(spec.wire_us(len(SEVEN)) * 1000, abs=1)
    assert 1.2 * cost.cycle_ns < slow.cycle_ns <= 2 * cost.cycle_ns
    assert min(cost.read_ns, cost.write_ns) > 0
    assert "500000" in slow.text


def test_a_can_buss_cycle_counts_its_frames() -> None:
    assert cost_of({"protocol": "cia402", "port": "oatcan:demo"}).text == (
        "15 frames at 1000000 bit/s"  # targets, the SYNC, and the answers to it
    )


def test_a_kilohertz_on_classic_can_is_refused_by_its_frames_alone() -> None:
    bus = Bus(protocol="odrive", port="oatcan:demo")
    with pytest.raises(RunError, match=r"on the wire of bus arm \(21 frames at 1000000 bit/s\)"):
        check_wire(robot_at(1_000).model_copy(update={"buses": {"arm": bus}}))


def test_a_protocol_of_another_package_counts_as_it_says_of_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    foreign = replace(load_protocols()["feetech"], name="foreign", wire_us=lambda joints: 9.0)
    monkeypatch.setattr(protocols, "load_protocols", lambda name=None: {"foreign": foreign})
    cost = cost_of({"protocol": "foreign", "port": "/dev/ttyACM0"})
    assert (cost.cycle_ns, cost.text) == (9_000, "as foreign says, at its default rates")


@pytest.mark.parametrize(("rate_hz", "fits"), [(568, True), (569, False)])
def test_the_wire_limit_is_exact(rate_hz: int, fits: bool) -> None:
    # 1e9 / 1 760 000 = 568.2
    if fits:
        check_wire(robot_at(rate_hz))
    else:
        with pytest.raises(RunError):
            check_wire(robot_at(rate_hz))


def test_a_tick_needs_reading_computing_and_writing() -> None:
    wire = {"arm": wire_cost(SEVEN, 1_000_000, True)}
    tick = TickCost(200, wire, read=flat(1_600), compute=flat(400))
    assert tick.need_ns() == 1_600_000 + 400_000 + 490_000
    assert tick.verdict is Verdict.HOLDS
    assert tick.highest_rate_hz(50.0) == 400  # 1e9 / 2 490 000 = 401.6


def test_a_reading_never_counts_for_less_than_its_bytes() -> None:
    wire = {"arm": wire_cost(SEVEN, 1_000_000, True)}
    assert TickCost(200, wire, read=flat(10)).need_ns() == 1_760_000


def test_what_was_not_measured_counts_as_its_least() -> None:
    assert TickCost(200).need_ns() == 0
    assert TickCost(200).highest_rate_hz(50.0) == 0


def test_buses_work_at_the_same_time() -> None:
    slow, quick = WireCost(10, 90, 20, 1_000_000), WireCost(5, 10, 5, 1_000_000)
    tick = TickCost(200, {"arm": slow, "base": quick})
    assert tick.wire_ns == tick.need_ns() == slow.cycle_ns


@pytest.mark.parametrize(
    ("compute_us", "verdict"),
    [
        (5_000 * TIGHT, Verdict.HOLDS),
        (5_000 * TIGHT + 1, Verdict.TIGHT),
        (5_000, Verdict.TIGHT),
        (5_001, Verdict.REFUSED),
    ],
)
def test_each_verdict_begins_where_it_says(compute_us: float, verdict: Verdict) -> None:
    assert TickCost(200, compute=flat(compute_us)).verdict is verdict


def test_a_refused_rate_names_what_it_needs_and_the_highest_that_holds() -> None:
    tick = TickCost(500, {"arm": wire_cost(SEVEN, 1_000_000, True)}, flat(1_600), flat(400))
    assert reasons(tick, None, 50.0, 320_000_000) == [
        "servo.rate_hz 500 cannot hold: a tick needs 2490 µs at p99 and has 2000 µs; "
        "the highest rate that holds is 400"
    ]


def samples(plans: int = 64, tokens: int = 4) -> Samples:
    """Plans of 300 µs prefill and 200 µs a token; a decode takes 100 µs and 50 for each token."""
    prefix = 1 + np.arange(plans) % tokens
    return Samples(
        prefix,
        np.full(plans, 300_000),
        np.full((plans, tokens), 200_000),
        100_000 + 50_000 * prefix,
    )


def test_a_prefix_takes_its_prefill_its_tokens_and_a_decode_of_its_own_length() -> None:
    cost = plan_cost(samples(), 1_000)
    expected = [300_000 + k * 200_000 + 100_000 + k * 50_000 + PUBLISH_NS for k in (1, 2, 3, 4)]
    assert [quantiles.p99 for quantiles in cost.by_prefix] == expected
    assert cost.by_prefix[0].samples == 64


@pytest.mark.parametrize(
    ("budget_us", "prefix"), [(679, 0), (680, 1), (929, 1), (930, 2), (1_430, 4), (9_000, 4)]
)
def test_the_longest_prefix_within_the_budget_is_found(budget_us: int, prefix: int) -> None:
    cost = plan_cost(samples(), budget_us)
    assert [cost.prefix(share) for share in ("p50", "p99", "p999")] == [prefix] * 3
    assert (cost.verdict is Verdict.REFUSED) == (prefix == 0)


def test_a_slow_decode_is_nobodys_own_it_counts_for_every_prefix() -> None:
    measured = samples(plans=400)
    measured.decode_ns[8] += 5_000_000
    cost = plan_cost(measured, 20_000)
    highest = [quantiles.p999 for quantiles in cost.by_prefix]
    assert highest == sorted(highest)
    assert min(highest) > 2_000_000


def test_a_plan_that_fits_only_mostly_is_tight() -> None:
    rare = Quantiles(500_000, 900_000, 1_100_000, 1_000)
    assert PlanCost(1_000_000, (rare,)).verdict is Verdict.TIGHT


def test_a_budget_without_room_for_a_token_is_refused_by_name() -> None:
    cost = plan_cost(samples(), 400)
    assert reasons(TickCost(200), cost, 50.0, 320_000_000) == [
        "planner.budget_us 400 cannot hold: one token takes 680 µs at p99"
    ]


def test_a_budget_longer_than_a_chunk_lasts_is_refused() -> None:
    cost = plan_cost(samples(), 320_001)
    assert reasons(TickCost(200), cost, 50.0, 320_000_000) == [
        "planner.budget_us 320001 cannot hold: a plan is due every 320000 µs"
    ]
    assert reasons(TickCost(200), plan_cost(samples(), 320_000), 50.0, 320_000_000) == []
