from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import checkpoint as checkpoints
from models.dataset import load_windows, make_windows, split_by_episode
from models.generation import act
from models.pipeline import train_recipe
from models.recipes import TokenizerVariant, get_recipe, shortened, with_tokenizer
from models.tokenizer import OATTokenizer
from models.training import Progress, Schedule, Trainer, learning_rate
from tests.unit.tiny_models import FEATURES, demonstrations, tiny_checkpoint
from tests.unit.tiny_rivals import SCHEDULE, recipe


class Line:
    """Fits y = 2x with noise and dropout, so that every random state counts."""

    def loss(self, model: nn.Module, batch_size: int) -> Tensor:
        x = torch.randn(batch_size, 1)
        return (model(x) - 2 * x).square().mean()

    def validate(self, model: nn.Module) -> float:
        x = torch.linspace(-1, 1, 9)[:, None]
        return float((model(x) - 2 * x).square().mean())


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.5), nn.GELU(), nn.Linear(8, 1))


def weights(model: nn.Module) -> list[Tensor]:
    return list(model.state_dict().values())


class InterruptedTrainingError(Exception):
    pass


@pytest.mark.parametrize("bfloat16", [False, True])
def test_an_interrupted_training_resumes_to_the_same_bits(tmp_path: Path, bfloat16: bool) -> None:
    schedule = replace(SCHEDULE, bfloat16=bfloat16)

    def interrupt(progress: Progress) -> None:
        if progress.step == 10:
            raise InterruptedTrainingError

    whole = network()
    Trainer(whole, Line(), schedule).run()
    with pytest.raises(InterruptedTrainingError):
        Trainer(network(), Line(), schedule).run(tmp_path / "state.pt", interrupt)
    torch.manual_seed(99)
    resumed = nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.5), nn.GELU(), nn.Linear(8, 1))
    trainer = Trainer(resumed, Line(), schedule)
    trainer.load(tmp_path / "state.pt")
    assert trainer.step == 8
    trainer.run()
    assert all(map(torch.equal, weights(whole), weights(resumed)))


def test_a_state_of_another_training_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    Trainer(network(), Line(), SCHEDULE).run(path)
    with pytest.raises(ValueError, match=r"state\.pt: saved under another schedule"):
        Trainer(network(), Line(), replace(SCHEDULE, steps=20)).load(path)
    with pytest.raises(ValueError, match=r"state\.pt: not a state of this training"):
        Trainer(nn.Linear(2, 2), Line(), SCHEDULE).load(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"state\.pt: not a state of this training"):
        Trainer(network(), Line(), SCHEDULE).load(path)


def test_products_in_bfloat16_leave_weights_and_validation_in_full_precision() -> None:
    models = {half: network() for half in (False, True)}
    trainers = {h: Trainer(m, Line(), replace(SCHEDULE, bfloat16=h)) for h, m in models.items()}
    for trainer in trainers.values():
        torch.manual_seed(1)
        trainer.run()
    assert {value.dtype for value in weights(models[True])} == {torch.float32}
    assert not all(map(torch.equal, weights(models[False]), weights(models[True])))
    best = [trainer.best_validation for trainer in trainers.values()]
    assert math.isclose(*best, rel_tol=0.1)


