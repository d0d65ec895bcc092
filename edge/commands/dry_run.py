"""``oat-edge run --dry-run``: what the rates cost on this device, before anything moves."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edge.bundle import Bundle
from edge.buses import build_bus
from edge.commands.bundles import find_bundle
from edge.commands.dry_run_table import print_report
from edge.commands.launch import plant_records, resolve_ports
from edge.commands.session_directory import session_directory
from edge.engines import build_engine
from edge.engines.whole_chunk import for_budget
from edge.errors import RunError
from edge.fit import check_fit
from edge.profiling import measure
from edge.rates import NS_PER_S, NS_PER_US, START_TIMEOUT_NS, period_ns
from edge.realtime import configure
from edge.rehearsal import Rehearsal
from edge.robot import Robot
from edge.robot_buses import EMULATED
from edge.schedulability import (
    PlanCost,
    Quantiles,
    TickCost,
    Verdict,
    plan_cost,
    reasons,
)
from edge.session import Session
from edge.signature import load_admitted
from edge.supervisor import Child
from edge.ticker import Ticker
from edge.wire_times import wire_costs
from firmware_bridge.errors import BusTimeout, ProtocolError

REHEARSE_S = 2.0
READ_S = 1.0
PLAN_S = 5.0
TRIAL_PLANS = 40  # to learn how many fit into PLAN_S
MOST_PLANS = 5_000
LEAST_READS = 50


def dry_run(robot: Robot, bundle_name: str, as_json: bool) -> None:
    """Print the report. Raises RunError with the reasons where the rates cannot hold."""
    path = find_bundle(bundle_name)
    loaded = load_admitted(path, robot.bundle_policy)
    check_fit(robot, loaded.manifest, path)
    report = examine(robot, loaded)
    if as_json:
        print(json.dumps(report))
    else:
        print_report(report)
    if report["reasons"]:
        raise RunError("; ".join(report["reasons"]))


def examine(robot: Robot, loaded: Bundle) -> dict[str, Any]:
    """The report, JSON values in µs. Raises OatEdgeError where something is missing.

    What the wire alone rules out is not measured any more.
    """
    wire = wire_costs(robot)
    tick = TickCost(robot.servo.rate_hz, wire)
    plan: PlanCost | None = None
    if tick.verdict is not Verdict.REFUSED:
        tick, plan = _measured(robot, loaded)
    step_hz = loaded.manifest.action.rate_hz
    horizon_ns = loaded.manifest.action.execution_horizon * period_ns(step_hz)
    refusals = reasons(tick, plan, step_hz, horizon_ns)
    verdicts = [tick.verdict] + ([plan.verdict] if plan is not None else [])
    return {
        "robot": robot.name,
        "bundle": loaded.manifest.name,
        "cores": len(os.sched_getaffinity(0)),
        "servo": _servo_report(robot, tick, step_hz),
        "planner": _planner_report(robot, plan),
        "verdict": _overall(verdicts, refusals).value,
        "reasons": refusals,
    }


def _overall(verdicts: list[Verdict], refusals: list[str]) -> Verdict:
    if refusals:
        return Verdict.REFUSED
    return Verdict.TIGHT if Verdict.TIGHT in verdicts else Verdict.HOLDS


def _measured(robot: Robot, loaded: Bundle) -> tuple[TickCost, PlanCost]:
    with session_directory() as directory:
        read = _read_bus(robot, directory, loaded.path)
    with session_directory() as directory:
        compute = _rehearse(robot, directory, loaded)
    tick = TickCost(robot.servo.rate_hz, wire_costs(robot), read, compute)
    return tick, _plan(robot, loaded)


def _rehearse(robot: Robot, directory: Path, loaded: Bundle) -> Quantiles:
    session = _session(_all_emulated(robot), directory, loaded.path)
    configure(robot.servo)
    rehearsal = Rehearsal(session, loaded.manifest)
    try:
        return Quantiles.of(rehearsal.run(REHEARSE_S))
    finally:
        rehearsal.close()


def _read_bus(robot: Robot, directory: Path, path: Path) -> Quantiles:
    """Read the real or emulated bus at the robot's rate; torque stays as it is."""
    session = _session(robot, directory, path)
    with _plant(session, robot.emulated):
        bus = build_bus(session.robot)
        bus.open()
        try:
            return Quantiles.of(_time_reads(bus, robot.servo.rate_hz))
        finally:
            bus.close()


