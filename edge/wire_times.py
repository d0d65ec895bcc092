"""What a robot's cycle costs on its wires, and the rates that no device can hold."""

from __future__ import annotations

from edge.errors import RunError
from edge.rates import NS_PER_US, period_ns
from edge.robot import Robot
from edge.robot_buses import OATLINKS, Bus
from firmware_bridge.can_bus.bit_time import BitRates
from firmware_bridge.can_bus.wire_cost import CYCLES
from firmware_bridge.wire_cost import CycleCost, TimedCost


def wire_costs(robot: Robot) -> dict[str, CycleCost]:
    """Wire time of a cycle on each bus, at its bit rate."""
    return {name: _wire_cost(robot, name, bus) for name, bus in robot.buses.items()}


def _wire_cost(robot: Robot, name: str, bus: Bus) -> CycleCost:
    ids = tuple(joint.id for joint in robot.joints if joint.bus == name)
    rates = BitRates(bus.bitrate, bus.data_bitrate)
    if bus.protocol in CYCLES:
        return CYCLES[bus.protocol].cost(len(ids), rates)
    if bus.protocol == "dynamixel":
        from firmware_bridge.dynamixel.wire_cost import wire_cost as dynamixel_cost

        return dynamixel_cost(ids, bus.baud, bus.fast_sync_read)
    if bus.protocol == "feetech":
        from firmware_bridge.feetech.wire_cost import wire_cost as feetech_cost

        return feetech_cost(ids, bus.baud)
    if bus.protocol in OATLINKS:
        from firmware_bridge.oatlink import wire_cost as oatlink

        on_can = bus.protocol == "oatlink_fd"
        count = len(ids)
        return oatlink.fd_wire_cost(count, rates) if on_can else oatlink.wire_cost(count, bus.baud)
    return _foreign_cost(bus.protocol, len(ids))


def _foreign_cost(protocol: str, joints: int) -> CycleCost:
    """What another package says of its protocol, which is at its default rates."""
    from firmware_bridge.protocols import load_protocols

    cycle_us = load_protocols(protocol)[protocol].wire_us(joints)
    return TimedCost(round(cycle_us * NS_PER_US), 0, f"as {protocol} says, at its default rates")


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
                f"({cost.text}), a tick has "
                f"{period_ns(rate_hz) / NS_PER_US:.0f} µs"
            )
