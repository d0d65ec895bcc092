"""Training by several processes: torchrun starts two, on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from models import distributed
from models.training import Trainer
from tests.unit.recorded_data import columns, write_lerobot
from tests.unit.test_training import Line, network
from tests.unit.tiny_rivals import SCHEDULE

ROOT = Path(__file__).parents[2]


def torchrun(*command: object) -> subprocess.CompletedProcess[str]:
    """Two processes that meet on a free port of the loopback interface."""
    start = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [*start, *map(str, command)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    torchrun("-m", "tests.unit.distributed_training", folder)
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_gradients_are_the_mean_over_the_processes(results: list[dict[str, Any]]) -> None:
    for result in results:
        assert result["averaged"] == [0.5, 10.5, 20.5, 30.5]


def test_each_draws_its_half_of_the_batch_and_both_hold_the_same_model(
    results: list[dict[str, Any]],
) -> None:
    first, second = results
    assert set(first["sizes"]) == set(second["sizes"]) == {SCHEDULE.batch_size // 2}
    assert first["drawn"] != second["drawn"]
    for one, other in zip(first["whole"], second["whole"], strict=True):
        assert torch.equal(one, other)


def test_an_interrupted_training_of_two_resumes_to_the_same_bits(
    results: list[dict[str, Any]],
) -> None:
    for result in results:
        for one, other in zip(result["resumed"], result["straight"], strict=True):
            assert torch.equal(one, other)


def test_the_group_leaves_no_thread_behind(folder: Path) -> None:
    """A thread of gloo's that drops a tensor after the interpreter has gone aborts the process."""
    for rank in range(2):
        names = (folder / f"{rank}.threads").read_text().split()
        assert names
        assert not [name for name in names if "gloo" in name]


def test_a_training_of_two_is_not_resumed_by_one(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    trainer = Trainer(network(), Line(), SCHEDULE)
    trainer.save(path)
    state = torch.load(path, weights_only=True)
    state["random"] = state["random"].repeat(2, 1)
    torch.save(state, path)
    with pytest.raises(ValueError, match="saved by 2 processes, these are 1"):
        trainer.load(path)


def test_a_single_process_is_left_alone() -> None:
    distributed.start()
    assert (distributed.size(), distributed.leads(), distributed.share(7)) == (1, True, 7)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    distributed.own_random_numbers()
    assert torch.equal(before, torch.get_rng_state())


def test_the_command_trains_one_checkpoint_with_two_processes(tmp_path: Path) -> None:
    data = write_lerobot(tmp_path / "set", columns())
    code = "from edge.commands.main import main; main()"
    arguments = ("train", "custom", "--data", data, "--out", tmp_path / "out")
    steps = ("--tokenizer-steps", 1, "--policy-steps", 1)
    done = torchrun("--no-python", sys.executable, "-c", code, *arguments, *steps)
    assert done.stdout.count("checkpoint:") == 1
    facts = json.loads((tmp_path / "out" / "config.json").read_text())["facts"]
    assert facts["training"]["policy"]["steps"] == 1
