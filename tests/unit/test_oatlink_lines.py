"""oatlink's ways to a controller: what fits a CAN-FD frame, and the key that a robot.yaml names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edge.buses import build_bus
from edge.errors import ConfigError
from edge.robot import load_robot
from firmware_bridge.oatlink import CanFdLine, JointSettings, OatlinkConfig, can_fd, messages
from firmware_bridge.oatlink.key_file import read_key
from firmware_bridge.oatlink.wire import Header, MessageType, Sealer
from firmware_bridge.transports.can_port import PythonCanPort
from tests.contract.oatlink_rigs import OatlinkKeyRig, OatlinkRig

KEY = bytes(range(32))
VIPERX = Path(__file__).parents[2] / "edge" / "robots" / "viperx.yaml"


def config(joints: int, knots: int = 3, key: bytes = b"") -> OatlinkConfig:
    one = JointSettings(1, -1.0, 1.0, 1.0, 10.0)
    return OatlinkConfig((one,) * joints, knots=knots, key=key)


@given(st.integers(1, 15), st.integers(1, 4), st.booleans())
def test_a_line_is_made_exactly_if_every_message_fits_a_frame(
    joints: int, knots: int, with_key: bool
) -> None:
    sealer = Sealer(KEY if with_key else b"")
    setpoints = messages.pack_setpoints(
        [1000 * (i + 1) for i in range(knots)], np.zeros((knots, joints), dtype=np.int16)
    )
    telemetry = bytes(9 + 6 * joints)
    longest = max(
        len(sealer.seal(Header(MessageType.SETPOINTS, 1, 0), 1, body))
        for body in (setpoints, telemetry)
    )
    port = PythonCanPort("virtual", "x")
    if longest <= can_fd.LENGTHS[-1]:
        CanFdLine.of(port, config(joints, knots, sealer.key))
        return
    with pytest.raises(ValueError, match="are not allowed"):
        CanFdLine.of(port, config(joints, knots, sealer.key))


@pytest.mark.parametrize("node", [-1, 16])
def test_a_node_that_has_no_identifier_is_refused(node: int) -> None:
    with pytest.raises(ValueError, match=f"node: {node} is not allowed .allowed: 0 to 15"):
        CanFdLine(PythonCanPort("virtual", "x"), 1, node=node)


def key_file(folder: Path, text: str = KEY.hex() + "\n", mode: int = 0o600) -> Path:
    path = folder / "arm.key"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_key_is_read_from_its_owners_file(tmp_path: Path) -> None:
    assert read_key(key_file(tmp_path)) == KEY
    assert read_key(key_file(tmp_path, KEY.hex().upper())) == KEY


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (KEY.hex(), 0o640, "mode 0640 is not allowed"),
        (KEY.hex(), 0o604, "mode 0604 is not allowed"),
        (KEY.hex()[:-1], 0o600, "no key .allowed: 64 hexadecimal digits"),
        (KEY.hex() + "00", 0o600, "no key"),
        ("", 0o600, "no key"),
        ("zz" * 32, 0o600, "no key"),
    ],
)
def test_a_file_that_holds_no_key_or_shows_it_is_refused_and_never_quoted(
    tmp_path: Path, text: str, mode: int, said: str
) -> None:
    with pytest.raises(ValueError, match=said) as error:
        read_key(key_file(tmp_path, text, mode))
    assert "arm.key" in str(error.value) and KEY.hex()[:8] not in str(error.value)


def robot_yaml(folder: Path, **bus: Any) -> Path:
    data = yaml.safe_load(VIPERX.read_text(encoding="utf-8"))
    (name,) = data["buses"]
    data["buses"][name] = {"protocol": "oatlink", "port": "/dev/ttyX", **bus}
    for key in data["trackers"]:
        data["trackers"][key] = {"socket": str(folder / "t")}
    path = folder / "robot.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_a_robots_key_stands_in_a_file_beside_its_yaml(tmp_path: Path) -> None:
    key_file(tmp_path)
    robot = load_robot(str(robot_yaml(tmp_path, key_file="arm.key")))
    (bus,) = robot.buses.values()
    assert bus.key_file == str(tmp_path / "arm.key")
    build_bus(robot)
    assert KEY.hex()[:8] not in repr(robot)  # what is logged of a robot names the file alone


def test_a_missing_key_file_is_named_before_anything_moves(tmp_path: Path) -> None:
    robot = load_robot(str(robot_yaml(tmp_path, key_file="arm.key")))
    with pytest.raises(ConfigError, match=r"arm\.key: cannot be read"):
        build_bus(robot)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"protocol": "oatlink", "node": 3}, "node is 3: oatlink has no such setting"),
        ({"protocol": "dynamixel", "key_file": "k"}, "key_file is 'k': dynamixel has no such"),
        ({"protocol": "oatlink_fd", "port": "/dev/ttyX"}, "oatlink_fd runs on CAN"),
        ({"protocol": "oatlink_fd", "port": "oatcan:x", "node": 16}, "node"),
    ],
)
def test_settings_of_another_link_are_refused(
    tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        load_robot(str(robot_yaml(tmp_path, **settings)))


def test_an_oatlink_robot_on_can_fd_is_built_if_its_messages_fit(tmp_path: Path) -> None:
    settings = {"protocol": "oatlink_fd", "port": "virtual:x", "node": 2}
    build_bus(load_robot(str(robot_yaml(tmp_path, **settings))))
    key_file(tmp_path)
    keyed = load_robot(str(robot_yaml(tmp_path, **settings, key_file="arm.key")))
    with pytest.raises(ConfigError, match=r"joints: 7 are not allowed .allowed with a key on CAN"):
        build_bus(keyed)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is missing")
def test_a_controller_with_a_key_answers_only_who_has_it() -> None:
    keyed = OatlinkKeyRig()
    try:
        bus = keyed.bus()
        bus.open()
        bus.close()
        stranger = OatlinkRig.config(keyed, patience=_quick(), strict=False)
        other = type(bus)(keyed.line(stranger), stranger)
        with pytest.raises(Exception, match="no answer from the controller"):
            other.open()
    finally:
        keyed.close()


def _quick() -> Any:
    from tests.contract.rigs import HASTY

    return HASTY


def test_a_wrong_key_is_refused_like_damage() -> None:
    payload = Sealer(KEY).seal(Header(MessageType.ARM, 1, 0), 7, bytes(4))
    assert Sealer(bytes(32)).open(payload, 7, 0) is None
    untagged = Sealer().seal(Header(MessageType.ARM, 1, 0), 7, bytes(4))
    assert Sealer(KEY).open(untagged, 7, 0) is None
