"""The training loop: AdamW, warm-up and cosine, clipping, EMA, early stop, resume to the bit.

It knows nothing of tokens or robots: an objective draws its own batches. All randomness comes
from torch's global generator, whose state is part of what is saved.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from models import distributed

VALIDATIONS = 28
"""How often a training that was given another length is validated."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast; counts are optimizer steps, ``patience`` counts validations."""

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    warmup_steps: int = 100
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    validate_every: int = 250
    patience: int = 12
    checkpoint_every: int = 1000
    bfloat16: bool = False
    """Matrix products of the training steps in bfloat16; weights and validation stay FP32."""


class Objective(Protocol):
    """What is minimised."""

    def loss(self, model: Any, batch_size: int) -> Tensor:
        """The loss of one random batch."""

    def validate(self, model: Any) -> float:
        """The loss on held-out data, lower is better; draws no random numbers."""


@dataclass(frozen=True)
class Progress:
    """Where a training stands after a step."""

    step: int
    steps: int
    loss: float
    best_validation: float


class Trainer:
    """Trains one model; ``model`` is updated in place and ends with the best EMA weights."""

    def __init__(self, model: nn.Module, objective: Objective, schedule: Schedule) -> None:
        self.model, self.objective, self.schedule = model, objective, schedule
        self.ema = copy.deepcopy(model).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(model, schedule.weight_decay), lr=schedule.learning_rate, fused=True
        )
        self.step = 0
        self.best_validation = math.inf
        self.best_step = 0
        self.best = copy.deepcopy(self.ema.state_dict())

    def run(
        self, state_file: Path | None = None, report: Callable[[Progress], None] | None = None
    ) -> None:
        """Trains to the end or to the early stop; resumes from ``state_file`` if it exists."""
        if state_file is not None and state_file.exists():
            self.load(state_file)
        else:
            distributed.own_random_numbers()
        while not self.finished:
            loss = self._advance()
            if self.step % self.schedule.validate_every == 0 or self.step == self.schedule.steps:
                self._validate()
            if state_file is not None and self._checkpoint_due:
                self.save(state_file)
            if report is not None:
                report(Progress(self.step, self.schedule.steps, loss, self.best_validation))
        self.model.load_state_dict(self.best)
        self.model.eval()

    @property
    def finished(self) -> bool:
        """Whether all steps are done or validation has not improved for ``patience`` times."""
        waited = self.step - self.best_step
        impatient = waited >= self.schedule.patience * self.schedule.validate_every
        return self.step >= self.schedule.steps or impatient

    def save(self, path: Path) -> None:
        """Writes all that a resumed run needs to continue to the bit, with as many processes."""
        random = distributed.random_states()
        if not distributed.leads():
            return
        state = {
            "schedule": asdict(self.schedule),
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "random": random,
            "counters": {"step": self.step, "best_step": self.best_step},
            "best_validation": self.best_validation,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        building = path.with_suffix(".building")
        torch.save(state, building)
        building.replace(path)

    def load(self, path: Path) -> None:
        """Continues from what ``save`` wrote; nothing in the file is executed.

        Raises ValueError if it is damaged or belongs to a training of another shape or schedule.
        """
        try:
            state = torch.load(path, weights_only=True)
            if state["schedule"] != asdict(self.schedule):
                raise ValueError(f"{path}: saved under another schedule; start without --resume")
            self._restore(state)
        except (OSError, KeyError, RuntimeError, UnpicklingError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{path}: not a state of this training ({reason})") from error

    def _restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.best = state["best"]
        self.optimizer.load_state_dict(state["optimizer"])
        distributed.restore_random(state["random"])
        self.step, self.best_step = state["counters"]["step"], state["counters"]["best_step"]
        self.best_validation = state["best_validation"]

    @property
    def _checkpoint_due(self) -> bool:
        return self.step % self.schedule.checkpoint_every == 0 or self.finished

    def _advance(self) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.schedule, self.step)
        self.model.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.schedule.bfloat16):
            loss = self.objective.loss(self.model, distributed.share(self.schedule.batch_size))
        self.optimizer.zero_grad()
        loss.backward()
        distributed.average_gradients(self.model)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.schedule.clip_norm)
        self.optimizer.step()
        self.step += 1
        self._update_ema()
        return loss.item()

    @torch.no_grad()
    def _update_ema(self) -> None:
        decay = min(self.schedule.ema_decay, (1 + self.step) / (10 + self.step))
        averaged, current = list(self.ema.parameters()), list(self.model.parameters())
        torch._foreach_lerp_(averaged, current, 1 - decay)

    @torch.no_grad()
    def _validate(self) -> None:
        loss = distributed.agreed(self.objective.validate(self.ema))
        if loss < self.best_validation:
            self.best_validation, self.best_step = loss, self.step
            self.best = copy.deepcopy(self.ema.state_dict())


def within(schedule: Schedule, steps: float) -> Schedule:
    """The schedule at another length, at least one step; validated as often as the recipes are."""
    whole = max(1, round(steps))
    every = max(1, whole // VALIDATIONS)
    return replace(
        schedule,
        steps=whole,
        warmup_steps=min(schedule.warmup_steps, max(1, whole // 10)),
        validate_every=every,
        checkpoint_every=4 * every,
    )


def learning_rate(schedule: Schedule, step: int) -> float:
    """Linear warm-up, then half a cosine down to zero at ``steps``."""
    if step < schedule.warmup_steps:
        return schedule.learning_rate * (step + 1) / schedule.warmup_steps
    done = (step - schedule.warmup_steps) / max(1, schedule.steps - schedule.warmup_steps)
    return schedule.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases, gains and single vectors do not."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
