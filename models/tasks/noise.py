"""Noise on what an expert executes, so that its data shows how to come back."""

import numpy as np

TIME_CONSTANT_STEPS = 12.0


class OrnsteinUhlenbeck:
    """Noise that wanders with a standing deviation `sigma` around zero, one value per joint."""

    def __init__(self, rng: np.random.Generator, sigma: float, size: int) -> None:
        self._rng, self._sigma, self._value = rng, sigma, np.zeros(size)

    def reset(self) -> None:
        """Start again from zero."""
        self._value[:] = 0.0

    def next(self, scale: float) -> np.ndarray:
        """The next value, its standing deviation drawn towards `scale * sigma`."""
        keep = np.exp(-1.0 / TIME_CONSTANT_STEPS)
        fresh = self._rng.standard_normal(self._value.shape) * self._sigma * scale
        self._value = keep * self._value + np.sqrt(1 - keep**2) * fresh
        return self._value.copy()
