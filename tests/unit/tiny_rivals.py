"""Rivals small enough for fast tests, and the recipe that they are trained by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from models.dataset import Windows, make_windows
from models.policy import PolicyConfig
from models.recipes import Feature, Recipe, get_recipe
from models.tokenizers import ActionTokenizer
from models.tokenizers.binning import BinningConfig, BinningTokenizer
from models.tokenizers.fast import fit_fast
from models.tokenizers.latent import LatentConfig, LatentTokenizer
from models.tokenizers.ordered import OrderedTokens
from models.training import Schedule
from tests.unit.tiny_models import FEATURES, demonstrations, tiny_tokenizer

HORIZON, JOINTS = 8, 3
SCHEDULE = Schedule(
    steps=12, batch_size=8, learning_rate=1e-2, weight_decay=0.1, warmup_steps=3, validate_every=4,
    checkpoint_every=4,
)  # fmt: skip


def windows() -> Windows:
    """Chunks of slow sines."""
    return make_windows(demonstrations(), list(FEATURES), 2, HORIZON)


def tokenizers() -> dict[str, ActionTokenizer]:
    """One of each kind, fitted to ``windows`` or untrained; eight steps of three joints."""
    data = windows()
    sizes = {"action_dim": JOINTS, "action_horizon": HORIZON}
    binning = BinningTokenizer(BinningConfig(**sizes))
    binning.fit(data.action)
    made = {
        "oat": OrderedTokens(tiny_tokenizer()),
        "bin": binning,
        "fast": fit_fast(data.action, data.chunk(data.index), vocabulary=160),
    }
    for kind, quantizer in (("quest", "fsq"), ("vq", "vq")):
        torch.manual_seed(3)
        latent = {"num_tokens": 4, "levels": (5, 4, 3), "dim": 16, "head_dim": 8}
        config = LatentConfig(quantizer=quantizer, decoder_depth=1, **sizes, **latent)
        made[kind] = LatentTokenizer(config).eval()
        made[kind].normalizer.fit(data.action)
    return made


def recipe() -> Recipe:
    """All sizes tiny, for the data of ``write_demonstrations``."""
    names = Feature(("a", "b", "c"), "rad")
    return replace(
        get_recipe("viperx-lift"),
        name="tiny",
        features=dict.fromkeys(FEATURES, names),
        action=names,
        tokenizer=tiny_tokenizer().config,
        policy=PolicyConfig(FEATURES, codebook_size=60, num_tokens=4, dim=16, layers=1, heads=2),
        forecast_schedule=SCHEDULE,
        tokenizer_schedule=SCHEDULE,
        policy_schedule=SCHEDULE,
        joint_weights=(1.0, 1.0, 1.0),
        held_out=0.3,
    )


def write_demonstrations(folder: Path) -> Path:
    """A demonstrations file of synthetic data."""
    path = folder / "demonstrations.npz"
    np.savez(path, **demonstrations())
    return path
