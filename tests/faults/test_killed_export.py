"""An export or a signing killed at any moment leaves the old artefact, or the new one, whole."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from calibration.bundle_writer import write_bundle
from edge import bundle as bundles
from edge.bundle import MANIFEST, SEAL, SIGNATURE
from edge.errors import BundleError
from edge.signature import BundlePolicy, admit
from tests.bundles import tiny_bundle
from tests.needs import require

WRITES_KILLED, EXPORTS_KILLED, SIGNINGS_KILLED = 170, 10, 20
SEED = 20260104

# The mother imports once and forks a worker for every line that she reads.
MOTHER = """
import os
import sys
from pathlib import Path
from tests.faults import test_killed_export as test
work = test.WORK[sys.argv[1]](Path(sys.argv[2]))
print("up", flush=True)
for _ in iter(sys.stdin.readline, ""):
    if not (child := os.fork()):
        for _ in work:
            pass
    print(child, flush=True)
    os.waitpid(child, 0)
    print("dead", flush=True)
"""


def write_for_ever(folder: Path) -> Iterator[None]:
    """Replace one real bundle by another in ``folder/out`` through the real writer."""
    contents = {name: content_of(folder / name) for name in ("old", "new")}
    while True:
        there = bundles.read_manifest(folder / "out")[0].task
        files, fields = contents["old" if there == "another" else "new"]
        write_bundle(folder / "out", files, fields, overwrite=True)
        yield


def export_for_ever(folder: Path) -> Iterator[None]:
    """Export a checkpoint over and over, with and without its second precision."""
    import torch

    from calibration.export import export_bundle
    from tests.bundles import LOOSE

    torch.set_num_threads(1)
    for precisions in itertools.cycle((("fp32", "int8"), ("fp32",))):
        export_bundle(
            folder / "checkpoint", folder / "out", precisions, overwrite=True, bounds=LOOSE
        )
        yield


def sign_for_ever(folder: Path) -> Iterator[None]:
    """Sign the bundle with one key after the other."""
    from calibration.signing import load_private_key, sign_bundle

    keys = [load_private_key(folder / f"{name}.pem", bytes) for name in ("old", "new")]
    for key in itertools.cycle(keys):
        sign_bundle(folder / "out", key)
        yield


WORK = {"write": write_for_ever, "export": export_for_ever, "sign": sign_for_ever}


def content_of(path: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Files and manifest fields of a bundle, as its writer takes them."""
    fields = json.loads((path / MANIFEST).read_bytes())
    return {name: (path / name).read_bytes() for name in fields.pop("files")}, fields


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint, two different bundles, and one of them in place."""
    import torch

    torch.set_num_threads(1)
    tiny_bundle(tmp_path).path.rename(tmp_path / "old")
    files, fields = content_of(tmp_path / "old")
    graphs = {name: content + b"\0" for name, content in files.items()}
    write_bundle(tmp_path / "new", graphs, fields | {"task": "another"})
    write_bundle(tmp_path / "out", files, fields)
    return tmp_path


@contextmanager
def mother(work: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", MOTHER, work, str(folder)]
    pipe = subprocess.PIPE
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, cwd=root, stdin=pipe, stdout=pipe, text=True, bufsize=1
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()


def kill_one(process: subprocess.Popen[str], watched: Path, delay_s: float) -> None:
    """Start a worker, let it replace what is watched once and go on a while, and kill it."""
    assert process.stdin is not None
    assert process.stdout is not None
    before = identity(watched)
    process.stdin.write("go\n")
    worker = int(process.stdout.readline())
    end = time.monotonic() + 30
    while (came := identity(watched)) in (before, None) and time.monotonic() < end:
        time.sleep(0.0005)
    time.sleep(delay_s)
    os.kill(worker, signal.SIGKILL)
    assert process.stdout.readline() == "dead\n"
    assert came != before, "the worker did nothing"


def identity(path: Path) -> tuple[int, int] | None:
    """Differs when the path has been replaced; numbers of inodes alone are soon used again."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_ctime_ns


def unfinished(folder: Path) -> int:
    """What killed writers left lying about, beside the bundle and never in it."""
    return len(list(folder.glob(".out.*")))


def test_a_write_that_is_killed_leaves_the_old_bundle_or_the_new_one(folder: Path) -> None:
    chance = random.Random(SEED)
    whole = {bundles.load(folder / name).digest for name in ("old", "new")}
    seen = set()
    with mother("write", folder) as process:
        for kill in range(WRITES_KILLED):
            kill_one(process, folder / "out", chance.uniform(0, 0.03))
            digest = bundles.load(folder / "out").digest
            assert digest in whole, f"seed {SEED}, kill {kill}"
            seen.add(digest)
    assert seen == whole
    assert unfinished(folder) > 0, "no kill met a write: the test proves nothing"


def test_an_export_that_is_killed_leaves_a_whole_bundle(folder: Path) -> None:
    chance = random.Random(SEED)
    with mother("export", folder) as process:
        for kill in range(EXPORTS_KILLED):
            kill_one(process, folder / "out", chance.uniform(0, 0.3))
            precisions = set(bundles.load(folder / "out").manifest.graphs)
            assert precisions in ({"fp32"}, {"fp32", "int8"}), f"seed {SEED}, kill {kill}"


def test_a_signing_that_is_killed_leaves_a_whole_signature_and_a_bundle_that_loads(
    folder: Path,
) -> None:
    require("cryptography")
    from calibration.signing import make_key_pair

    keys = [str(make_key_pair(folder / f"{name}.pem")[0]) for name in ("old", "new")]
    policy = BundlePolicy(signature="required", keys=tuple(keys)).resolved(Path(), "test")
    chance = random.Random(SEED)
    with mother("sign", folder) as process:
        for kill in range(SIGNINGS_KILLED):
            kill_one(process, folder / "out" / SIGNATURE, chance.uniform(0, 0.01))
            state = admit(bundles.load(folder / "out"), policy)
            assert state == "trusted", f"seed {SEED}, kill {kill}"


def test_a_broken_bundle_would_be_noticed(folder: Path) -> None:
    (folder / "out" / SEAL).write_bytes(b"")
    with pytest.raises(BundleError, match=SEAL):
        bundles.load(folder / "out")
