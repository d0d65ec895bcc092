"""Whose bundles a robot runs: ``bundle_policy`` of its robot.yaml, and keys."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge import planner_process
from edge.bundle import SIGNATURE, load
from edge.commands.launch import RunOptions, launch
from edge.errors import BundleError, ConfigError
from edge.robot import load_robot
from edge.session import Session
from edge.signature import BundlePolicy, Signature, admit, read_key, to_base64, to_pem
from tests.edge_bundle import write_bundle
from tests.edge_parts import make_robot, robot_data
from tests.needs import require

KEY = to_base64(bytes(range(32)))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def signed_by(bundle: Path) -> str:
    """Sign with a new key; returns the public one."""
    ed25519 = require("cryptography.hazmat.primitives.asymmetric.ed25519")
    from calibration.signing import sign_bundle

    return to_base64(sign_bundle(bundle, ed25519.Ed25519PrivateKey.generate()).key)


def required(*keys: str) -> BundlePolicy:
    return BundlePolicy(signature="required", keys=keys)


def test_run_refuses_an_unsigned_bundle_in_one_line_before_anything_starts(bundle: Path) -> None:
    robot = make_robot(bundle_policy={"signature": "required", "keys": [KEY]})
    with pytest.raises(BundleError) as error:
        launch(robot, str(bundle), RunOptions(episodes=1, seconds=1))
    assert error.value.file == SIGNATURE
    assert str(error.value).endswith("manifest.sig: missing; bundle_policy demands a signature")
    assert "\n" not in str(error.value)


def test_run_refuses_a_bundle_that_somebody_else_signed(bundle: Path) -> None:
    key = signed_by(bundle)
    robot = make_robot(bundle_policy={"keys": [KEY]})
    with pytest.raises(BundleError, match=r"manifest\.sig: by .* not among the keys trusted") as e:
        launch(robot, str(bundle), RunOptions(episodes=1, seconds=1))
    assert key in str(e.value)


def test_the_planner_refuses_a_bundle_that_was_exchanged_after_the_start(
    bundle: Path, tmp_path: Path
) -> None:
    robot = make_robot(bundle_policy={"signature": "required", "keys": [KEY]})
    session = Session(directory=tmp_path, robot=robot, bundle=bundle, seed=0)
    session.save()
    with pytest.raises(BundleError, match=r"manifest\.sig"):
        planner_process.run(Session.load(str(tmp_path)))


def test_a_trusted_signature_is_admitted_and_its_absence_too_if_optional(bundle: Path) -> None:
    assert admit(load(bundle), BundlePolicy(keys=(KEY,))) == "unsigned"
    key = signed_by(bundle)
    assert admit(load(bundle), required(KEY, key)) == "trusted"
    assert admit(load(bundle), BundlePolicy()) == "untrusted"


def test_without_cryptography_a_demand_is_an_error_and_no_demand_is_none(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = signed_by(bundle)
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BundleError, match=r"install oat-edge\[sign\]"):
        admit(load(bundle), required(key))
    assert admit(load(bundle), BundlePolicy()) == "unchecked"


def test_keys_are_paths_from_the_robot_yaml_or_base64(tmp_path: Path) -> None:
    (tmp_path / "maker.pem").write_text(to_pem(bytes(range(32))))
    policy = {"signature": "required", "keys": ["maker.pem", KEY]}
    (tmp_path / "robot.yaml").write_text(yaml.safe_dump(robot_data(bundle_policy=policy)))
    robot = load_robot(str(tmp_path / "robot.yaml"))
    assert robot.bundle_policy.keys == (KEY, KEY)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"signature": "required"}, "bundle_policy: signature is 'required' and keys are none"),
        ({"signature": "perhaps"}, "bundle_policy.signature is 'perhaps'"),
        ({"key": []}, "unknown key 'bundle_policy.key'"),
        (
            {"keys": ["gone.pem"]},
            "bundle_policy.keys: key 'gone.pem': no public key in base64, nor",
        ),
        ({"keys": ["robot.yaml"]}, "robot.yaml: not a PEM file of an Ed25519 public key"),
        ({"keys": ["private.pem"]}, "private.pem: a private key; name the public one"),
    ],
)
def test_a_wrong_policy_is_refused_with_file_and_key(
    tmp_path: Path, policy: dict[str, Any], words: str
) -> None:
    (tmp_path / "private.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    (tmp_path / "robot.yaml").write_text(yaml.safe_dump(robot_data(bundle_policy=policy)))
    with pytest.raises(ConfigError) as error:
        load_robot(str(tmp_path / "robot.yaml"))
    assert words in str(error.value)
    assert str(tmp_path / "robot.yaml") in str(error.value)
    assert "\n" not in str(error.value)


def test_pem_files_of_another_tool_are_read(tmp_path: Path) -> None:
    serialization = require("cryptography.hazmat.primitives.serialization")
    ed25519 = require("cryptography.hazmat.primitives.asymmetric.ed25519")
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    encoding, container = serialization.Encoding.PEM, serialization.PublicFormat
    pem = public.public_bytes(encoding, container.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(pem)
    assert read_key("key.pem", tmp_path) == to_base64(public.public_bytes_raw())
    assert to_pem(public.public_bytes_raw()).encode() == pem


GOOD = Signature(bytes(32), bytes(64)).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ed25519\n",
        b"\xff" * 9,
        GOOD + b"\n",
        GOOD[:-1],
        GOOD[8:],
        GOOD.replace(b"\n", b"\r\n"),
        GOOD.replace(b"ed25519", b"ED25519"),
        Signature(bytes(31), bytes(64)).encode(),
    ],
)
def test_a_signature_file_has_one_spelling_only(bundle: Path, content: bytes) -> None:
    assert Signature.decode(GOOD).encode() == GOOD
    (bundle / SIGNATURE).write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.sig: not a"):
        admit(load(bundle), BundlePolicy())


def test_a_link_in_place_of_a_signature_is_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / SIGNATURE).symlink_to(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"manifest\.sig: leads outside"):
        admit(load(bundle), BundlePolicy())