def test_the_same_seed_trains_the_same_weights_and_another_does_not() -> None:
    models = [network() for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        torch.manual_seed(seed)
        Trainer(model, Line(), SCHEDULE).run()
    assert all(map(torch.equal, weights(models[0]), weights(models[1])))
    assert not all(map(torch.equal, weights(models[0]), weights(models[2])))


def test_training_stops_early_and_keeps_the_best_weights() -> None:
    class Worsening(Line):
        losses = iter([3.0, 1.0, *[2.0] * 99])

        def validate(self, model: nn.Module) -> float:
            return next(self.losses)

    trainer = Trainer(network(), Worsening(), replace(SCHEDULE, steps=400, patience=3))
    trainer.run()
    assert (trainer.step, trainer.best_step, trainer.best_validation) == (20, 8, 1.0)
    assert all(map(torch.equal, weights(trainer.model), list(trainer.best.values())))
    assert not all(map(torch.equal, weights(trainer.model), weights(trainer.ema)))


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    schedule = Schedule(steps=100, batch_size=1, learning_rate=1.0, warmup_steps=10)
    rates = [learning_rate(schedule, step) for step in range(101)]
    assert rates[0] == 0.1
    assert rates[10] == max(rates) == 1.0
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert math.isclose(rates[100], 0.0, abs_tol=1e-12)


def test_only_matrices_decay() -> None:
    decay, keep = Trainer(network(), Line(), SCHEDULE).optimizer.param_groups
    assert (decay["weight_decay"], keep["weight_decay"]) == (0.1, 0.0)
    assert {p.ndim for p in decay["params"]} == {2}
    assert {p.ndim for p in keep["params"]} == {1}


def test_windows_repeat_the_first_observation_and_the_last_action() -> None:
    arrays = demonstrations(episodes=2, steps=5)
    windows = make_windows(arrays, list(FEATURES), 2, 8)
    rows = torch.tensor([5, 8])
    state = windows.observation(rows)["observation.state"]
    assert torch.equal(state[0, 0], state[0, 1])
    assert torch.equal(state[1], torch.from_numpy(arrays["observation.state"][7:9]))
    chunk = windows.chunk(rows)
    assert torch.equal(chunk[1, 0], torch.from_numpy(arrays["action"][8]))
    assert torch.equal(chunk[1, 1:], torch.from_numpy(arrays["action"][9]).expand(7, 3))


def test_a_window_with_an_invalid_label_is_left_out() -> None:
    arrays = demonstrations(episodes=2, steps=10)
    arrays["mask"][5] = False
    windows = make_windows(arrays, list(FEATURES), 2, 4)
    assert windows.index.tolist() == [0, 1, *range(6, 20)]


def test_no_episode_is_both_trained_on_and_held_out() -> None:
    windows = make_windows(demonstrations(), list(FEATURES), 2, 4)
    training, validation = split_by_episode(windows, 0.34, seed=0)
    groups = [set((part.index // 20).tolist()) for part in (training, validation)]
    assert [len(group) for group in groups] == [4, 2]
    assert not groups[0] & groups[1]


def test_a_malformed_demonstrations_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    arrays = demonstrations()
    np.savez(path, **{k: v for k, v in arrays.items() if k != "mask"})
    with pytest.raises(ValueError, match=r"d\.npz: array 'mask' is missing"):
        load_windows(path, list(FEATURES), 2, 4)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"d\.npz: not a readable"):
        load_windows(path, list(FEATURES), 2, 4)
    arrays["action"] = arrays["action"][:-1]
    with pytest.raises(ValueError, match="has 120 rows, action has 119"):
        make_windows(arrays, list(FEATURES), 2, 4)


def test_a_recipe_trains_from_a_file_to_a_checkpoint_that_acts(tmp_path: Path) -> None:
    data = tmp_path / "demonstrations.npz"
    np.savez(data, **demonstrations())
    seen: list[str] = []
    trained = train_recipe(
        recipe(), data, tmp_path / "out", report=lambda stage, _: seen.append(stage)
    )
    assert seen == ["tokenizer"] * 12 + ["policy"] * 12
    assert set(trained.facts["training"]["reconstruction_rms_rad"]) == {"1", "2", "4"}
    loaded = checkpoints.load(tmp_path / "out")
    actions = [act(c.tokenizer, c.policy, c.examples, 2) for c in (trained, loaded)]
    assert torch.equal(*actions)


def test_a_start_keeps_its_tokenizer_and_trains_its_policy_on(tmp_path: Path) -> None:
    data = tmp_path / "demonstrations.npz"
    np.savez(data, **demonstrations())
    first = train_recipe(recipe(), data, tmp_path / "first")
    seen: list[str] = []
    second = train_recipe(
        recipe(),
        data,
        tmp_path / "second",
        report=lambda stage, _: seen.append(stage),
        start=checkpoints.load(tmp_path / "first"),
    )
    assert set(seen) == {"policy"}
    assert all(map(torch.equal, weights(first.tokenizer), weights(second.tokenizer)))
    facts = second.facts["training"]
    assert facts["started_from"] == first.facts["training"]
    assert facts["policy"]["validation"] < first.facts["training"]["policy"]["validation"]


def test_a_start_whose_tokenizer_is_not_kept_begins_with_its_weights(tmp_path: Path) -> None:
    data = tmp_path / "demonstrations.npz"
    np.savez(data, **demonstrations())
    first = train_recipe(recipe(), data, tmp_path / "first")
    losses: dict[str, list[float]] = {"first": [], "second": []}
    for name, start in (("first", None), ("second", checkpoints.load(tmp_path / "first"))):
        train_recipe(
            recipe(),
            data,
            tmp_path / name,
            report=lambda stage, p, name=name: (
                losses[name].append(p.loss) if stage == "tokenizer" else None
            ),
            start=start,
            keep_tokenizer=False,
        )
    second = checkpoints.load(tmp_path / "second")
    assert losses["second"][0] < losses["first"][0]
    assert not all(map(torch.equal, weights(first.tokenizer), weights(second.tokenizer)))


def test_a_start_of_other_sizes_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "demonstrations.npz"
    np.savez(data, **demonstrations())
    start = train_recipe(recipe(), data, tmp_path / "first")
    wider = replace(recipe(), policy=replace(recipe().policy, layers=3))
    with pytest.raises(ValueError, match="policy to start from has other sizes"):
        train_recipe(wider, data, tmp_path / "second", start=start)
    finer = replace(recipe(), tokenizer=replace(recipe().tokenizer, decoder_depth=3))
    with pytest.raises(ValueError, match="tokenizer to start from"):
        train_recipe(finer, data, tmp_path / "second", start=start)


@pytest.mark.parametrize(
    ("stage", "variant"),
    [
        ("tokenizer", "conditioned"),
        ("policy", "conditioned"),
        ("forecast", "observed"),
        ("tokenizer", "observed"),
    ],
)
def test_a_recipe_interrupted_in_any_stage_resumes_to_the_same_bits(
    tmp_path: Path, stage: str, variant: TokenizerVariant
) -> None:
    def interrupt(current: str, progress: Progress) -> None:
        if (current, progress.step) == (stage, 7):
            raise InterruptedTrainingError

    data = tmp_path / "demonstrations.npz"
    np.savez(data, **demonstrations())
    chosen = with_tokenizer(recipe(), variant)
    whole = train_recipe(chosen, data, tmp_path / "whole")
    with pytest.raises(InterruptedTrainingError):
        train_recipe(chosen, data, tmp_path / "cut", report=interrupt)
    resumed = train_recipe(chosen, data, tmp_path / "cut", resume=True)
    assert ("forecast" in whole.facts["training"]) == (variant == "observed")
    assert all(map(torch.equal, weights(whole.tokenizer), weights(resumed.tokenizer)))
    assert all(map(torch.equal, weights(whole.policy), weights(resumed.policy)))
    assert whole.facts == resumed.facts


def test_a_forecast_is_trained_first_and_learns_no_more(tmp_path: Path) -> None:
    data = tmp_path / "demonstrations.npz"
    np.savez(data, **demonstrations())
    trained = train_recipe(with_tokenizer(recipe(), "observed"), data, tmp_path / "out")
    first = torch.load(tmp_path / "out.training" / "forecast.pt", weights_only=True)
    best, untrained = first["best"], OATTokenizer(trained.tokenizer.config).state_dict()
    after = trained.tokenizer.state_dict()
    names = [name for name in after if name.startswith("forecast.")]
    assert names
    for name in names:
        assert torch.equal(after[name], checkpoints.stored(best[name]).float())
    assert not torch.equal(best["forecast.leave.weight"], untrained["forecast.leave.weight"])
    assert not torch.equal(after["decoder.head.proj.weight"], best["decoder.head.proj.weight"])


def test_a_checkpoint_survives_the_round_trip(tmp_path: Path) -> None:
    before = tiny_checkpoint()
    checkpoints.save(tmp_path / "c", before)
    after = checkpoints.load(tmp_path / "c")
    assert {p.name for p in (tmp_path / "c").iterdir()} == {
        "config.json", "weights.safetensors", "examples.safetensors",
    }  # fmt: skip
    assert after.tokenizer.config == before.tokenizer.config
    assert after.policy.config == before.policy.config
    assert all(map(torch.equal, weights(before.policy), weights(after.policy)))
    assert all(map(torch.equal, weights(before.tokenizer), weights(after.tokenizer)))


def test_a_damaged_checkpoint_is_refused_by_file(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, tiny_checkpoint())
    file = tmp_path / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(checkpoints.CheckpointError, match=r"weights\.safetensors: not readable"):
        checkpoints.load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(checkpoints.CheckpointError, match=r"config\.json: format_version"):
        checkpoints.load(tmp_path)


def test_a_checkpoint_of_impossible_sizes_is_refused_by_file(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, tiny_checkpoint())
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    config["tokenizer"]["observed"] = {"observation.state": 3}
    file.write_text(json.dumps(config))
    with pytest.raises(
        checkpoints.CheckpointError, match=r"config\.json: .* command or on the observation"
    ):
        checkpoints.load(tmp_path)


def test_recipes_are_chosen_by_name_and_variant() -> None:
    assert get_recipe("viperx-lift").tokenizer.conditioned_on_command
    recipe = with_tokenizer(get_recipe("viperx-lift"), "paper")
    assert not recipe.tokenizer.conditioned_on_command
    seeing = with_tokenizer(recipe, "observed").tokenizer
    assert not seeing.conditioned_on_command and seeing.observed == recipe.policy.features
    assert shortened(get_recipe("viperx-lift"), 7, None).tokenizer_schedule.steps == 7
    with pytest.raises(ValueError, match=r"'lift'.*viperx-lift"):
        get_recipe("lift")
    with pytest.raises(ValueError, match="got 0"):
        shortened(get_recipe("viperx-lift"), None, 0)
