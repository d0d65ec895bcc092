"""Names of ODrive axis errors, which the two firmwares number differently."""

from __future__ import annotations

WATCHDOG_0_5 = 0x800
WATCHDOG_0_6 = 0x100_0000
ESTOP_0_5 = 0x4000
ESTOP_0_6 = 0x200_0000

AXIS_ERRORS_0_5 = {
    0x1: "invalid state",
    0x40: "motor failed",
    0x80: "sensorless estimator failed",
    0x100: "encoder failed",
    0x200: "controller failed",
    WATCHDOG_0_5: "watchdog timer expired",
    0x1000: "minimum endstop pressed",
    0x2000: "maximum endstop pressed",
    ESTOP_0_5: "e-stop requested",
    0x20000: "homing without endstop",
    0x40000: "over-temperature",
    0x80000: "unknown position",
}

AXIS_ERRORS_0_6 = {
    0x1: "initializing",
    0x2: "system level",
    0x4: "timing error",
    0x8: "missing estimate",
    0x10: "bad configuration",
    0x20: "gate driver fault",
    0x40: "missing input",
    0x100: "bus over-voltage",
    0x200: "bus under-voltage",
    0x400: "bus over-current",
    0x800: "bus over-regeneration",
    0x1000: "current limit violation",
    0x2000: "motor over-temperature",
    0x4000: "inverter over-temperature",
    0x8000: "velocity limit violation",
    0x10000: "position limit violation",
    WATCHDOG_0_6: "watchdog timer expired",
    ESTOP_0_6: "e-stop requested",
    0x400_0000: "spinout detected",
    0x800_0000: "brake resistor disarmed",
    0x1000_0000: "thermistor disconnected",
    0x4000_0000: "calibration error",
}


def describe_axis_error(bits: int, firmware: tuple[int, int]) -> str:
    """Names of the set bits, joined by commas, in the numbering of firmware (major, minor)."""
    names = AXIS_ERRORS_0_5 if firmware < (0, 6) else AXIS_ERRORS_0_6
    known = [name for bit, name in names.items() if bits & bit]
    return ", ".join(known) if known else f"code {bits:#x}"
