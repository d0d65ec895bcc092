from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.dataset import COMMAND_KEY
from models.layers import NestedDropout, trained_prefixes
from models.tokenizer import OATTokenizer, TokenizerConfig, register_mask
from tests.unit.tiny_models import tiny_tokenizer

CONDITIONED, PAPER = tiny_tokenizer(), tiny_tokenizer(conditioned_on_command=False)
OBSERVED = tiny_tokenizer(
    conditioned_on_command=False, observed={COMMAND_KEY: 3, "observation.state": 2}
)
VARIANTS = {"conditioned": CONDITIONED, "paper": PAPER, "observed": OBSERVED}
every_variant = pytest.mark.parametrize("tokenizer", VARIANTS.values(), ids=VARIANTS.keys())


def observation(count: int, command: float = 0.0, state: float = 0.0) -> dict[str, torch.Tensor]:
    """As many observations of two steps."""
    return {
        COMMAND_KEY: torch.full((count, 2, 3), command),
        "observation.state": torch.full((count, 2, 2), state),
    }


def decode(tokenizer: OATTokenizer, tokens: torch.Tensor, prefix: int) -> torch.Tensor:
    with torch.no_grad():
        return tokenizer.decode(tokens, prefix, observation(len(tokens)))


@every_variant
@given(tokens=st.lists(st.integers(0, 59), min_size=4, max_size=4), prefix=st.integers(0, 4))
@settings(max_examples=30, deadline=None)
def test_every_prefix_of_any_tokens_decodes_finite_and_in_range(
    tokenizer: OATTokenizer, tokens: list[int], prefix: int
) -> None:
    actions = decode(tokenizer, torch.tensor([tokens]), prefix)[0]
    assert actions.shape == (8, 3)
    assert torch.isfinite(actions).all()
    low, high = (tokenizer.normalizer.inverse(torch.full((3,), s)) for s in (-1.0, 1.0))
    assert (actions >= low - 1e-6).all()
    assert (actions <= high + 1e-6).all()


@every_variant
@pytest.mark.parametrize("prefix", range(5))
def test_tokens_beyond_the_prefix_change_nothing(tokenizer: OATTokenizer, prefix: int) -> None:
    tokens = torch.randint(60, (8, 4), generator=torch.Generator().manual_seed(0))
    other = tokens.clone()
    other[:, prefix:] = (other[:, prefix:] + 17) % 60
    assert torch.equal(decode(tokenizer, tokens, prefix), decode(tokenizer, other, prefix))
    if prefix > 0:
        other[:, prefix - 1] = (other[:, prefix - 1] + 17) % 60
        assert not torch.equal(decode(tokenizer, tokens, prefix), decode(tokenizer, other, prefix))


@torch.no_grad()
def test_a_later_register_never_changes_an_earlier_latent() -> None:
    tokenizer = tiny_tokenizer()
    chunk, condition = torch.rand(16, 8, 3), tokenizer.condition(observation(16))
    before = tokenizer.encoder(chunk, condition)
    tokenizer.encoder.registers[2] += torch.randn(16)
    after = tokenizer.encoder(chunk, condition)
    assert torch.equal(before[:, :2], after[:, :2])
    assert (before[:, 2:] != after[:, 2:]).any((0, 2)).all()


def test_patches_do_not_see_registers_and_registers_see_the_past() -> None:
    assert register_mask(2, 2).tolist() == [
        [True, True, False, False],
        [True, True, False, False],
        [True, True, True, False],
        [True, True, True, True],
    ]


def test_the_command_reaches_both_tokens_and_actions() -> None:
    chunk, tokens = torch.rand(16, 8, 3), torch.zeros(16, 4, dtype=torch.long)
    seen = observation(16), observation(16, command=0.7)
    for tokenizer in (CONDITIONED, OBSERVED):
        assert not torch.equal(*(tokenizer.encode(chunk, each) for each in seen))
        assert not torch.allclose(*(tokenizer.decode(tokens, 0, each) for each in seen))
    assert torch.equal(*(PAPER.encode(chunk, each) for each in seen))


