"""What a robot's cycle costs on its wires, and the rates that no device can hold."""

from __future__ import annotations

from edge.errors import RunError
from edge.rates import NS_PER_US, period_ns
from edge.robot import Robot
from edge.robot_buses import Bus
from firmware_bridge.dynamixel.wire_cost import wire_cost as dynamixel_wire_cost
from firmware_bridge.wire_cost import WireCost


def wire_costs(robot: Robot) -> dict[str, WireCost]:
    """Wire time of a cycle on each bus whose protocol is known here."""
    costs = {name: _wire_cost(robot, name, bus) for name, bus in robot.buses.items()}
    return {name: cost for name, cost in costs.items() if cost is not None}


def _wire_cost(robot: Robot, name: str, bus: Bus) -> WireCost | None:
    ids = tuple(joint.id for joint in robot.joints if joint.bus == name)
    if bus.protocol == "dynamixel":
        return dynamixel_wire_cost(ids, bus.baud, bus.fast_sync_read)
    return None


def check_wire(robot: Robot) -> None:
    """Refuse a rate that no device can hold: its bytes alone take longer than a period.

    Raises RunError naming the rate, the bus, and the time that it takes.
    """
    rate_hz = robot.servo.rate_hz
    for name, cost in wire_costs(robot).items():
        if cost.cycle_ns > period_ns(rate_hz):
            raise RunError(
                f"servo.rate_hz {rate_hz} cannot hold: a cycle takes "
                f"{cost.cycle_ns / NS_PER_US:.0f} µs on the wire of bus {name} "
                f"({_bytes(cost)} bytes at {cost.baud} baud), a tick has "
                f"{period_ns(rate_hz) / NS_PER_US:.0f} µs"
            )


def _bytes(cost: WireCost) -> int:
    return cost.question_bytes + cost.answer_bytes + cost.setpoint_bytes
