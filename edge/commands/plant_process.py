"""The plant process: MuJoCo physics behind emulated servos, a tracker, and the task's referee.

It is hardware to the runtime: a tty, and datagrams with the pose of the cube. What only a person
beside the robot could do or know (lay the cube anew, see that it was lifted) goes over two records
of its own, ``place`` and ``truth``.
"""

from __future__ import annotations

import socket
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

import numpy as np

from edge.commands.plant_lines import (
    SERVO_PROTOCOLS,
    arm_bus,
    make_arm_line,
    make_plant,
    serve_robot,
)
from edge.commands.plant_records import PLACE, TRUTH
from edge.process import is_orphaned, make_real_time, ready
from edge.rates import NS_PER_S, SUCCESS_HZ, TRACKER_HZ, period_ns
from edge.robot import RealTime
from edge.robot_buses import Bus
from edge.session import Session
from edge.shared_memory import Mailbox
from edge.tracker import encode
from firmware_bridge.emulation.paced_pty import PacedPty
from models.tasks import get_task
from models.tasks.seeds import evaluation_rng

PRIORITY = 70  # hardware does not wait for software: above the planner, below the servo, whose
# core it shares: they take turns on the bus anyway, and the planner stays undisturbed
ORPHAN_CHECK_NS = NS_PER_S // 4


def run(session: Session) -> None:
    """Serve until ended by a signal, or until the session's directory is gone."""
    endpoint = make_arm_line(session.robot)
    try:
        stage = Stage(session, endpoint)
        settings = RealTime(priority=PRIORITY, core=session.robot.servo.core)
        make_real_time(session, "plant", settings)
        with controller_in_front(arm_bus(session.robot), endpoint):
            stage.run()
    finally:
        endpoint.close()


def controller_in_front(bus: Bus, endpoint: PacedPty) -> AbstractContextManager[object]:
    """What stands between the servos and the robot's port; nothing for servos' own protocol."""
    if bus.protocol in SERVO_PROTOCOLS:
        return nullcontext()
    from firmware_bridge.emulation.controllers import HostController, QemuController

    if bus.controller == "qemu":
        return QemuController(endpoint.path, Path(bus.port))
    key_file = None if bus.key_file is None else Path(bus.key_file)
    return HostController(endpoint.path, Path(bus.port), key_file)


class Stage:
    """The plant, its servos, the tracker and the referee, in one loop."""

    def __init__(self, session: Session, endpoint: PacedPty) -> None:
        self._session = session
        self._task = get_task(session.robot.plant or "")
        self._plant = make_plant(session.robot)
        random = np.random.default_rng(session.seed)
        self._plant.reset(random)
        self._base = session.robot.base
        if self._base is not None:
            self._plant.place_base(random)
        self._robot = serve_robot(session.robot, self._plant, endpoint)
        self._success = self._task.make_success()
        self._place = Mailbox(session.file("place"), PLACE)
        self._truth_box = Mailbox(session.file("truth"), TRUTH)
        self._truth = np.zeros((), TRUTH)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def run(self) -> None:
        """Physics and bus all the time; tracker and referee at their own rates."""
        ready(self._session, "plant")
        track_ns = judge_ns = alive_ns = time.monotonic_ns()
        while True:
            self._robot.run_until(min(track_ns, judge_ns))
            now_ns = time.monotonic_ns()
            if now_ns >= track_ns:
                self._send_poses()
                track_ns += period_ns(TRACKER_HZ)
            if now_ns >= judge_ns:
                self._judge()
                judge_ns += period_ns(SUCCESS_HZ)
            if now_ns >= alive_ns:
                if is_orphaned(self._session):
                    return
                alive_ns = now_ns + ORPHAN_CHECK_NS

    def _send_poses(self) -> None:
        """Where the scene's things are from the arm, and where the base is on the floor."""
        for key, tracker in self._session.robot.trackers.items():
            of_base = self._base is not None and key == self._base.pose
            pose = self._plant.base_pose if of_base else self._plant.environment_state
            datagram = encode(time.monotonic_ns(), np.asarray(pose, np.float32))
            with suppress(FileNotFoundError, ConnectionRefusedError, BlockingIOError):
                self._socket.sendto(datagram, tracker.socket)  # whether anybody listens or not

    def _judge(self) -> None:
        """Lay the cube anew when asked to; say whether it has been lifted since."""
        asked = self._place.take()
        if asked is not None:
            episode = int(asked["episode"])
            self._plant.place_cube(evaluation_rng(self._session.seed, episode))
            self._success = self._task.make_success()
            self._truth["episode"] = episode
        self._truth["succeeded"] = self._success.update(self._plant)
        self._truth["height_m"] = self._plant.cube_height_m
        self._truth["slipped_ns"] = self._robot.slipped_ns
        self._truth_box.post(self._truth)
