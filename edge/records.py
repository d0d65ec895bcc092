"""Layouts of the records that cross processes, as NumPy structured dtypes of fixed size.

Times are monotonic nanoseconds, positions rad, velocities rad/s. Sizes come from the robot and its
bundle and never change during a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.bundle import Manifest
from edge.session import Session
from edge.shared_memory import Mailbox, Record, Ring

TICK_SLOTS = 8192
PLAN_SLOTS = 1024
REASON_BYTES = 96

Dtype = np.dtype[Any]

# ``arms`` counts how often a person has asked to arm joints that had stopped by themselves.
CONTROL: Dtype = np.dtype(
    [("heartbeat_ns", "<i8"), ("mode", "<i4"), ("episode", "<i4"), ("arms", "<i4")]
)


def request_dtype(manifest: Manifest) -> Dtype:
    """An observation to plan from; or, with plan 0, word of when the next one will come.

    ``epoch`` grows whenever motion stops: older plans are void.
    """
    steps = manifest.n_obs_steps
    features = [(feature.key, "<f4", (steps, feature.size)) for feature in manifest.observation]
    head = [(name, "<i8") for name in ("plan", "epoch", "observed_ns", "deadline_ns")]
    return np.dtype([*head, ("features", np.dtype(features))])


def chunk_dtype(manifest: Manifest) -> Dtype:
    """A chunk: ``actions[:valid]`` are decoded from the first ``prefix`` tokens."""
    shape = (manifest.action.action_horizon, len(manifest.action.names))
    return np.dtype(
        [
            ("plan", "<i8"),
            ("epoch", "<i8"),
            ("observed_ns", "<i8"),
            ("prefix", "<i4"),
            ("valid", "<i4"),
            ("actions", "<f4", shape),
        ]
    )


def drive_dtype(wheels: int) -> Dtype:
    """What the base's joints shall do, in the robot's order of them, and when that was decided."""
    return np.dtype([("stamp_ns", "<i8"), ("velocity_rad_s", "<f8", (wheels,))])


def tick_dtype(joints: int, buses: int = 1) -> Dtype:
    """One servo tick: what was measured, commanded, on which rung, and how long each stage took.

    ``slow_stage`` is the ``edge.stages.Stage`` that made it late; ``spun_ns`` was spun before it,
    of at most ``slack_ns``. ``bus_ns`` is what reading and writing took on each bus, in the robot's
    order; ``bus_missed``, whether that bus brought no reading in this tick. ``reference`` is a
    velocity for joints that take velocities, ``command`` its integral.
    """
    return np.dtype(
        [
            ("tick", "<i8"),
            ("due_ns", "<i8"),
            ("late_ns", "<i8"),
            ("skipped", "<i8"),
            ("read_ns", "<i8"),
            ("decide_ns", "<i8"),
            ("write_ns", "<i8"),
            ("slack_ns", "<i8"),
            ("spun_ns", "<i8"),
            ("slow_stage", "<i4"),
            ("overrun", "<i4"),
            ("rung", "<i4"),
            ("mode", "<i4"),
            ("episode", "<i4"),
            ("prefix", "<i4"),
            ("sent", "<i4"),
            ("plan", "<i8"),
            ("at_home", "<i4"),
            ("disarmed", "<i4"),
            ("fresh", "<i4"),
            ("state_age_ns", "<i8"),
            ("plan_age_ns", "<i8"),
            ("measured", "<f8", (joints,)),
            ("reference", "<f8", (joints,)),
            ("command", "<f8", (joints,)),
            ("bus_ns", "<i8", (buses,)),
            ("bus_missed", "<i4", (buses,)),
            ("reason", f"S{REASON_BYTES}"),
        ]
    )


def reason_of(tick: Record) -> str:
    """The reason in a tick's record, as text."""
    reason: bytes = tick["reason"].item()  # without the padding, which bytes() would keep
    return reason.decode(errors="replace")


def plan_dtype(tokens: int) -> Dtype:
    """One plan: how long each stage took.

    ``prefix`` tokens were in the chunk that counts, published at ``published_ns``: the finest that
    was in time, else the first. ``generated`` tokens there were in all. ``coarse``: a coarser chunk
    went ahead of the last one.
    ``throttle``: how much slower the clocks are than when the stages were profiled, and why.
    """
    return np.dtype(
        [
            ("plan", "<i8"),
            ("observed_ns", "<i8"),
            ("deadline_ns", "<i8"),
            ("started_ns", "<i8"),
            ("published_ns", "<i8"),
            ("prefix", "<i4"),
            ("generated", "<i4"),
            ("late", "<i4"),
            ("coarse", "<i4"),
            ("throttle", "<f8"),
            ("throttle_reason", f"S{REASON_BYTES}"),
            ("prefill_ns", "<i8"),
            ("token_ns", "<i8", (tokens,)),
            ("decode_ns", "<i8"),
        ]
    )


@dataclass(frozen=True, slots=True)
class Channels:
    """Every mailbox and ring of a session."""

    control: Mailbox
    request: Mailbox
    chunk: Mailbox
    drive: Mailbox
    ticks: Ring
    plans: Ring

    @staticmethod
    def open(session: Session, manifest: Manifest, *, create: bool = False) -> Channels:
        """Open the session's channels, or create them (the supervisor does, before anyone else)."""
        file = session.file
        ticks = tick_dtype(len(session.robot.joints), len(session.robot.buses))
        drive = drive_dtype(len(session.robot.velocity_joints))
        plans = plan_dtype(manifest.tokenizer.tokens)
        return Channels(
            control=Mailbox(file("control"), CONTROL, create=create),
            request=Mailbox(file("request"), request_dtype(manifest), create=create),
            chunk=Mailbox(file("chunk"), chunk_dtype(manifest), create=create),
            drive=Mailbox(file("drive"), drive, create=create),
            ticks=Ring(file("ticks"), ticks, TICK_SLOTS, create=create),
            plans=Ring(file("plans"), plans, PLAN_SLOTS, create=create),
        )
