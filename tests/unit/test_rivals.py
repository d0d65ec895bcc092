"""Training, checkpoints and sampling of the policies that OAT is compared with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from torch import Tensor, nn
from torch.nn import functional
from typer.testing import CliRunner

from edge.commands.train import train
from models import checkpoint as oat_checkpoints
from models.agent import Plan
from models.checkpoint import CheckpointError
from models.compute import step_operations
from models.objectives import NextToken
from models.policy import OATPolicy, PolicyConfig
from models.recipes import scaled, with_tokenizer
from models.rivals import RIVALS
from models.rivals import checkpoint as checkpoints
from models.rivals.checkpoint import Rival
from models.rivals.diffusion import DiffusionConfig, DiffusionPolicy, signal_shares
from models.rivals.recipes import BATCH_SHARE
from models.rivals.training import train_rival
from models.tasks import get_task
from models.token_agent import TokenAgent, checkpoint_agent
from models.tokenizers import PrefixError
from models.training import Progress, Schedule, within
from tests.unit.tiny_models import FEATURES, tiny_checkpoint
from tests.unit.tiny_rivals import (
    HORIZON,
    JOINTS,
    SCHEDULE,
    recipe,
    tokenizers,
    windows,
    write_demonstrations,
)

OBSERVATION = {key: np.full((2, JOINTS), 0.3, np.float32) for key in FEATURES}


class InterruptedTrainingError(Exception):
    pass


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demonstrations(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module", params=RIVALS)
def trained(
    request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Rival, Path]:
    out = tmp_path_factory.mktemp(request.param) / "checkpoint"
    return train_rival(recipe(), request.param, data, out), out


def plan(rival: Rival, seed: int = 0) -> Plan:
    return rival.agent().plan(OBSERVATION, None, np.random.default_rng(seed))


def test_every_rival_plans_finite_chunks_that_a_loaded_checkpoint_repeats(
    trained: tuple[Rival, Path],
) -> None:
    rival, out = trained
    made, again = plan(rival), plan(checkpoints.load(out))
    assert made.actions.shape == (HORIZON, JOINTS)
    assert np.isfinite(made.actions).all()
    np.testing.assert_array_equal(made.actions, again.actions)
    assert (made.tokens, made.decodable) == (again.tokens, again.decodable)
    assert (made.tokens is None) == (rival.tokenizer is None)
    assert rival.agent().most_tokens == 0


def test_every_rival_spends_the_compute_of_the_recipe(trained: tuple[Rival, Path]) -> None:
    training = trained[0].facts["training"]
    step = training["teraflop_spent"] / sum(
        training[stage]["steps"] for stage in ("tokenizer", "policy") if stage in training
    )
    assert training["teraflop_spent"] == pytest.approx(training["teraflop_allowed"], abs=step)
    assert ("tokenizer" in training) == (trained[0].kind in ("quest", "vq"))


def test_a_rival_that_sees_the_observation_expects_first_and_pays_for_it(
    data: Path, tmp_path: Path
) -> None:
    facts = train_rival(with_tokenizer(recipe(), "observed"), "quest", data, tmp_path / "out").facts
    training = facts["training"]
    assert training["forecast"]["steps"] == SCHEDULE.steps
    assert training["teraflop_spent"] == pytest.approx(training["teraflop_allowed"], rel=0.1)


@pytest.mark.parametrize("kind", ["fast", "vq", "diffusion"])
def test_an_interrupted_rival_resumes_to_the_same_bits(
    kind: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BATCH_SHARE, kind, 3 / 8)  # so that the little compute buys enough steps

    def interrupt(stage: str, progress: Progress) -> None:
        if stage == "policy" and progress.step == 6:
            raise InterruptedTrainingError

    whole = train_rival(recipe(), kind, data, tmp_path / "whole")
    with pytest.raises(InterruptedTrainingError):
        train_rival(recipe(), kind, data, tmp_path / "cut", report=interrupt)
    resumed = train_rival(recipe(), kind, data, tmp_path / "cut", resume=True)
    files = [tmp_path / name / "weights.safetensors" for name in ("whole", "cut")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert whole.facts == resumed.facts


def test_a_damaged_or_foreign_checkpoint_is_refused_by_file(data: Path, tmp_path: Path) -> None:
    train_rival(recipe(), "mlp", data, tmp_path / "mlp")
    with pytest.raises(oat_checkpoints.CheckpointError, match="kind is 'mlp', only 'oat'"):
        oat_checkpoints.load(tmp_path / "mlp")
    oat_checkpoints.save(tmp_path / "oat", tiny_checkpoint())
    with pytest.raises(CheckpointError, match=r"config\.json: not the config of a rival"):
        checkpoints.load(tmp_path / "oat")
    config = tmp_path / "mlp" / "config.json"
    text = config.read_text()
    config.write_text(text.replace('"kind": "mlp"', '"kind": "juggler"'))
    with pytest.raises(CheckpointError, match="kind is 'juggler', allowed are bin, fast"):
        checkpoints.load(tmp_path / "mlp")
    config.write_text(text.replace('"hidden": 64', '"hidden": 32'))
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: weights do not fit"):
        checkpoints.load(tmp_path / "mlp")


def test_an_undecodable_sequence_is_reported_and_the_arm_holds() -> None:
    fast = tokenizers()["fast"]
    torch.manual_seed(0)
    sizes = {"codebook_size": fast.vocabulary, "num_tokens": fast.max_tokens}
    policy = OATPolicy(PolicyConfig(FEATURES, dim=16, layers=1, heads=2, **sizes)).eval()
    with torch.no_grad():
        policy.tok_emb.weight.zero_()
        policy.tok_emb.weight[fast.end] = 0.1
        policy.ln_f.weight.fill_(0.0)  # equal logits: greedy takes token 0 until the limit
    made = TokenAgent(policy, fast, HORIZON).plan(OBSERVATION, None, np.random.default_rng(0))
    assert not made.decodable
    assert made.tokens == fast.max_tokens
    np.testing.assert_array_equal(made.actions, np.full((HORIZON, JOINTS), np.float32(0.3)))


def test_generation_stops_at_the_end_and_counts_it() -> None:
    fast = tokenizers()["fast"]
    sizes = {"codebook_size": fast.vocabulary, "num_tokens": fast.max_tokens}
    policy = OATPolicy(PolicyConfig(FEATURES, dim=16, layers=1, heads=2, **sizes)).eval()

    def always_end(*_: object) -> Tensor:
        return functional.one_hot(torch.tensor([fast.end]), fast.vocabulary + 1).float()

    policy.step = always_end
    made = TokenAgent(policy, fast, HORIZON).plan(OBSERVATION, None, np.random.default_rng(0))
    assert (made.tokens, made.decodable) == (1, False)


def test_an_oat_checkpoint_is_an_agent_that_may_stop_at_any_token() -> None:
    agent = checkpoint_agent(tiny_checkpoint())
    assert agent.most_tokens == 4
    plans = [agent.plan(OBSERVATION, k, np.random.default_rng(0)) for k in (1, 2, 4, None)]
    assert [made.tokens for made in plans] == [1, 2, 4, 4]
    np.testing.assert_array_equal(plans[2].actions, plans[3].actions)
    assert not np.array_equal(plans[0].actions, plans[2].actions)
    with pytest.raises(PrefixError, match="got 5"):
        agent.plan(OBSERVATION, 5, np.random.default_rng(0))


def test_nothing_after_the_end_of_a_sequence_is_learned() -> None:
    data, fast = windows(), tokenizers()["fast"]
    torch.manual_seed(0)
    sizes = {"codebook_size": fast.vocabulary, "num_tokens": fast.max_tokens}
    policy = OATPolicy(PolicyConfig(FEATURES, dim=16, layers=1, heads=2, **sizes)).eval()
    objective = NextToken(data, data, fast, 0.0)
    held = objective.validation
    tokens = fast.encode(held.chunk(held.index), held.command(held.index))
    total, count = 0.0, 0
    with torch.no_grad():
        for row, index in enumerate(held.index):
            length = int((tokens[row] == fast.end).nonzero()[0]) + 1
            sequence = tokens[row : row + 1, :length]
            begin = torch.full((1, 1), policy.config.bos)
            memory = policy.prefill(held.observation(index[None]))
            logits = policy(torch.cat([begin, sequence[:, :-1]], 1), memory)
            total += float(functional.cross_entropy(logits[0], sequence[0], reduction="sum"))
            count += length
        assert objective.validate(policy) == pytest.approx(total / count, rel=1e-4)


def test_ddim_with_a_perfect_predictor_finds_the_chunk() -> None:
    config = DiffusionConfig(dict(FEATURES), action_dim=JOINTS, action_horizon=HORIZON, dim=16)
    model = DiffusionPolicy(config).eval()
    clean = torch.rand(2, HORIZON, JOINTS) * 2 - 1

    def forward(noisy: Tensor, level: Tensor, memory: Tensor) -> Tensor:
        share = model.signal[level][:, None, None]
        return (noisy - share.sqrt() * clean) / (1 - share).sqrt()

    model.forward = forward
    features = {key: torch.zeros(2, 2, JOINTS) for key in FEATURES}
    found = model.sample(features, torch.randn(2, HORIZON, JOINTS))
    assert torch.allclose(found, clean, atol=1e-3)


def test_noise_takes_over_from_level_to_level() -> None:
    shares = signal_shares(100)
    assert (shares.diff() < 0).all()
    assert shares[0] > 0.99 and 0 < shares[-1] < 1e-4
    model = DiffusionPolicy(DiffusionConfig(dict(FEATURES), action_dim=JOINTS, dim=16))
    level = torch.tensor([0, 99])
    clean, noise = torch.ones(2, 4, JOINTS), torch.zeros(2, 4, JOINTS)
    blurred = model.blur(clean, level, noise)[:, 0, 0]
    assert torch.allclose(blurred, shares[level].sqrt())


def test_a_diffusion_policy_answers_another_draw_with_another_chunk(
    data: Path, tmp_path: Path
) -> None:
    rival = train_rival(recipe(), "diffusion", data, tmp_path / "d")
    first, same, other = (plan(rival, seed).actions for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_operations_are_those_of_the_matrix_products() -> None:
    class Squares:
        def loss(self, model: nn.Module, batch_size: int) -> Tensor:
            return model(torch.randn(batch_size, 3)).square().sum()

        def validate(self, model: nn.Module) -> float:
            return 0.0

    network = nn.Sequential(nn.Linear(3, 5), nn.GELU(), nn.Linear(5, 2))
    state = torch.get_rng_state()
    # Forward, gradient of weights, and of inputs but the first layer's: 2 B in out each.
    expected = 2 * 7 * (2 * 3 * 5 + 3 * 5 * 2)
    assert step_operations(network, Squares(), 7) == expected
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for p in network.parameters())


def test_attention_is_counted() -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.x = nn.Parameter(torch.randn(1, 1, 6, 4))

    class Attention:
        def loss(self, model: Attending, batch_size: int) -> Tensor:
            return functional.scaled_dot_product_attention(model.x, model.x, model.x).sum()

        def validate(self, model: Attending) -> float:
            return 0.0

    # Two products forward, and the fused backward's five, of 2 * 6 * 6 * 4 each.
    assert step_operations(Attending(), Attention(), 1) == 7 * 2 * 6 * 6 * 4


def test_a_schedule_of_another_length_is_validated_as_often() -> None:
    schedule = Schedule(steps=7000, batch_size=1, learning_rate=1.0)
    assert within(schedule, 7000.0) == schedule
    short = within(schedule, 699.6)
    assert (short.steps, short.validate_every, short.checkpoint_every) == (700, 25, 100)
    assert (short.warmup_steps, within(schedule, 0.2).steps) == (70, 1)
    assert scaled(recipe(), 0.5).policy_schedule.steps == SCHEDULE.steps // 2
    assert scaled(recipe(), 1.0) == recipe()


def test_the_command_trains_a_rival_and_refuses_what_is_none(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(train)
    rng, rows = np.random.default_rng(0), 4 * 40
    features = ("observation.state", "observation.environment_state", "observation.command")
    arrays = {key: rng.normal(size=(rows, 7)).astype(np.float32) for key in features}
    path, out = tmp_path / "d.npz", tmp_path / "mlp"
    common = {"mask": np.ones(rows, bool), "episode_start": np.arange(4) * 40}
    np.savez(path, **arrays, **common, action=arrays["observation.command"])
    asked = ["viperx-lift", "--data", str(path), "--out", str(out), "--compute", "0.0001"]
    result = CliRunner().invoke(app, [*asked, "--policy", "mlp"])
    assert result.exit_code == 0, result.output
    assert json.loads((out / "config.json").read_text())["kind"] == "mlp"
    refused = CliRunner().invoke(app, [*asked, "--policy", "juggler"])
    assert refused.exit_code == 2
    assert "juggler" in refused.output and "diffusion" in refused.output
    steps = CliRunner().invoke(app, [*asked, "--policy", "mlp", "--policy-steps", "3"])
    assert steps.exit_code == 2


SHIPPED = sorted(Path(checkpoints.__file__).parents[1].glob("checkpoints/viperx-lift-*"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_checkpoint_plans_within_what_the_arm_was_shown(path: Path) -> None:
    rng = np.random.default_rng(0)
    home = get_task("viperx-lift").home_rad.astype(np.float32)
    cube = np.array([0.32, 0.0, 0.02, 0.924, 0.0, 0.0, 0.383], np.float32)
    features = {"state": home, "environment_state": cube, "command": home}
    observation = {f"observation.{key}": np.stack([value] * 2) for key, value in features.items()}
    if path.name == "viperx-lift-small":
        agent = checkpoint_agent(oat_checkpoints.load(path))
    else:
        rival = checkpoints.load(path)
        assert path.name == f"viperx-lift-{rival.kind}"
        agent = rival.agent()
    actions = agent.plan(observation, None, rng).actions
    assert actions.shape == (32, 7)
    assert np.abs(actions - home).max() < 1.6
