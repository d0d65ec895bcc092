"""What enters every product over many plans: a histogram for each layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration.observations import Observations
from calibration.products import Graphs
from calibration.ranges import Histogram
from calibration.session import GraphModel


def collect(
    graphs: Graphs, observations: Observations, prefixes: Sequence[int]
) -> dict[str, Histogram]:
    """Histograms by layer (``module/node``) over greedy plans from all observations.

    Every plan is decoded with each of the ``prefixes``, over the whole horizon.
    """
    histograms: dict[str, Histogram] = {}

    def watch(layer: str, values: np.ndarray) -> None:
        histograms.setdefault(layer, Histogram()).add(values)

    model = GraphModel(graphs, watch)
    for index in range(len(next(iter(observations.values())))):
        observation = {key: value[index : index + 1] for key, value in observations.items()}
        tokens = model.generate(observation, model.num_tokens)
        for prefix in prefixes:
            model.decode(tokens, prefix, observation)
    return histograms
