"""A real bundle, damaged at random in thousands of ways: each is refused by name, none loads."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import torch

from edge.bundle import MANIFEST, SEAL, SIGNATURE, fingerprint, seal
from edge.errors import BundleError
from edge.signature import BundlePolicy, Signature, load_admitted, to_base64
from tests.bundles import tiny_bundle
from tests.needs import require

ATTACKS = 10_000
SEED = 20260103
MEMORY = Path("/dev/shm")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789._-"


@pytest.fixture(scope="module")
def signed() -> Iterator[tuple[Path, BundlePolicy]]:
    """A signed bundle in memory, and a policy that demands that signature."""
    ed25519 = require("cryptography.hazmat.primitives.asymmetric.ed25519")
    from calibration.signing import sign_bundle

    torch.set_num_threads(1)
    base = str(MEMORY) if MEMORY.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="oat-attacks-", dir=base))
    path = tiny_bundle(folder).path
    made = sign_bundle(path, ed25519.Ed25519PrivateKey.generate())
    yield path, BundlePolicy(signature="required", keys=(to_base64(made.key),))
    shutil.rmtree(folder)


@contextmanager
def flipped(path: Path, name: str, chance: random.Random) -> Iterator[set[str]]:
    """One to four bytes of a file are others."""
    good = (path / name).read_bytes()
    bad = bytearray(good)
    for place in chance.sample(range(len(good)), chance.randint(1, 4)):
        bad[place] ^= chance.randint(1, 255)
    with replaced(path / name, good, bytes(bad)):
        yield {name}


@contextmanager
def truncated(path: Path, name: str, chance: random.Random) -> Iterator[set[str]]:
    """A file ends early."""
    good = (path / name).read_bytes()
    with replaced(path / name, good, good[: chance.randrange(len(good))]):
        yield {name}


@contextmanager
def lengthened(path: Path, name: str, chance: random.Random) -> Iterator[set[str]]:
    """A file has more bytes at its end."""
    good = (path / name).read_bytes()
    with replaced(path / name, good, good + chance.randbytes(chance.randint(1, 64))):
        yield {name}


@contextmanager
def renamed(path: Path, name: str, chance: random.Random) -> Iterator[set[str]]:
    """A file has another name, in its folder or out of it."""
    other = "".join(chance.choices(LETTERS, k=chance.randint(1, 20)))
    folder = chance.choice((Path(name).parent, Path(), Path("fp32")))
    target = path / folder / other
    if target.exists():  # "." and ".." too
        target = path / "other.onnx"
    (path / name).rename(target)
    try:
        yield {name, target.relative_to(path).as_posix()}
    finally:
        target.rename(path / name)


@contextmanager
def swapped(path: Path, name: str, chance: random.Random) -> Iterator[set[str]]:
    """Two files of different content have each other's name."""
    first = (path / name).read_bytes()
    others = [one for one in names_in(path) if (path / one).read_bytes() != first]
    other = chance.choice(others)
    second = (path / other).read_bytes()
    with ExitStack() as stack:
        stack.enter_context(replaced(path / name, first, second))
        stack.enter_context(replaced(path / other, second, first))
        yield {name, other}


@contextmanager
def replaced(file: Path, good: bytes, bad: bytes) -> Iterator[None]:
    assert bad != good
    file.write_bytes(bad)
    try:
        yield
    finally:
        file.write_bytes(good)


DAMAGES = (flipped, flipped, truncated, lengthened, renamed, swapped)


def names_in(path: Path) -> list[str]:
    files = (file for file in path.rglob("*") if file.is_file())
    return sorted(file.relative_to(path).as_posix() for file in files)


def refusal(path: Path, policy: BundlePolicy) -> BundleError:
    with pytest.raises(BundleError) as error:
        load_admitted(path, policy)
    return error.value


def test_ten_thousand_random_damages_are_refused_by_name_and_none_loads(
    signed: tuple[Path, BundlePolicy],
) -> None:
    path, policy = signed
    chance = random.Random(SEED)
    names = names_in(path)
    assert {MANIFEST, SEAL, SIGNATURE} < set(names)
    for attack in range(ATTACKS):
        damage, name = chance.choice(DAMAGES), chance.choice(names)
        words = f"seed {SEED}, attack {attack}: {damage.__name__} {name}"
        with damage(path, name, chance) as damaged:
            try:
                error = refusal(path, policy)
            except BaseException as other:
                raise AssertionError(words) from other
        # The seal and the manifest witness each other: either may be named for the other.
        suspects = damaged | ({MANIFEST, SEAL} if damaged & {MANIFEST, SEAL} else set())
        assert error.file in suspects, f"{words}: {error}"
        assert "\n" not in str(error), words
    load_admitted(path, policy)  # what was attacked is whole again


Forgery = Callable[[Path], None]


def reseal(path: Path) -> None:
    """What anyone can do who changes a manifest."""
    (path / SEAL).write_bytes(seal((path / MANIFEST).read_bytes()))


def other_rate(path: Path) -> None:
    text = (path / MANIFEST).read_bytes()
    assert b'"rate_hz": 50.0' in text
    (path / MANIFEST).write_bytes(text.replace(b'"rate_hz": 50.0', b'"rate_hz": 90.0'))
    reseal(path)


def other_graph(path: Path) -> None:
    good = (path / "fp32/step.onnx").read_bytes()
    bad = good[:-1] + bytes([good[-1] ^ 1])
    for graph in path.rglob("step.onnx"):  # in every precision that left it as it is
        if graph.read_bytes() == good:
            graph.write_bytes(bad)
    hashes = [fingerprint(content).sha256.encode() for content in (good, bad)]
    (path / MANIFEST).write_bytes((path / MANIFEST).read_bytes().replace(*hashes))
    reseal(path)


def one_more_space(path: Path) -> None:
    (path / MANIFEST).write_bytes((path / MANIFEST).read_bytes() + b" ")
    reseal(path)


def no_signature(path: Path) -> None:
    (path / SIGNATURE).unlink()


def own_key(path: Path) -> None:
    from calibration.signing import sign_bundle

    ed25519 = require("cryptography.hazmat.primitives.asymmetric.ed25519")
    sign_bundle(path, ed25519.Ed25519PrivateKey.generate())


def trusted_key_on_own_signature(path: Path) -> None:
    trusted = Signature.decode((path / SIGNATURE).read_bytes()).key
    own_key(path)
    value = Signature.decode((path / SIGNATURE).read_bytes()).value
    (path / SIGNATURE).write_bytes(Signature(trusted, value).encode())


@pytest.mark.parametrize(
    "forge",
    [other_rate, other_graph, one_more_space, no_signature, own_key, trusted_key_on_own_signature],
)
def test_a_forgery_whose_hashes_are_right_is_refused_by_its_signature(
    signed: tuple[Path, BundlePolicy], tmp_path: Path, forge: Forgery
) -> None:
    path, policy = signed
    copy = tmp_path / "bundle"
    shutil.copytree(path, copy)
    forge(copy)
    assert refusal(copy, policy).file == SIGNATURE


def test_a_wrong_signature_is_refused_even_if_none_is_demanded(
    signed: tuple[Path, BundlePolicy], tmp_path: Path
) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(signed[0], copy)
    other_rate(copy)
    assert refusal(copy, BundlePolicy()).file == SIGNATURE
