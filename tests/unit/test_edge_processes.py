from __future__ import annotations

import json
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest

from edge import process
from edge.commands.status_file import StatusFile
from edge.errors import EngineError, RunError, UsageError
from edge.process import BODIES, main
from edge.rates import RESTART_BACKOFF_NS, START_TIMEOUT_NS
from edge.records import CONTROL
from edge.session import Session
from edge.shared_memory import Mailbox
from edge.supervisor import CALM_NS, Child, Supervisor
from firmware_bridge.errors import PortError
from tests.edge_parts import make_robot
from tests.needs import require

ROOT = Path(__file__).parents[2]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    made = Session(directory=tmp_path, robot=make_robot(), bundle=tmp_path, seed=0)
    made.save()
    return made


def fail_with(
    monkeypatch: pytest.MonkeyPatch, session: Session, error: BaseException
) -> tuple[int, str]:
    """What a planner that raises ``error`` ends with, and the line that it leaves."""

    def run(_: Session) -> None:
        raise error

    module = types.SimpleNamespace(run=run)
    monkeypatch.setattr(process.importlib, "import_module", lambda _: module)
    code = main("planner", str(session.directory))
    file = session.file("planner.failure")
    return code, file.read_text(encoding="utf-8") if file.exists() else ""


@pytest.mark.parametrize(
    "error", [EngineError("no engine"), PortError("port /dev/x: no such file")]
)
def test_a_process_that_fails_leaves_one_line(
    monkeypatch: pytest.MonkeyPatch, session: Session, error: Exception
) -> None:
    assert fail_with(monkeypatch, session, error) == (1, str(error))


def test_whatever_a_process_dies_of_the_supervisor_learns_it(
    monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    with pytest.raises(ZeroDivisionError):
        fail_with(monkeypatch, session, ZeroDivisionError("division by zero"))
    line = session.file("planner.failure").read_text(encoding="utf-8")
    assert line == "ZeroDivisionError: division by zero"


def test_an_interrupt_is_no_failure(monkeypatch: pytest.MonkeyPatch, session: Session) -> None:
    assert fail_with(monkeypatch, session, KeyboardInterrupt()) == (0, "")


def test_a_session_is_read_as_it_was_saved(session: Session) -> None:
    assert Session.load(str(session.directory)) == session


def test_the_real_servo_process_leaves_its_line_too(session: Session) -> None:
    command = [sys.executable, "-m", "edge.process", "servo", str(session.directory)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert "manifest.json" in session.file("servo.failure").read_text(encoding="utf-8")


FORBIDDEN = {
    "servo": ("onnxruntime", "torch", "mujoco", "onnx", "models", "calibration", "matplotlib"),
    "planner": ("torch", "mujoco", "onnx", "models", "calibration", "serial"),
    "plant": ("onnxruntime", "torch", "onnx", "calibration"),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_process_imports_nothing_that_is_not_its_own(name: str) -> None:
    if name == "plant":
        require("mujoco")
    code = f"import edge.process, {BODIES[name]}, sys; print(*sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=60, check=True
    )
    loaded = set(ended.stdout.decode().split())
    assert BODIES[name] in loaded
    assert loaded.isdisjoint(FORBIDDEN[name])


@pytest.mark.parametrize("name", [*FORBIDDEN, "supervisor"])
def test_a_start_with_one_dynamixel_bus_does_not_wait_for_other_protocols(name: str) -> None:
    if name == "plant":
        require("mujoco")
    module = BODIES.get(name, "edge.commands.launch")
    code = f"import edge.process, {module}, sys; print(*sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=60, check=True
    )
    loaded = ended.stdout.decode().split()
    slow = ("firmware_bridge.oatlink.", "firmware_bridge.can_bus.broker", "firmware_bridge.odrive")
    assert not [found for found in loaded if found.startswith(slow)]


def test_the_console_starts_without_what_only_some_verbs_need() -> None:
    code = "import edge.commands.main, sys; print(*sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=60, check=True
    )
    heavy = {"torch", "mujoco", "onnx", "onnxruntime", "matplotlib", "numpy"}
    assert heavy.isdisjoint(ended.stdout.decode().split())


