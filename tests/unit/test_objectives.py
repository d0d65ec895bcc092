from __future__ import annotations

import pytest
import torch

from models.dataset import Windows
from models.objectives import Expectation
from models.pipeline import fit_condition
from models.tokenizer import OATTokenizer
from models.training import Schedule, Trainer
from tests.unit.tiny_models import FEATURES, tiny_tokenizer
from tests.unit.tiny_rivals import HORIZON, JOINTS

EPISODE = 12
SCHEDULE = Schedule(steps=150, batch_size=32, learning_rate=3e-3, validate_every=50, ema_decay=0.9)


def two_motions() -> Windows:
    """From one observation two demonstrators go up, and the third goes down."""
    steps = 3 * EPISODE
    action = torch.ones(steps, JOINTS)
    action[2 * EPISODE :] = -1.0
    first = torch.arange(steps) // EPISODE * EPISODE
    features = {key: torch.zeros(steps, dim) for key, dim in FEATURES.items()}
    return Windows(features, action, first, first + EPISODE - 1, torch.arange(steps), 2, HORIZON)


def expectation(windows: Windows) -> Expectation:
    return Expectation(windows, windows, observation_noise=0.01)


def test_of_two_motions_the_likelier_is_expected_not_their_mean() -> None:
    windows = two_motions()
    torch.manual_seed(0)
    tokenizer = OATTokenizer(tiny_tokenizer(observes=True).config)
    fit_condition(tokenizer, windows)
    Trainer(tokenizer, expectation(windows), SCHEDULE).run()
    condition = tokenizer.condition(windows.observation(windows.index[:1]))
    expected = tokenizer.normalizer.inverse(condition.expected, clamp=False)
    torch.testing.assert_close(expected, torch.ones(1, HORIZON, JOINTS), atol=0.25, rtol=0.0)


@torch.no_grad()
def test_validating_draws_no_random_numbers() -> None:
    seeing = tiny_tokenizer(observes=True)
    objective = expectation(two_motions())
    before = torch.get_rng_state()
    assert objective.validate(seeing) == objective.validate(seeing)
    assert torch.equal(before, torch.get_rng_state())


def test_without_an_observation_nothing_is_expected() -> None:
    windows = two_motions()
    blind = tiny_tokenizer()
    with pytest.raises(ValueError, match="does not see the observation"):
        expectation(windows).loss(blind, 4)
