"""Several processes that train one model: ``torchrun`` starts them, gradients are averaged.

Every process holds the whole model and draws its share of each batch with random numbers of its
own. One leads: it makes data, writes files and speaks. Without ``torchrun`` there is one process,
and nothing here does anything. Collectives are gloo's, over the network interface that torch finds.
"""

from __future__ import annotations

import atexit
import importlib
import os
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

PATIENCE = timedelta(hours=12)
"""How long a process waits for the others: as long as demonstrations may take to make."""

_SEED_STRIDE = 1_000_003


def start() -> None:
    """Joins the processes that ``torchrun`` started, if it started this one."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        # Torch imports these when an optimizer is made, and their default group is the one of that
        # moment. It would outlive ``destroy_process_group``, and its threads the interpreter:
        # one that still drops a tensor then aborts the process.
        importlib.import_module("torch.distributed.nn.functional")
        distributed.init_process_group("gloo", timeout=PATIENCE)
        atexit.register(distributed.destroy_process_group)


def size() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def leads() -> bool:
    """Whether this process writes and speaks."""
    return _rank() == 0


def wait() -> None:
    """Until all processes are here."""
    if size() > 1:
        distributed.barrier()


def share(batch_size: int) -> int:
    """How much of a batch each process draws. Raises ValueError if the parts are not equal."""
    if batch_size % size():
        raise ValueError(f"a batch of {batch_size} cannot be divided among {size()} processes")
    return batch_size // size()


def own_random_numbers() -> None:
    """From one seed for all to one for each; the leader's stays what it is."""
    if not leads():
        torch.manual_seed(torch.initial_seed() + _SEED_STRIDE * _rank())


def average_gradients(model: nn.Module) -> None:
    """Every gradient becomes its mean over the processes, in one exchange."""
    if size() == 1:
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    together = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(together)
    parts = together.div_(size()).split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def agreed(value: float) -> float:
    """The leader's value, so that all processes decide alike."""
    if size() == 1:
        return value
    shared = torch.tensor([value], dtype=torch.float64)
    distributed.broadcast(shared, 0)
    return float(shared)


def random_states() -> Tensor:
    """States of torch's generator, (processes, bytes) uint8."""
    own = torch.get_rng_state()
    if size() == 1:
        return own[None]
    states = [torch.empty_like(own) for _ in range(size())]
    distributed.all_gather(states, own)
    return torch.stack(states)


def restore_random(states: Tensor) -> None:
    """Takes this process's of ``random_states``; a single one may lack the first dimension.

    Raises ValueError if they are of another number of processes.
    """
    states = torch.atleast_2d(states)
    if len(states) != size():
        raise ValueError(f"saved by {len(states)} processes, these are {size()}")
    torch.set_rng_state(states[_rank()].clone())


def _rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0
