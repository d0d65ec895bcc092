from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mcap.writer import Writer

from edge.errors import RunError, UsageError
from edge.log_reader import read_log
from tests.unit.run_logs import RUNGS, plan, tick, write_log


def test_a_log_gives_back_the_records_that_were_logged(tmp_path: Path) -> None:
    log = read_log(write_log(tmp_path / "a.mcap"))
    assert log.damage == ""
    assert log.session["seed"] == 7
    assert log.joints[0] == "waist" and log.joints[-1] == "gripper" and len(log.joints) == 7
    assert len(log.ticks) == 60 and len(log.plans) == 3
    for name in log.ticks.dtype.names or ():
        np.testing.assert_array_equal(log.ticks[name][23], tick(23)[name], err_msg=name)
    for name in log.plans.dtype.names or ():
        np.testing.assert_array_equal(log.plans[name][1], plan(1, 4)[name], err_msg=name)
    rungs = [event.rung for event in log.events if event.event == "rung"]
    assert rungs == [rung.label for rung in RUNGS]


def test_a_log_that_is_cut_anywhere_gives_a_beginning_of_the_run_or_one_line(
    tmp_path: Path,
) -> None:
    whole = write_log(tmp_path / "a.mcap")
    content = whole.read_bytes()
    intact = read_log(whole).ticks
    cut = tmp_path / "cut.mcap"
    most = 0
    for length in [*range(0, len(content), 997), len(content) - 1]:
        cut.write_bytes(content[:length])
        try:
            log = read_log(cut)
        except RunError as error:
            assert "\n" not in str(error) and str(cut) in str(error)
            assert most == 0, "a longer part of the log must not give less"
            continue
        assert log.damage
        assert len(log.ticks) >= most
        most = len(log.ticks)
        np.testing.assert_array_equal(log.ticks["due_ns"], intact["due_ns"][:most])
    assert most == len(intact)


def test_half_of_a_log_gives_about_half_of_its_ticks(tmp_path: Path) -> None:
    path = write_log(tmp_path / "a.mcap")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert 10 < len(read_log(path).ticks) < 50


def test_an_altered_log_is_read_up_to_the_alteration(tmp_path: Path) -> None:
    path = write_log(tmp_path / "a.mcap")
    intact = path.read_bytes()
    chunk = intact.index(b"zstd", len(intact) // 2)  # the name of the compression, a length, data
    for place in range(chunk, chunk + 200, 7):
        content = bytearray(intact)
        content[place] ^= 0x55
        path.write_bytes(content)
        log = read_log(path)
        assert log.damage
        assert 10 < len(log.ticks) < 60


@pytest.mark.parametrize("content", [b"", b"\x89MCAP", b"PK\x03\x04 a zip", b"tick,due\n1,2\n"])
def test_a_file_that_is_no_mcap_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"other: not an MCAP file"):
        read_log(path)


@pytest.mark.parametrize("name", ["absent.mcap", "."])
def test_a_log_that_is_not_there_is_a_mistake_of_usage(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="log"):
        read_log(tmp_path / name)


def foreign(path: Path, session: str | None, messages: list[bytes]) -> Path:
    """An MCAP of somebody else's, with messages on our topic."""
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start(profile="", library="other")
        if session is not None:
            writer.add_metadata("session", {"session": session})
        channel = writer.register_channel("/servo/tick", "json", 0)
        for message in messages:
            writer.add_message(channel, 0, message, 0)
        writer.finish()
    return path


ROBOT = json.dumps({"robot": {"joints": [{"name": "a"}]}})


@pytest.mark.parametrize(
    ("session", "message", "complaint"),
    [
        (None, b"{}", "without a session"),
        ("{", b"{}", "session cannot be read"),
        ("{}", b"{}", "another version"),
        (ROBOT, b"{", "message 0 is not JSON"),
        (ROBOT, b"[1]", "message 0 is not an object"),
        (ROBOT, b'{"tick": "x"}', "not those of oat-edge"),
        (ROBOT, b'{"tick": 1, "rung": "sideways"}', "another version"),
    ],
)
def test_an_mcap_of_another_program_is_refused_in_one_line(
    tmp_path: Path, session: str | None, message: bytes, complaint: str
) -> None:
    path = foreign(tmp_path / "f.mcap", session, [message])
    with pytest.raises(RunError, match=complaint) as caught:
        read_log(path)
    assert "\n" not in str(caught.value)


def test_a_field_that_an_older_log_lacks_is_absent_and_never_zero(tmp_path: Path) -> None:
    path = foreign(tmp_path / "f.mcap", ROBOT, [b'{"tick": 1}', b'{"tick": 2}'])
    ticks = read_log(path).ticks
    assert ticks["tick"].tolist() == [1, 2]
    assert ticks.dtype.names == ("tick",)
