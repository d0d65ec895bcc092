"""Files of the shape that the official OAT code saves, made here without any of its packages.

Classes of the same names stand in for omegaconf's and dill's while a file is written, and are gone
when it is read.
"""

from __future__ import annotations

import contextlib
import sys
import types
import typing
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.observation import safe_name
from models.policy import OATPolicy
from models.tokenizer import OATTokenizer


class _TypeReference:
    """Pickles as dill pickles a builtin type."""

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["dill._dill"]._load_type, ("dict",)


def _stand_in(module: str, name: str) -> type:
    return type(name, (), {"__module__": module, "__qualname__": name})


def _load_type(name: str) -> type:
    raise AssertionError("nobody calls this")


def _modules() -> dict[str, types.ModuleType]:
    names = {
        "omegaconf": (),
        "omegaconf.base": ("ContainerMetadata", "Metadata"),
        "omegaconf.dictconfig": ("DictConfig",),
        "omegaconf.listconfig": ("ListConfig",),
        "omegaconf.nodes": ("AnyNode",),
        "dill": (),
        "dill._dill": (),
    }
    modules = {}
    for name, classes in names.items():
        modules[name] = types.ModuleType(name)
        for cls in classes:
            setattr(modules[name], cls, _stand_in(name, cls))
    _load_type.__module__ = "dill._dill"
    modules["dill._dill"]._load_type = _load_type  # type: ignore[attr-defined]
    return modules


@contextlib.contextmanager
def stand_in_modules() -> Iterator[None]:
    """The modules under their names, for as long as something is saved."""
    modules = _modules()
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def save(path: Path, cfg: Mapping[str, Any], averaged: Any, current: Any = None) -> Path:
    """A checkpoint whose ``ema_model`` is ``averaged``; ``model`` is ``current`` or far from it."""
    current = {key: value + 1 for key, value in averaged.items()} if current is None else current
    with stand_in_modules():
        content = {
            "cfg": node(cfg),
            "state_dicts": {"model": dict(current), "ema_model": OrderedDict(averaged)},
            "pickles": {"epoch": b"\x80\x04K\x05."},
        }
        torch.save(content, path)
    return path


def node(value: Any, parent: Any = None) -> Any:
    """A value as a tree of configuration nodes, each with its metadata and its parent."""
    if isinstance(value, Mapping):
        made = sys.modules["omegaconf.dictconfig"].DictConfig()
        content: Any = {key: node(item, made) for key, item in value.items()}
    elif isinstance(value, list):
        made = sys.modules["omegaconf.listconfig"].ListConfig()
        content = [node(item, made) for item in value]
    else:
        made = sys.modules["omegaconf.nodes"].AnyNode()
        made.__dict__.update(_metadata=_metadata("Metadata"), _parent=parent, _val=value)
        return made
    made.__dict__.update(_metadata=_metadata("ContainerMetadata"), _parent=parent, _content=content)
    return made


def _metadata(kind: str) -> Any:
    made = getattr(sys.modules["omegaconf.base"], kind)()
    made.__dict__.update(
        ref_type=typing.Any,
        object_type=_TypeReference(),
        optional=True,
        resolver_cache=defaultdict(),
    )
    return made


def tokenizer_cfg(tokenizer: OATTokenizer, dropout: str = "pow2", **changes: Any) -> dict[str, Any]:
    """The configuration that belongs to a tokenizer."""
    c = tokenizer.config
    sizes = {"sample_dim": c.action_dim, "sample_horizon": c.action_horizon}
    encoder = {"emb_dim": c.dim, "head_dim": c.head_dim, "depth": c.encoder_depth}
    decoder = {
        "head_dim": c.decoder_head_dim or c.head_dim,
        "token_dropout_mode": dropout,
        "use_causal_decoder": c.causal_decoder,
    }
    parts = {
        "encoder": sizes | encoder,
        "decoder": sizes | decoder,
        "quantizer": {"levels": list(c.levels)},
    }
    return {"tokenizer": parts, "training": {"use_ema": True}} | changes


def policy_cfg(policy: OATPolicy, names: Mapping[str, str], **changes: Any) -> dict[str, Any]:
    """The configuration that belongs to a policy; ``names``: official by our name."""
    obs = {
        names[key]: {"shape": [dim], "type": "state"} for key, dim in policy.config.features.items()
    }
    encoder = {"_target_": "official.StateEncoder", "shape_meta": {"obs": obs}}
    part = {"n_heads": policy.config.heads, "n_action_steps": 4, "obs_encoder": encoder}
    return {"policy": part, "training": {"use_ema": True}} | changes


def tokenizer_weights(tokenizer: OATTokenizer) -> dict[str, Tensor]:
    """Its weights under the official names, with what else a checkpoint holds."""
    weights = {"_dummy_variable": torch.zeros(0)}
    for name, value in tokenizer.state_dict().items():
        weights[name.replace("normalizer.", "normalizer.params_dict.action.")] = value.clone()
    dim = tokenizer.config.action_dim
    weights["normalizer.params_dict.action.input_stats.max"] = torch.ones(dim)
    return weights


def policy_weights(
    policy: OATPolicy, tokenizer: OATTokenizer, names: Mapping[str, str]
) -> dict[str, Tensor]:
    """The same of a policy, its tokenizer's among them."""
    weights = {"_dummy_variable": torch.zeros(0), "obs_encoder._dummy_variable": torch.zeros(0)}
    official = {safe_name(key): name for key, name in names.items()}
    for name, value in policy.state_dict().items():
        if name.startswith("obs_encoder.normalizers."):
            key, _, rest = name.removeprefix("obs_encoder.normalizers.").rpartition(".")
            name = f"obs_encoder.normalizer.params_dict.{official[key]}.{rest}"
        elif not name.startswith("obs_encoder."):
            name = f"model.{name}"
        weights[name] = value.clone()
    return weights | {f"action_tokenizer.{k}": v for k, v in tokenizer_weights(tokenizer).items()}
