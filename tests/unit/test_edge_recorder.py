from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.reader import make_reader

from edge.errors import RunError
from edge.ladder import GAVE_UP, Mode, Rung
from edge.log_reader import read_log
from edge.recorder import EVENT_TOPIC, PLAN_TOPIC, TICK_TOPIC, Recorder
from edge.records import plan_dtype, tick_dtype
from edge.session import Session
from edge.shared_memory import Record
from tests.edge_parts import make_robot

ROOT = Path(__file__).parents[2]


def make_session(folder: Path) -> Session:
    return Session(directory=folder, robot=make_robot(), bundle=folder, seed=3)


def tick(number: int, rung: Rung, reason: str = "") -> Record:
    made: Record = np.zeros((), tick_dtype(2))
    made["tick"], made["due_ns"], made["rung"] = number, number * 5_000_000, rung
    made["mode"], made["reason"], made["command"] = Mode.POLICY, reason.encode(), [0.1, 0.2]
    return made


def messages(path: Path) -> list[tuple[str, dict[str, Any]]]:
    with path.open("rb") as file:
        found = make_reader(file, validate_crcs=True).iter_messages()
        return [(channel.topic, json.loads(message.data)) for _, channel, message in found]


def test_a_log_is_read_by_the_public_reader(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "run.mcap"
    with Recorder(path, make_session(tmp_path), tokens=4) as recorder:
        recorder.ticks(tick(1, Rung.FULL, "a chunk")[None])
        recorder.ticks(tick(2, Rung.FULL)[None])
        recorder.ticks(tick(3, Rung.TAIL, "overdue")[None])
        recorder.plans(np.zeros((), plan_dtype(4))[None])
        recorder.event("episode", "success", 20_000_000)
    found = messages(path)
    ticks = [message for topic, message in found if topic == TICK_TOPIC]
    assert [one["rung"] for one in ticks] == ["full", "full", "tail"]
    assert ticks[0]["command"] == [0.1, 0.2]
    assert ticks[0]["mode"] == "policy"
    assert sum(topic == PLAN_TOPIC for topic, _ in found) == 1
    events = [message for topic, message in found if topic == EVENT_TOPIC]
    assert events == [
        {"event": "rung", "reason": "a chunk", "rung": "full"},
        {"event": "rung", "reason": "overdue", "rung": "tail"},
        {"event": "episode", "reason": "success", "rung": "tail"},
    ]


def test_engaging_that_was_given_up_is_an_event_though_no_rung_changes(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    blind = f"{GAVE_UP}: no answer from 1"
    reasons = ["not engaged", blind, blind, "the joints are being engaged", blind]
    with Recorder(path, make_session(tmp_path), tokens=4) as recorder:
        for number, reason in enumerate(reasons):
            recorder.ticks(tick(number, Rung.DISENGAGED, reason)[None])
    events = [message for topic, message in messages(path) if topic == EVENT_TOPIC]
    assert [(event["event"], event["reason"]) for event in events] == [
        ("rung", "not engaged"),
        ("engaging", blind),
        ("engaging", blind),
    ]


def test_every_message_has_the_fields_of_its_schema(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    with Recorder(path, make_session(tmp_path), tokens=4) as recorder:
        recorder.ticks(tick(1, Rung.HOLD)[None])
        recorder.plans(np.zeros((), plan_dtype(4))[None])
    with path.open("rb") as file:
        for schema, _, message in make_reader(file).iter_messages():
            assert schema is not None
            fields = json.loads(schema.data)["properties"]
            assert set(fields) == set(json.loads(message.data))


def test_the_session_stands_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    session = make_session(tmp_path)
    with Recorder(path, session, tokens=4) as recorder:
        recorder.event("episode", "success", 1)
    with path.open("rb") as file:
        (metadata,) = make_reader(file).iter_metadata()
    assert Session.model_validate_json(metadata.metadata["session"]) == session


@pytest.mark.parametrize("kept", [(), ("another.mcap",)])
def test_a_run_that_was_refused_leaves_no_log_and_no_folder(
    tmp_path: Path, kept: tuple[str, ...]
) -> None:
    folder = tmp_path / "runs"
    with pytest.raises(RunError), Recorder(folder / "run.mcap", make_session(tmp_path), tokens=4):
        for name in kept:
            (folder / name).touch()
        raise RunError("no port")
    assert folder.exists() == bool(kept)
    assert not (folder / "run.mcap").exists()


def test_a_log_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    path.write_bytes(b"precious")
    with pytest.raises(RunError, match=f"log {path}: File exists"):
        Recorder(path, make_session(tmp_path), tokens=4)
    assert path.read_bytes() == b"precious"


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunError, match=r"file/run\.mcap"):
        Recorder(tmp_path / "file" / "run.mcap", make_session(tmp_path), tokens=4)


TERMINATED = """
import signal, sys, time
from pathlib import Path
from edge.ladder import Rung
from edge.recorder import Recorder
from tests.unit.test_edge_recorder import make_session, tick
folder = Path(sys.argv[1])
signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the run does
with Recorder(folder / "run.mcap", make_session(folder), 4) as recorder:
    for number in range(500):
        recorder.ticks(tick(number, Rung.FULL)[None])
    print("up", flush=True)
    time.sleep(60)
"""


KILLED = TERMINATED.replace("make_session(folder), 4", "make_session(folder), 4, 8192")


def test_a_log_is_readable_up_to_its_last_whole_chunk_after_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        child.kill()
        child.communicate(timeout=20)
    log = read_log(tmp_path / "run.mcap")
    assert log.damage
    ticks_in_a_chunk = 8192 // 300  # a tick's message is longer than that
    assert log.ticks["tick"].tolist() == list(range(len(log.ticks)))
    assert len(log.ticks) >= 500 - ticks_in_a_chunk


def test_a_log_takes_a_fraction_of_its_messages_in_space(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    with Recorder(path, make_session(tmp_path), tokens=4) as recorder:
        for number in range(2000):
            recorder.ticks(tick(number, Rung.FULL)[None])
    written = sum(len(json.dumps(message)) for _, message in messages(path))
    assert path.stat().st_size < written / 5


def test_a_log_is_whole_after_a_request_to_terminate(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TERMINATED, str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        os.kill(child.pid, signal.SIGTERM)
        child.communicate(timeout=20)
    ticks = [one for topic, one in messages(tmp_path / "run.mcap") if topic == TICK_TOPIC]
    assert [one["tick"] for one in ticks] == list(range(500))
