"""What every action tokenizer promises, and what each method is by its source."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import idct
from torch import Tensor

from models.dataset import COMMAND_KEY
from models.tokenizers import ActionTokenizer, PrefixError, UndecodableError, content_lengths
from models.tokenizers.fast import FastTokenizer, fit_fast, quantised
from models.tokenizers.latent import LatentConfig, LatentTokenizer
from models.tokenizers.vector_quantizer import VectorQuantizer
from tests.unit.tiny_models import FEATURES
from tests.unit.tiny_rivals import HORIZON, JOINTS, tokenizers, windows

ALL = tokenizers()
DATA = windows()
CHUNKS, OBSERVED = DATA.chunk(DATA.index), DATA.observation(DATA.index)


def first(count: int) -> dict[str, Tensor]:
    """The first observations."""
    return {key: value[:count] for key, value in OBSERVED.items()}


each = pytest.mark.parametrize("tokenizer", ALL.values(), ids=ALL.keys())
UNORDERED = {kind: tokenizer for kind, tokenizer in ALL.items() if kind != "oat"}


@torch.no_grad()
@each
def test_what_is_encoded_fits_the_vocabulary_and_decodes(tokenizer: ActionTokenizer) -> None:
    tokens = tokenizer.encode(CHUNKS, OBSERVED)
    assert tokens.dtype == torch.int64
    assert tokens.shape == (len(CHUNKS), tokenizer.max_tokens)
    assert int(tokens.min()) >= 0 and int(tokens.max()) < tokenizer.vocabulary
    assert tokenizer.is_decodable(tokens).all()
    decoded = tokenizer.decode(tokens, OBSERVED)
    assert decoded.shape == CHUNKS.shape
    assert decoded.dtype == torch.float32
    assert torch.isfinite(decoded).all()


@torch.no_grad()
@pytest.mark.parametrize("kind", ["oat", "bin", "quest", "vq"])
@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_any_full_sequence_decodes_within_the_range_of_the_data(kind: str, seed: int) -> None:
    tokenizer = ALL[kind]
    drawn = torch.Generator().manual_seed(seed)
    tokens = torch.randint(tokenizer.vocabulary, (4, tokenizer.max_tokens), generator=drawn)
    assert tokenizer.is_decodable(tokens).all()
    decoded = tokenizer.decode(tokens, first(4))
    owner = tokenizer.tokenizer if kind == "oat" else tokenizer
    low, high = (owner.normalizer.inverse(torch.full((JOINTS,), s)) for s in (-1.0, 1.0))
    assert ((decoded >= low - 1e-5) & (decoded <= high + 1e-5)).all()


@pytest.mark.parametrize("tokenizer", UNORDERED.values(), ids=UNORDERED.keys())
def test_tokens_without_an_order_refuse_every_prefix(tokenizer: ActionTokenizer) -> None:
    assert tokenizer.prefixes == ()
    tokens = tokenizer.encode(CHUNKS[:1], first(1))
    for k in (1, tokenizer.max_tokens):
        with pytest.raises(PrefixError, match=f"got k = {k}"):
            tokenizer.decode_prefix(tokens, k, first(1))


@torch.no_grad()
def test_ordered_tokens_decode_as_the_tokenizer_behind_them_does() -> None:
    ordered = ALL["oat"]
    tokens = ordered.encode(CHUNKS[:5], first(5))
    assert torch.equal(tokens, ordered.tokenizer.encode(CHUNKS[:5], first(5)))
    for k in range(1, 5):
        expected = ordered.tokenizer.decode(tokens, k, first(5))
        assert torch.equal(ordered.decode_prefix(tokens[:, :k], k, first(5)), expected)
    assert ordered.prefixes == (1, 2, 4)
    with pytest.raises(PrefixError, match=r"1\.\.4, got 5"):
        ordered.decode_prefix(tokens, 5, first(5))


def test_bins_lose_at_most_half_a_bin_and_are_ordered_by_step() -> None:
    binning = ALL["bin"]
    tokens = binning.encode(CHUNKS, OBSERVED)
    width = 2.0 / binning.normalizer.scale / 256
    error = (binning.decode(tokens, OBSERVED) - CHUNKS).abs()
    assert (error <= width / 2 + 1e-6).all()
    assert tokens.shape[1] == HORIZON * JOINTS
    changed = CHUNKS[:1].clone()
    changed[0, 5] += 0.5
    moved = (binning.encode(changed, OBSERVED) != tokens[:1]).nonzero()[:, 1]
    assert moved.tolist() == [15, 16, 17]


def test_an_action_outside_the_range_falls_into_the_outermost_bin() -> None:
    tokens = ALL["bin"].encode(torch.full((1, HORIZON, JOINTS), 99.0), OBSERVED)
    assert (tokens == 255).all()


def test_fast_errs_by_what_rounding_its_coefficients_costs() -> None:
    fast = ALL["fast"]
    decoded = fast.decode(fast.encode(CHUNKS, OBSERVED), OBSERVED)
    coefficients = quantised(fast.normalizer(CHUNKS), 10.0)
    expected = idct(coefficients / 10.0, axis=1, norm="ortho")
    np.testing.assert_allclose(fast.normalizer(decoded).numpy(), expected, atol=1e-5)
    # Half a rounding step in each of the coefficients of a joint is the most (Parseval).
    error = (fast.normalizer(decoded) - fast.normalizer(CHUNKS)).square().sum(1).sqrt()
    assert (error <= 0.05 * HORIZON**0.5 + 1e-5).all()


def test_fast_spells_low_frequencies_of_all_joints_first() -> None:
    fast = ALL["fast"]
    still = fast.normalizer.inverse(torch.full((1, HORIZON, JOINTS), 0.5))
    coefficients = quantised(fast.normalizer(still), 10.0)[0]
    assert coefficients[0].tolist() == [round(10 * 0.5 * HORIZON**0.5)] * JOINTS
    assert not coefficients[1:].any()
    text = fast._texts(fast.encode(still, OBSERVED))[0]
    assert len(set(text[:JOINTS])) == 1 and text[0] != text[JOINTS]
    assert len(set(text[JOINTS:])) == 1


def test_fast_sequences_are_shorter_than_their_coefficients() -> None:
    fast = ALL["fast"]
    lengths = content_lengths(fast.encode(CHUNKS, OBSERVED), fast.end)
    assert 1 <= int(lengths.max()) < HORIZON * JOINTS


def test_fast_tells_sequences_that_stand_for_no_chunk() -> None:
    fast = ALL["fast"]
    tokens = fast.encode(CHUNKS[:3], OBSERVED)
    tokens[1, int(content_lengths(tokens, fast.end)[1]) - 1] = fast.end
    tokens[2] = fast.end
    assert fast.is_decodable(tokens).tolist() == [True, False, False]
    with pytest.raises(UndecodableError, match=f"0 coefficients, a chunk has {HORIZON * JOINTS}"):
        fast.decode(tokens[2:], OBSERVED)
    # A sequence that never ends: too many coefficients.
    assert not fast.is_decodable(torch.zeros(1, 2 * fast.max_tokens, dtype=torch.long)).any()


def test_fast_is_restored_from_its_configuration() -> None:
    fast = ALL["fast"]
    again = FastTokenizer(fast.config)
    again.load_state_dict(fast.state_dict())
    assert torch.equal(again.encode(CHUNKS, OBSERVED), fast.encode(CHUNKS, OBSERVED))


def test_fast_refuses_a_scale_that_its_vocabulary_cannot_spell() -> None:
    with pytest.raises(ValueError, match="need a vocabulary of as many, not 160"):
        fit_fast(DATA.action, CHUNKS, scale=1000.0, vocabulary=160)


def test_what_follows_the_end_does_not_count() -> None:
    tokens = torch.tensor([[4, 9, 9, 9], [9, 4, 4, 4], [1, 2, 3, 4]])
    assert content_lengths(tokens, 9).tolist() == [1, 0, 4]
    assert content_lengths(tokens, None).tolist() == [4, 4, 4]


@torch.no_grad()
@pytest.mark.parametrize("kind", ["quest", "vq"])
def test_a_latent_sees_its_own_steps_and_earlier_ones_alone(kind: str) -> None:
    encoder, condition = ALL[kind].encoder, ALL[kind].condition(first(1))
    chunk = torch.rand(1, HORIZON, JOINTS)
    later = chunk.clone()
    later[:, 4] += 1.0  # the first step of the third token
    before, after = encoder(chunk, condition), encoder(later, condition)
    assert torch.equal(before[:, :2], after[:, :2])
    assert (before[:, 2:] != after[:, 2:]).any(-1).all()


@torch.no_grad()
@pytest.mark.parametrize("kind", ["quest", "vq"])
def test_every_token_of_a_latent_tokenizer_matters(kind: str) -> None:
    tokenizer = ALL[kind]
    tokens = tokenizer.encode(CHUNKS[:1], first(1))
    for position in range(tokenizer.max_tokens):
        other = tokens.clone()
        other[0, position] = (other[0, position] + 7) % tokenizer.vocabulary
        decoded = [tokenizer.decode(t, first(1)) for t in (tokens, other)]
        assert not torch.equal(*decoded)


def test_a_latent_tokenizer_without_condition_ignores_the_command() -> None:
    sizes = {"action_dim": JOINTS, "action_horizon": HORIZON, "num_tokens": 4, "dim": 16}
    free = LatentTokenizer(LatentConfig(head_dim=8, conditioned_on_command=False, **sizes))
    with torch.no_grad():
        moved = {key: value + 1 for key, value in first(2).items()}
        assert torch.equal(*(free.encode(CHUNKS[:2], each) for each in (first(2), moved)))


def test_an_observed_latent_tokenizer_decodes_by_what_is_observed() -> None:
    sizes = {"action_dim": JOINTS, "action_horizon": HORIZON, "num_tokens": 4, "dim": 16}
    seen = {"conditioned_on_command": False, "observed": dict(FEATURES)}
    seeing = LatentTokenizer(LatentConfig(head_dim=8, **seen, **sizes)).eval()
    moved = {key: value + (key != COMMAND_KEY) for key, value in first(2).items()}
    with torch.no_grad():
        tokens = seeing.encode(CHUNKS[:2], first(2))
        decoded = [seeing.decode(tokens, each) for each in (first(2), moved)]
    assert not torch.equal(tokens, seeing.encode(CHUNKS[:2], moved))
    assert not torch.allclose(*decoded)


def test_a_horizon_that_halving_does_not_lead_to_the_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="action_horizon 24 is not 8 tokens"):
        LatentConfig(action_horizon=24)


def test_the_quantizer_takes_the_nearest_vector_and_draws_both_together() -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(16, 4)
    latent = torch.randn(5, 4, requires_grad=True)
    codes = quantizer(latent)
    unit = torch.nn.functional.normalize(latent, dim=-1)
    book = torch.nn.functional.normalize(quantizer.codebook, dim=-1)
    nearest = (unit[:, None] - book[None]).square().sum(-1).argmin(1)
    assert torch.allclose(codes, book[nearest], atol=1e-6)
    assert torch.equal(quantizer.indices(codes), nearest)
    assert torch.allclose(quantizer.codes(nearest), codes, atol=1e-6)
    quantizer.penalty(latent).backward()
    assert _moves(latent.grad) and _moves(quantizer.codebook.grad)


def _moves(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.abs().sum() > 0)