def _time_reads(bus: Any, rate_hz: int) -> Any:
    ticker = Ticker(period_ns(rate_hz), 0)
    taken_ns = []
    for _ in range(max(LEAST_READS, round(READ_S * rate_hz))):
        ticker.wait()
        began_ns = time.monotonic_ns()
        with suppress(BusTimeout, ProtocolError):  # a lost answer costs all of its budget
            bus.read_state()
        taken_ns.append(time.monotonic_ns() - began_ns)
    return np.array(taken_ns)


@contextmanager
def _plant(session: Session, emulated: bool) -> Iterator[None]:
    """The emulated hardware, where the robot asks for it."""
    if not emulated:
        yield
        return
    plant_records(session, emulated)
    session.save()
    plant = Child(session, "plant")
    plant.start()
    try:
        give_up_ns = time.monotonic_ns() + START_TIMEOUT_NS
        while not plant.ready:
            if plant.failure or time.monotonic_ns() > give_up_ns:
                raise RunError(plant.failure or "plant is not ready")
            time.sleep(0.01)
        yield
    finally:
        plant.stop()


def _plan(robot: Robot, loaded: Bundle) -> PlanCost:
    settings = robot.planner
    engine = build_engine(loaded, settings.engine, settings.precision)
    engine = for_budget(engine, loaded.manifest, settings.budget_us * NS_PER_US)
    configure(settings)
    began_ns = time.monotonic_ns()
    measure(engine, loaded.manifest, TRIAL_PLANS)
    each_s = (time.monotonic_ns() - began_ns) / NS_PER_S / TRIAL_PLANS
    plans = min(MOST_PLANS, max(TRIAL_PLANS, round(PLAN_S / each_s)))
    return plan_cost(measure(engine, loaded.manifest, plans), settings.budget_us)


def _session(robot: Robot, directory: Path, path: Path) -> Session:
    resolved = resolve_ports(robot, directory)
    return Session(directory=directory, robot=resolved, bundle=path, seed=0)


def _all_emulated(robot: Robot) -> Robot:
    """The robot with nothing real: a rehearsal must not take a real port or socket."""
    buses = {n: bus.model_copy(update={"port": EMULATED}) for n, bus in robot.buses.items()}
    trackers = {k: t.model_copy(update={"socket": EMULATED}) for k, t in robot.trackers.items()}
    return robot.model_copy(update={"buses": buses, "trackers": trackers})


def _servo_report(robot: Robot, tick: TickCost, step_hz: float) -> dict[str, Any]:
    return {
        "rate_hz": tick.rate_hz,
        "period_us": tick.period_ns / NS_PER_US,
        "buses": {
            name: {
                "cycle": cost.text,
                "read_us": cost.read_ns / NS_PER_US,
                "write_us": cost.write_ns / NS_PER_US,
            }
            for name, cost in tick.wire.items()
        },
        "measured_read_us": _us(tick.read),
        "compute_us": _us(tick.compute),
        "tick_us": {share: tick.need_ns(share) / NS_PER_US for share in ("p50", "p99", "p999")},
        "utilisation_p99": round(tick.need_ns() / tick.period_ns, 3),
        "highest_rate_hz": tick.highest_rate_hz(step_hz),
        "verdict": tick.verdict.value,
    }


def _planner_report(robot: Robot, plan: PlanCost | None) -> dict[str, Any] | None:
    if plan is None:
        return None
    return {
        "engine": robot.planner.engine,
        "precision": robot.planner.precision,
        "budget_us": plan.budget_ns // NS_PER_US,
        "plan_us": {str(k): _us(q) for k, q in enumerate(plan.by_prefix, start=1)},
        "prefix": {share: plan.prefix(share) for share in ("p50", "p99", "p999")},
        "verdict": plan.verdict.value,
    }


def _us(quantiles: Quantiles | None) -> dict[str, float] | None:
    if quantiles is None:
        return None
    values = asdict(quantiles)
    samples = values.pop("samples")
    return {name: value / NS_PER_US for name, value in values.items()} | {"samples": samples}
