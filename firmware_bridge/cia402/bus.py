"""The joint bus over CiA 402 drives."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.can_bus.joint_bus import CanJointBus, CycleTiming
from firmware_bridge.can_bus.link import CanLink
from firmware_bridge.cia402.dialect import Cia402Dialect
from firmware_bridge.cia402.objects import MAX_NODE
from firmware_bridge.errors import PortError
from firmware_bridge.joint_map import JointMap, check
from firmware_bridge.transports.can_port import CanTransport

HEARTBEATS_PER_WATCHDOG = 4


@dataclass(frozen=True, slots=True)
class Cia402Config:
    """Drives by node id; a drive counts turns of its motor (608Fh), ``gear_ratios`` lead to joints.

    ``watchdog_ms`` without a heartbeat of ``host_id`` put a drive into quick stop, where it holds
    (0: never). ``cycle_ms`` is the time between setpoints that drives interpolate over (60C2h).
    """

    joints: JointMap
    host_id: int = MAX_NODE
    watchdog_ms: int = 100
    cycle_ms: int = 5
    riding: bool = True
    reply_timeout_us: int = 4000
    read_budget_us: int = 9000

    def __post_init__(self) -> None:
        self.joints.check_ids(1, MAX_NODE)
        free = 1 <= self.host_id <= MAX_NODE and self.host_id not in self.joints.ids
        check(free, "host_id", self.host_id, f"1 to {MAX_NODE}, no drive's")
        check(0 <= self.watchdog_ms <= 0xFFFF, "watchdog_ms", self.watchdog_ms, "0 to 65535")
        check(1 <= self.cycle_ms <= 255, "cycle_ms", self.cycle_ms, "1 to 255")


def cia402_bus(transport: CanTransport, config: Cia402Config) -> CanJointBus:
    """A ``JointBus`` over the drives of ``config``; raises ``PortError`` without ``canopen``."""
    try:
        from firmware_bridge.cia402.network import SdoNetwork
    except ModuleNotFoundError as error:
        raise PortError("CANopen needs canopen: pip install 'oat-edge[can]'") from error
    from firmware_bridge.cia402.setup import Cia402Setup

    nodes, watchdog_ms = config.joints.ids, config.watchdog_ms
    heartbeat_ms = watchdog_ms // HEARTBEATS_PER_WATCHDOG
    dialect = Cia402Dialect(config.joints, config.host_id, heartbeat_ms)
    setup = Cia402Setup(
        CanLink(transport),
        SdoNetwork(transport, nodes),
        nodes,
        dialect,
        config.host_id,
        watchdog_ms,
        config.cycle_ms,
    )
    timing = CycleTiming(
        config.reply_timeout_us, config.read_budget_us, config.riding, watchdog_ms // 2
    )
    return CanJointBus(transport, dialect, setup, nodes, timing)
