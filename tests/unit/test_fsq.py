from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.fsq import FSQ

level_lists = st.lists(st.integers(2, 9), min_size=1, max_size=5)


@given(level_lists)
@settings(max_examples=40, deadline=None)
def test_indices_and_codes_are_inverse_over_the_whole_codebook(levels: list[int]) -> None:
    fsq = FSQ(levels)
    indices = torch.arange(min(fsq.codebook_size, 5000))
    codes = fsq.codes(indices)
    assert torch.equal(fsq.indices(codes), indices)
    assert codes.abs().max() <= 1.0


@given(level_lists, st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_every_latent_lands_on_a_code_of_the_book(levels: list[int], seed: int) -> None:
    fsq = FSQ(levels)
    latent = torch.randn(64, len(levels), generator=torch.Generator().manual_seed(seed)) * 5
    codes = fsq(latent)
    indices = fsq.indices(codes)
    assert indices.min() >= 0 and indices.max() < math.prod(levels)
    torch.testing.assert_close(fsq.codes(indices), codes, atol=1e-6, rtol=0)


@pytest.mark.parametrize("level", range(2, 10))
def test_each_level_of_a_dimension_is_reached(level: int) -> None:
    fsq = FSQ([level])
    reached = fsq.indices(fsq(torch.linspace(-20, 20, 20_001)[:, None]))
    assert reached.unique().tolist() == list(range(level))


def test_a_larger_latent_never_gets_a_smaller_code() -> None:
    codes = FSQ([8, 5])(torch.linspace(-4, 4, 1001)[:, None].repeat(1, 2))
    assert (codes.diff(dim=0) >= 0).all()


def test_the_gradient_passes_straight_through_the_rounding() -> None:
    latent = torch.tensor([[0.1, -0.2]], requires_grad=True)
    FSQ([8, 5])(latent).sum().backward()
    assert latent.grad is not None
    assert (latent.grad > 0).all()


def test_the_first_dimension_changes_fastest() -> None:
    codes = FSQ([8, 5, 5, 5]).codes(torch.tensor([0, 1, 8, 999]))
    expected = [[-1, -1, -1, -1], [-0.75, -1, -1, -1], [-1, -0.5, -1, -1], [0.75, 1, 1, 1]]
    assert codes.tolist() == expected


def test_a_dimension_with_one_level_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2 or more.*\[5, 1\]"):
        FSQ([5, 1])
