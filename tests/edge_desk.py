"""A servo's desk: requests, sensing and tracker on real channels, and a planner's hand."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np

from edge.reading import JointReader
from edge.records import chunk_dtype, request_dtype
from edge.requests import PlanRequests
from edge.sensing import Sensing
from edge.session import Bell
from edge.shared_memory import Mailbox, Record
from edge.tracker import TrackerSocket, encode
from tests.edge_parts import POSE_KEY, TICK_NS, MemoryBus, make_manifest, make_robot

T0 = 1_000_000_000_000
BUDGET_NS = 10_000_000
START = np.array([0.5, 0.25])


class Desk:
    """The servo's side of the two mailboxes, and a planner's hand on the other side."""

    def __init__(self, folder: Path) -> None:
        self.robot, self.manifest = make_robot(), make_manifest()
        for name, dtype in (
            ("request", request_dtype(self.manifest)),
            ("chunk", chunk_dtype(self.manifest)),
        ):
            Mailbox(folder / name, dtype, create=True)
        self.posted = Mailbox(folder / "request", request_dtype(self.manifest))
        self._answers = Mailbox(folder / "chunk", chunk_dtype(self.manifest))
        self.bell = Bell(folder / "bell", create=True)
        self.requests = PlanRequests(
            self.robot,
            self.manifest,
            Mailbox(folder / "request", request_dtype(self.manifest)),
            Mailbox(folder / "chunk", chunk_dtype(self.manifest)),
            Bell(folder / "bell"),
        )
        self.tracker = TrackerSocket(POSE_KEY, folder / "pose.socket", 3)
        self.now_ns = T0
        self.bus = MemoryBus(lambda: self.now_ns, START)
        self.sensing = Sensing(self.robot, self.manifest, JointReader(self.bus), [self.tracker])
        self._pose = os.fspath(folder / "pose.socket")

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.tracker.close()

    def observe(self, ticks: int = 8, pose: float = 0.0) -> None:
        for _ in range(ticks):
            self.now_ns += TICK_NS
            self.send(np.full(3, pose, np.float32))
            self.sensing.update(self.sensing.read(), START, self.now_ns)

    def send(self, pose: np.ndarray) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(encode(self.now_ns, pose), self._pose)

    def ask(self) -> Record:
        assert self.requests.ask(self.sensing, START, self.now_ns) is None
        request = self.posted.take()
        assert request is not None
        return request.copy()

    def answer(
        self, request: Record, prefix: int = 4, valid: int = 8, step_rad: float | None = None
    ) -> None:
        """Post a chunk: actions 1, 2, 3 … rad; with ``step_rad`` a slow motion from where it is."""
        record = np.zeros((), chunk_dtype(self.manifest))
        for name in ("plan", "epoch", "observed_ns"):
            record[name] = request[name]
        record["prefix"], record["valid"] = prefix, valid
        steps = np.arange(1.0, 9.0)[:, None]
        start = request["features"]["observation.command"][-1]
        record["actions"] = steps if step_rad is None else start + step_rad * np.sin(steps / 3)
        self._answers.post(record)
