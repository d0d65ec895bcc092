"""Random numbers for training and for evaluation that never meet.

The first word of every seed is its purpose: demonstrations draw from [0, seed, index, attempt] and
evaluations from [1, seed, episode], so no start of an evaluation was ever seen in training.
"""

import numpy as np

TRAINING_STREAM, EVALUATION_STREAM = 0, 1


def training_rng(seed: int, index: int, attempt: int) -> np.random.Generator:
    """Randomness of one attempt at demonstration `index`."""
    return np.random.default_rng([TRAINING_STREAM, seed, index, attempt])


def evaluation_rng(seed: int, episode: int = 0) -> np.random.Generator:
    """Randomness of one episode of an evaluation."""
    return np.random.default_rng([EVALUATION_STREAM, seed, episode])
