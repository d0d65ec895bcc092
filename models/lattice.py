"""Codes as cells of a lattice: which of them are near to one another, and mean nearly the same."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def smoothing(levels: Sequence[int], width: float) -> Tensor:
    """What a code's target spreads to: (V, V) of rows that sum to 1, V the product of ``levels``.

    A normal density of ``width`` levels' deviation in every dimension, the first changing fastest
    with a code's index (``models.fsq``). Of a distribution spread over cells, the likeliest single
    cell is chance; a policy that learns smoothed targets has its likeliest code where the
    probability of the neighbourhood peaks.
    """
    table = torch.ones(1, 1)
    for count in levels:
        steps = torch.arange(count) - torch.arange(count)[:, None]
        table = torch.kron((-0.5 * (steps / width).square()).exp(), table)
    return table / table.sum(1, keepdim=True)
