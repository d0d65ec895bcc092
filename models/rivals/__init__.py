"""Policies that OAT is compared with: other tokenizers, diffusion, plain regression."""

RIVALS = ("bin", "fast", "quest", "vq", "diffusion", "mlp")
