"""The joint bus over ODrive axes."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.can_bus.joint_bus import CanJointBus, CycleTiming
from firmware_bridge.can_bus.link import CanLink
from firmware_bridge.joint_map import JointMap, check
from firmware_bridge.odrive.codec import MAX_NODE
from firmware_bridge.odrive.dialect import ODriveDialect
from firmware_bridge.odrive.setup import ODriveSetup
from firmware_bridge.transports.can_port import CanTransport


@dataclass(frozen=True, slots=True)
class ODriveConfig:
    """Axes by node id; ``gear_ratios`` are motor turns per joint turn.

    Axes of joints that take velocities run in velocity control, the others in position control.

    ``watchdog_ms`` states what the axes' own watchdog is set to (0: off); CANSimple cannot set it.
    """

    joints: JointMap
    with_currents: bool = False
    watchdog_ms: int = 0
    reply_timeout_us: int = 4000
    read_budget_us: int = 9000

    def __post_init__(self) -> None:
        self.joints.check_ids(0, MAX_NODE)
        check(self.watchdog_ms >= 0, "watchdog_ms", self.watchdog_ms, "0 and above")


def odrive_bus(transport: CanTransport, config: ODriveConfig) -> CanJointBus:
    """A ``JointBus`` over the axes of ``config``; firmware 0.5 or 0.6 is found out at ``open``."""
    dialect = ODriveDialect(config.joints, config.with_currents)
    setup = ODriveSetup(CanLink(transport), config.joints.ids, dialect)
    timing = CycleTiming(
        config.reply_timeout_us, config.read_budget_us, silence_ms=config.watchdog_ms // 2
    )
    mask = config.joints.velocity_mask
    return CanJointBus(transport, dialect, setup, config.joints.ids, timing, mask)
