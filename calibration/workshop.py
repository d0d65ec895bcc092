"""Makes precisions: calibrates once, scans layers, and keeps those that a bound asks to keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from calibration.activations import collect
from calibration.gate import Bounds
from calibration.observations import Observations, rollout_observations, thinned
from calibration.parity import Reference, reference
from calibration.precisions import PRECISIONS, Steps
from calibration.products import Graphs, layers_of
from calibration.ranges import METHODS, PERCENTILE, step_of
from calibration.sensitivity import Damage, choose_kept, scan, table
from calibration.session import GraphModel, GraphPolicy
from models.checkpoint import Checkpoint
from models.layers import trained_prefixes
from models.tasks import TASK_NAMES, get_task

CALIBRATION, SELECTION, JUDGEMENT = range(32), range(32, 80), range(80, 144)
"""Episodes by number: those that set ranges, those that choose layers, and those that judge."""

SELECTION_SHARE = 0.5
"""Layers are chosen for this share of what the bounds allow: other observations will differ."""

ROLLOUTS, HELD_OUT = "rollouts of the policy, half of them disturbed", "held-out examples"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Calibration:
    """How activations get their ranges: the method, and how many observations are looked at."""

    method: str = "mse"
    samples: int = 256
    selection_samples: int = 2000

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"unknown calibration {self.method!r}; known: {', '.join(METHODS)}")


class Workshop:
    """Precisions of one checkpoint; what several of them need is computed once, when needed."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        base: Graphs,
        bounds: Bounds,
        calibration: Calibration,
        progress: Progress,
    ) -> None:
        self.base, self.layers = base, layers_of(base)
        self._checkpoint, self._bounds, self._calibration = checkpoint, bounds, calibration
        self._progress = progress
        self._scans: dict[str, list[Damage]] = {}
        self._kept: dict[str, list[str]] = {}

    def make(self, name: str) -> Graphs:
        """The graphs of a precision, of those in PRECISIONS."""
        self._progress(f"making {name}")
        kept = self.kept(name)
        return self._lower(name, [layer for layer in self.layers if layer not in kept])

    def kept(self, name: str) -> list[str]:
        """The layers that a mixed precision keeps; none of any other."""
        if not PRECISIONS[name].mixed or not self.layers:
            return []
        if name not in self._kept:
            tight = self._bounds.scaled(SELECTION_SHARE)
            damages, truth = self.damages(name), self._selection
            lower = self._lowering(name)
            self._kept[name] = choose_kept(damages, lower, truth, tight, self._progress)
        return self._kept[name]

    def damages(self, name: str) -> list[Damage]:
        """What each layer alone costs in this precision."""
        if name not in self._scans:
            lower = self._lowering(name)
            self._scans[name] = scan(self.layers, lower, self._selection, self._progress)
        return self._scans[name]

    def notes(self, name: str) -> dict[str, Any]:
        """What the report says of how a precision was made."""
        notes: dict[str, Any] = {}
        if name in self._scans:
            notes["sensitivity"] = table(self._scans[name])
        if PRECISIONS[name].mixed:
            notes["kept_layers"] = self.kept(name)
            notes["lowered_layers"] = len(self.layers) - len(self.kept(name))
        return notes

    def judgement(self, precisions: Sequence[str], limit: int) -> tuple[Observations, str]:
        """At most ``limit`` observations to judge by, and where they come from.

        Neither ranges nor the choice of layers come from them, unless the task is unknown. Where
        nothing is lowered, rounding is all that there is to see, and held-out examples will do.
        """
        if set(precisions) <= {"fp32"}:
            return thinned(self._examples, limit), HELD_OUT
        return thinned(self._observations(JUDGEMENT), limit), self._source

    def provenance(self) -> dict[str, Any]:
        """Method and samples of the calibration, for the manifest."""
        facts: dict[str, Any] = {"method": self._calibration.method, "source": self._source}
        if facts["method"] == "percentile":
            facts["percentile"] = 100 * PERCENTILE
        for name, split in (("samples", self._samples), ("selection_samples", self._selected)):
            facts[name] = len(next(iter(split.values())))
        return facts

    @cached_property
    def steps(self) -> Steps:
        """Quantization step of every layer's input."""
        self._progress("calibrating")
        histograms = collect(self.base, self._samples, self._prefixes)
        method = self._calibration.method
        return {layer: step_of(histograms[layer], method) for layer in self.layers}

    def _lower(self, name: str, layers: Sequence[str]) -> Graphs:
        precision = PRECISIONS[name]
        steps = self.steps if precision.calibrated and self.layers else {}
        return precision.lower(self.base, layers, steps)

    def _lowering(self, name: str) -> Callable[[Sequence[str]], Graphs]:
        return lambda layers: self._lower(name, layers)

    @property
    def _prefixes(self) -> list[int]:
        config = self._checkpoint.tokenizer.config
        return trained_prefixes(config.num_tokens, config.nested_dropout)

    @property
    def _source(self) -> str:
        return ROLLOUTS if self._checkpoint.facts["task"] in TASK_NAMES else HELD_OUT

    @property
    def _examples(self) -> Observations:
        features = self._checkpoint.policy.config.features
        return {key: self._checkpoint.examples[key].numpy() for key in features}

    @cached_property
    def _samples(self) -> Observations:
        return thinned(self._observations(CALIBRATION), self._calibration.samples)

    @cached_property
    def _selected(self) -> Observations:
        return thinned(self._observations(SELECTION), self._calibration.selection_samples)

    @cached_property
    def _selection(self) -> Reference:
        return reference(self._checkpoint, self._selected)

    def _observations(self, episodes: range) -> Observations:
        """Of rollouts where the task is known, else the examples that the checkpoint holds."""
        if self._source == HELD_OUT:
            return self._examples
        self._progress("rolling out for observations")
        model = GraphModel(self.base)
        policies = [GraphPolicy(model, k) for k in self._prefixes]
        task, execute = (
            get_task(self._checkpoint.facts["task"]),
            self._checkpoint.facts["execution_horizon"],
        )
        seen = rollout_observations(task, policies, len(episodes), execute, episodes.start)
        return {key: seen[key] for key in self._checkpoint.policy.config.features}
