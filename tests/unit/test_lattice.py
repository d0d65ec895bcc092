"""Targets that are spread over near codes, and what a policy learns of them."""

from __future__ import annotations

import pytest
import torch

from models.fsq import FSQ
from models.lattice import smoothing
from models.objectives import NextToken
from models.tokenizers.ordered import OrderedTokens
from tests.unit.tiny_models import tiny_policy, tiny_tokenizer
from tests.unit.tiny_rivals import tokenizers, windows

LEVELS = (5, 4, 3)


def test_every_target_sums_to_one_and_has_its_own_code_first() -> None:
    table = smoothing(LEVELS, 0.8)
    assert table.shape == (60, 60)
    torch.testing.assert_close(table.sum(1), torch.ones(60))
    assert torch.equal(table.argmax(1), torch.arange(60))


def test_a_target_falls_with_the_distance_of_codes_in_levels() -> None:
    quantizer, table = FSQ(LEVELS), smoothing(LEVELS, 0.8)
    digits = quantizer.codes(torch.arange(60)) * (quantizer.levels // 2)
    square = (digits[:, None] - digits[None]).square().sum(-1)  # (60, 60)
    torch.testing.assert_close(table / table.diagonal()[:, None], (-0.5 * square / 0.64).exp())


def test_a_narrow_target_is_the_code_alone() -> None:
    torch.testing.assert_close(smoothing(LEVELS, 0.05), torch.eye(60))


def test_the_loss_is_the_cross_entropy_of_the_spread_targets() -> None:
    tokenizer, policy, data = OrderedTokens(tiny_tokenizer()), tiny_policy(), windows()
    objective = NextToken(data, data, tokenizer, 0.0, code_smoothing=0.7)
    observation, chunk = data.observation(data.index), data.chunk(data.index)
    with torch.no_grad():
        tokens = tokenizer.encode(chunk, observation)
        inputs = torch.cat([torch.full((len(tokens), 1), policy.config.bos), tokens[:, :-1]], 1)
        likely = policy(inputs, policy.prefill(observation)).softmax(-1)[..., :60]
        wanted = -(smoothing(LEVELS, 0.7)[tokens] * likely.log()).sum(-1).mean()
        assert objective.validate(policy) == pytest.approx(float(wanted), rel=1e-5)
        plain = NextToken(data, data, tokenizer, 0.0).validate(policy)
        narrow = NextToken(data, data, tokenizer, 0.0, code_smoothing=0.05).validate(policy)
    assert narrow == pytest.approx(plain, rel=1e-5)
    assert plain != pytest.approx(float(wanted), rel=1e-2)


def test_numbers_that_are_no_lattice_are_never_smoothed() -> None:
    found = {kind: tokenizer.levels for kind, tokenizer in tokenizers().items()}
    assert found == {"oat": LEVELS, "quest": LEVELS, "vq": (), "fast": (), "bin": (256,)}
