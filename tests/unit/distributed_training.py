"""What each of the processes does that ``test_distributed`` has torchrun start. FOLDER: results."""

from __future__ import annotations

import atexit
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from models import distributed
from models.training import Progress, Trainer
from tests.unit.test_training import InterruptedTrainingError, Line, network, weights
from tests.unit.tiny_rivals import SCHEDULE


class Watched(Line):
    """Notes what it draws."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.drawn: list[float] = []

    def loss(self, model: nn.Module, batch_size: int) -> Tensor:
        self.sizes.append(batch_size)
        self.drawn.append(float(torch.randn(1)))
        return super().loss(model, batch_size)


def interrupt(progress: Progress) -> None:
    if progress.step == 10:
        raise InterruptedTrainingError


def note_threads(path: Path) -> None:
    """Writes the names of this process's threads."""
    names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    path.write_text("\n".join(names))


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    atexit.register(lambda: note_threads(folder / f"{rank}.threads"))  # after the group has gone
    distributed.start()
    rank = torch.distributed.get_rank()
    parts = nn.ModuleList([nn.Linear(2, 3), nn.Linear(3, 1)])
    for number, parameter in enumerate(parts.parameters()):
        parameter.grad = torch.full_like(parameter, 10.0 * number + rank)
    distributed.average_gradients(parts)
    averaged = [float(parameter.grad.unique()) for parameter in parts.parameters()]

    watched, whole = Watched(), network()
    Trainer(whole, watched, SCHEDULE).run()
    state = folder / "state.pt"
    try:
        Trainer(network(), Line(), SCHEDULE).run(state, interrupt)
    except InterruptedTrainingError:
        torch.manual_seed(99 + rank)
    distributed.wait()
    resumed = network()
    Trainer(resumed, Line(), SCHEDULE).run(state)
    straight = network()
    Trainer(straight, Line(), SCHEDULE).run()
    result = {
        "averaged": averaged,
        "sizes": watched.sizes,
        "drawn": watched.drawn,
        "whole": weights(whole),
        "resumed": weights(resumed),
        "straight": weights(straight),
    }
    torch.save(result, folder / f"{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
