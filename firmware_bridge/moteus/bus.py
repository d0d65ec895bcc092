"""The joint bus over moteus servos."""

from __future__ import annotations

import math
from dataclasses import dataclass

from firmware_bridge.can_bus.joint_bus import CanJointBus, CycleTiming
from firmware_bridge.can_bus.link import CanLink
from firmware_bridge.joint_map import JointMap, check
from firmware_bridge.moteus.codec import MAX_ID
from firmware_bridge.moteus.dialect import MoteusDialect
from firmware_bridge.moteus.setup import MoteusSetup
from firmware_bridge.transports.can_port import CanTransport


@dataclass(frozen=True, slots=True)
class MoteusConfig:
    """Servos by id; ``gear_ratios`` stay 1 where the servo's own ``rotor_to_output_ratio`` is set.

    ``watchdog_ms`` travels in every command: after such a silence a servo leaves position mode and
    stays out until it is enabled again (0: never).
    """

    joints: JointMap
    watchdog_ms: int = 100
    riding: bool = True
    reply_timeout_us: int = 2000
    read_budget_us: int = 5000

    def __post_init__(self) -> None:
        self.joints.check_ids(1, MAX_ID)
        check(self.watchdog_ms >= 0, "watchdog_ms", self.watchdog_ms, "0 and above")


def moteus_bus(transport: CanTransport, config: MoteusConfig) -> CanJointBus:
    """A ``JointBus`` over the servos of ``config``, on a CAN-FD transport."""
    watchdog_s = config.watchdog_ms / 1000.0 if config.watchdog_ms else math.inf
    dialect = MoteusDialect(config.joints, watchdog_s)
    setup = MoteusSetup(CanLink(transport), config.joints.ids, dialect)
    timing = CycleTiming(
        config.reply_timeout_us, config.read_budget_us, config.riding, config.watchdog_ms // 2
    )
    return CanJointBus(transport, dialect, setup, config.joints.ids, timing)
