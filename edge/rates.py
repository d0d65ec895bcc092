"""The one table of rates and time limits that are not a robot's own; robot.yaml holds those."""

from __future__ import annotations

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_US = 1_000

SWITCH_S = 1e-4  # a thread that computes lets another one on after so long

SUPERVISOR_HZ = 20  # drain telemetry, look after the processes, write the status file
VIEW_HZ = 8  # redraw the terminal
TRACKER_HZ = 100  # cube poses from the simulated tracker
SUCCESS_HZ = 50  # the task's own clock: what its success predicate counts in

LEASE_NS = 500 * NS_PER_MS  # supervisor silent for longer: the servo stops the arm
DRIVE_NS = 250 * NS_PER_MS  # the base's velocities, sent at SUPERVISOR_HZ, count for so long
ABANDONED_NS = 3 * NS_PER_S  # supervisor silent for longer: the servo ends, the arm holding
RESTART_BACKOFF_NS = (0, 200 * NS_PER_MS, 1 * NS_PER_S, 5 * NS_PER_S)  # planner restarts in a row
REOPEN_BACKOFF_NS = (100 * NS_PER_MS, 200 * NS_PER_MS, 500 * NS_PER_MS)  # attempts at a lost port
ENGAGE_NS = 3 * NS_PER_S  # joints not enabled and read again by then are not engaged
START_TIMEOUT_NS = 20 * NS_PER_S  # a process that is not ready by then has failed
STOP_TIMEOUT_NS = 3 * NS_PER_S  # a process that has not ended by then is killed


def period_ns(rate_hz: float) -> int:
    """Length of one period in nanoseconds, rounded to the nearest."""
    return round(NS_PER_S / rate_hz)