@torch.no_grad()
def test_the_observation_reaches_latents_and_actions_of_the_observed_tokenizer_alone() -> None:
    chunk, tokens = torch.rand(16, 8, 3), torch.zeros(16, 4, dtype=torch.long)
    seen = observation(16), observation(16, state=5.0)
    for tokenizer, same in ((OBSERVED, False), (CONDITIONED, True)):
        latents = [tokenizer.encoder(chunk, tokenizer.condition(each)) for each in seen]
        decoded = [tokenizer.decode(tokens, 0, each) for each in seen]
        assert torch.equal(*latents) is torch.equal(*decoded) is same


def test_an_observed_tokenizer_sees_and_makes_what_departs_from_the_expected_chunk() -> None:
    chunk, seen = torch.rand(16, 8, 3), observation(16, command=0.4)
    condition = OBSERVED.condition(seen)
    expected = OBSERVED.forecast(condition.features)
    departure = OBSERVED.departure(chunk, condition)
    torch.testing.assert_close(departure, 3.0 * (chunk - expected))
    torch.testing.assert_close(OBSERVED.arrival(departure, condition), chunk)


@pytest.mark.parametrize("tokenizer", [CONDITIONED, OBSERVED], ids=["conditioned", "observed"])
def test_what_a_tokenizer_is_conditioned_on_is_demanded_by_name(tokenizer: OATTokenizer) -> None:
    chunk, tokens = torch.zeros(1, 8, 3), torch.zeros(1, 4, dtype=torch.long)
    for too_little in (None, {}, {"observation.state": torch.zeros(1, 2, 2)}):
        with pytest.raises(ValueError, match=COMMAND_KEY):
            tokenizer.encode(chunk, too_little)
        with pytest.raises(ValueError, match=COMMAND_KEY):
            tokenizer.decode(tokens, 1, too_little)
    with pytest.raises(ValueError, match=r"observation\.state"):
        OBSERVED.encode(chunk, {COMMAND_KEY: torch.zeros(1, 2, 3)})


def test_a_command_beside_the_observation_is_refused() -> None:
    with pytest.raises(ValueError, match="the command or on the observation"):
        tiny_tokenizer(conditioned_on_command=True, observed={"observation.state": 2})


@pytest.mark.parametrize("prefix", [-1, 5])
def test_a_prefix_out_of_range_is_refused(prefix: int) -> None:
    with pytest.raises(ValueError, match=r"0\.\.4"):
        decode(PAPER, torch.zeros(1, 4, dtype=torch.long), prefix)


def test_sizes_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="patch 5"):
        TokenizerConfig(patch=5)
    with pytest.raises(ValueError, match="head_dim 24"):
        TokenizerConfig(head_dim=24)


def test_nested_dropout_replaces_exactly_the_tail() -> None:
    dropout = NestedDropout(2, 4, "pow2")
    with torch.no_grad():
        dropout.dropout_mask_token.fill_(9.0)
        latents = dropout(torch.zeros(3, 4, 2), torch.tensor([1, 2, 4]))
    assert latents[..., 0].tolist() == [[0, 9, 9, 9], [0, 0, 9, 9], [0, 0, 0, 0]]


@pytest.mark.parametrize(("mode", "lengths"), [("pow2", [1, 2, 4, 8]), ("uniform", range(1, 9))])
def test_nested_dropout_draws_every_trained_prefix_about_as_often(
    mode: str, lengths: list[int]
) -> None:
    torch.manual_seed(0)
    drawn = NestedDropout(2, 8, mode).draw(4000)
    counts = {k: int((drawn == k).sum()) for k in drawn.unique().tolist()}
    assert list(counts) == list(lengths) == trained_prefixes(8, mode)
    assert min(counts.values()) > 0.75 * 4000 / len(counts)


def test_biased_dropout_draws_every_length_and_powers_of_two_oftener() -> None:
    torch.manual_seed(0)
    drawn = NestedDropout(2, 8, "pow2_biased").draw(8000)
    counts = torch.bincount(drawn, minlength=9)[1:].tolist()
    for length, count in enumerate(counts, 1):
        share = 0.5 / 8 + (0.5 / 4 if length in (1, 2, 4, 8) else 0)
        assert abs(count / 8000 - share) < 0.02
    assert trained_prefixes(8, "pow2_biased") == list(range(1, 9))


def test_the_full_length_is_trained_even_if_it_is_no_power_of_two() -> None:
    assert trained_prefixes(6, "pow2") == [1, 2, 4, 6]


def test_an_unknown_dropout_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="'none'"):
        NestedDropout(2, 4, "none")
