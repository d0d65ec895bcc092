"""The joint bus over Damiao motors."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.can_bus.joint_bus import CanJointBus, CycleTiming
from firmware_bridge.can_bus.link import CanLink
from firmware_bridge.damiao.codec import KD_MAX, KP_MAX, MAX_MOTOR_ID
from firmware_bridge.damiao.dialect import DamiaoDialect
from firmware_bridge.damiao.setup import DamiaoSetup
from firmware_bridge.joint_map import JointMap, check
from firmware_bridge.transports.can_port import CanTransport

DEFAULT_KP = 30.0
DEFAULT_KD = 1.0


@dataclass(frozen=True, slots=True)
class DamiaoConfig:
    """Motors by id; each answers from its id + ``master_offset``.

    ``kp`` [Nm/rad] and ``kd`` [Nm s/rad] per joint make a position a command. ``watchdog_ms`` of
    silence make a motor disable itself, and an arm without brakes falls: 0, the default, lets it
    hold its last command.
    """

    joints: JointMap
    master_offset: int = 0x10
    kp: tuple[float, ...] = ()
    kd: tuple[float, ...] = ()
    watchdog_ms: int = 0
    riding: bool = True
    reply_timeout_us: int = 4000
    read_budget_us: int = 9000

    def __post_init__(self) -> None:
        self.joints.check_ids(1, MAX_MOTOR_ID)
        count = len(self.joints)
        object.__setattr__(self, "kp", tuple(self.kp) or (DEFAULT_KP,) * count)
        object.__setattr__(self, "kd", tuple(self.kd) or (DEFAULT_KD,) * count)
        for key, values, highest in (("kp", self.kp, KP_MAX), ("kd", self.kd, KD_MAX)):
            check(len(values) == count, key, values, f"{count} entries")
            check(all(0 < v <= highest for v in values), key, values, f"above 0 to {highest:g}")
        check(self.watchdog_ms >= 0, "watchdog_ms", self.watchdog_ms, "0 and above")
        ids = self.joints.ids
        apart = not {i + self.master_offset for i in ids} & set(ids)
        check(apart, "master_offset", self.master_offset, "answers from other ids than commands")


def damiao_bus(transport: CanTransport, config: DamiaoConfig) -> CanJointBus:
    """A ``JointBus`` over the motors of ``config``; ranges come from the motors at ``open``."""
    ids, offset = config.joints.ids, config.master_offset
    dialect = DamiaoDialect(config.joints, offset, config.kp, config.kd)
    setup = DamiaoSetup(CanLink(transport), ids, offset, dialect, config.watchdog_ms)
    timing = CycleTiming(
        config.reply_timeout_us, config.read_budget_us, config.riding, config.watchdog_ms // 2
    )
    return CanJointBus(transport, dialect, setup, ids, timing)
