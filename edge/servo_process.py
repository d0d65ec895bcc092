"""The servo process: opens the bus and the trackers, then runs the loop."""

from __future__ import annotations

import time
from pathlib import Path

from edge import bundle
from edge.bundle import COMMAND_KEY, Manifest
from edge.bus_group import BusGroup
from edge.buses import build_bus
from edge.drive import DriveReference
from edge.engaging import Engageable
from edge.operator import Operator
from edge.pilot import Pilot
from edge.process import make_real_time, ready
from edge.reading import JointReader
from edge.records import Channels
from edge.requests import PlanRequests
from edge.robot import Robot
from edge.sensing import STATE_KEY, Sensing
from edge.servo import Servo
from edge.session import Bell, Session
from edge.tracker import TrackerSocket
from firmware_bridge.bus import JointBus


def run(session: Session) -> None:
    """Run the loop to its end. The bus is opened with torque off and closed as it then stands."""
    manifest, _ = bundle.read_manifest(session.bundle)
    bus = build_bus(session.robot)
    bus.open()
    trackers: list[TrackerSocket] = []
    try:
        trackers += open_trackers(session.robot, manifest)
        servo = assemble(session, manifest, bus, bus, trackers)
        make_real_time(session, "servo", session.robot.servo)
        ready(session, "servo")
        servo.run()
    finally:
        bus.close()
        for tracker in trackers:
            tracker.close()


def open_trackers(robot: Robot, manifest: Manifest) -> list[TrackerSocket]:
    """A socket for every feature that comes from outside of the bus."""
    return [
        TrackerSocket(feature.key, Path(robot.trackers[feature.key].socket), feature.size)
        for feature in manifest.observation
        if feature.key not in (STATE_KEY, COMMAND_KEY)
    ]


def assemble(
    session: Session,
    manifest: Manifest,
    bus: JointBus | BusGroup,
    joints: Engageable,
    trackers: list[TrackerSocket],
) -> Servo:
    """The servo on an open bus, whose joints are ``joints``, and the session's channels."""
    robot = session.robot
    channels = Channels.open(session, manifest)
    bell = Bell(session.file("bell"))
    operator = Operator(channels.control, time.monotonic_ns())
    reader = bus if isinstance(bus, BusGroup) else JointReader(bus)
    sensing = Sensing(robot, manifest, reader, trackers)
    requests = PlanRequests(robot, manifest, channels.request, channels.chunk, bell)
    drive = DriveReference(channels.drive)
    pilot = Pilot(robot, manifest, operator, sensing, requests, joints, drive)
    return Servo(robot, bus, sensing, pilot, operator, channels.ticks)