def test_a_status_file_is_never_read_in_part(tmp_path: Path) -> None:
    path = tmp_path / "S.json"
    file = StatusFile(path)
    file.write({"number": 0, "filler": ""})
    done = threading.Event()

    def keep_writing() -> None:
        for number in range(400):
            file.write({"number": number, "filler": "x" * (number * 37 % 5000)})
        done.set()

    writer = threading.Thread(target=keep_writing)
    writer.start()
    reads, newest = 0, 0
    while not done.is_set() or reads == 0:
        status = json.loads(path.read_text(encoding="utf-8"))
        assert len(status["filler"]) == status["number"] * 37 % 5000
        assert status["number"] >= newest
        newest = status["number"]
        reads += 1
    writer.join()
    assert json.loads(path.read_text(encoding="utf-8"))["number"] == 399
    assert [entry.name for entry in tmp_path.iterdir()] == ["S.json"]


def test_a_status_file_in_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--status-file .*nowhere"):
        StatusFile(tmp_path / "nowhere" / "S.json")


class SlowChild:
    """Is ready at the thirtieth look; until then it says that it is at work, or does not."""

    name = "planner"
    failure = ""

    def __init__(self, says_so: bool) -> None:
        self._says_so = says_so
        self._looks = 0

    @property
    def ready(self) -> bool:
        self._looks += 1
        return self._looks >= 30

    @property
    def busy_ns(self) -> int:
        return self._looks if self._says_so else 0


def test_who_is_at_work_is_waited_for_and_who_is_silent_is_not(
    monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    control = Mailbox(session.file("control"), CONTROL, create=True)
    supervisor = Supervisor(session, control, emulated=False)
    now_ns = [0]

    def sleep(_seconds: float) -> None:
        now_ns[0] += START_TIMEOUT_NS // 10

    monkeypatch.setattr("edge.supervisor.time.monotonic_ns", lambda: now_ns[0])
    monkeypatch.setattr("edge.supervisor.time.sleep", sleep)
    supervisor._await(SlowChild(says_so=True))  # type: ignore[arg-type]
    with pytest.raises(RunError, match="planner is not ready after 20 s"):
        supervisor._await(SlowChild(says_so=False))  # type: ignore[arg-type]


def test_a_busy_child_is_seen_by_the_time_of_its_file(session: Session) -> None:
    child = Child(session, "planner")
    assert child.busy_ns == 0
    process.busy(session, "planner")
    assert child.busy_ns > 0


class Mortal:
    """What ``Popen`` returns, of a process that is dead or alive as the test says."""

    alive = False
    pid = 1

    def __init__(self, *_: object, **__: object) -> None: ...

    def poll(self) -> int | None:
        return None if Mortal.alive else 1


def test_a_planner_that_keeps_dying_is_started_ever_more_seldom_until_it_has_lived_a_while(
    monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    now_ns = [CALM_NS]
    monkeypatch.setattr("edge.supervisor.time.monotonic_ns", lambda: now_ns[0])
    monkeypatch.setattr("edge.supervisor.subprocess.Popen", Mortal)
    monkeypatch.setattr(Mortal, "alive", False)
    child = Child(session, "planner")
    child.start()

    def waited_ns() -> int:
        """From one start to the next, looking every 10 ms."""
        since_ns = now_ns[0]
        while not child.restart_if_dead(now_ns[0]):
            now_ns[0] += 10_000_000
        return now_ns[0] - since_ns

    waits = [waited_ns() for _ in range(6)]
    assert waits == [*RESTART_BACKOFF_NS, RESTART_BACKOFF_NS[-1], RESTART_BACKOFF_NS[-1]]
    assert child.restarts == 6
    monkeypatch.setattr(Mortal, "alive", True)
    now_ns[0] += CALM_NS + 1
    assert not child.restart_if_dead(now_ns[0])
    monkeypatch.setattr(Mortal, "alive", False)
    assert waited_ns() == 0
