"""All graphs of a bundle, in FP32, from a trained pair."""

from __future__ import annotations

import onnx
import torch

from calibration.decoder_graph import build_decode
from calibration.prefill_graph import build_prefill
from calibration.step_graph import build_step
from models.policy import OATPolicy
from models.tokenizer import OATTokenizer


@torch.no_grad()
def build_graphs(
    tokenizer: OATTokenizer, policy: OATPolicy, head_steps: int
) -> dict[str, onnx.ModelProto]:
    """Graphs by name: prefill, step, decode (the head of a chunk), decode_full (all of it)."""
    return {
        "prefill": build_prefill(policy),
        "step": build_step(policy),
        "decode": build_decode(tokenizer, head_steps),
        "decode_full": build_decode(tokenizer, tokenizer.config.action_horizon),
    }
