"""However the pickle of a checkpoint is damaged, it is read as data or refused in one line."""

from __future__ import annotations

import functools
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.official.errors import OfficialCheckpointError
from models.official.stand_ins import ConfigMetadata, ConfigNode, PlainDict, TypeName
from models.official.unpickler import _KNOWN, unpickle
from tests.unit.official_files import save, tokenizer_cfg, tokenizer_weights
from tests.unit.tiny_models import tiny_tokenizer

DATA = (type(None), bool, int, float, str, bytes, bytearray, torch.Tensor, TypeName, ConfigMetadata)
CONTAINERS = (dict, list, tuple, set, frozenset)


@functools.cache
def checkpoint() -> tuple[bytes, dict[str, bytes]]:
    """A checkpoint's pickle, and its storages by key; no fixture, as examples print those."""
    tokenizer = tiny_tokenizer(conditioned_on_command=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.ckpt"
        save(path, tokenizer_cfg(tokenizer), tokenizer_weights(tokenizer))
        with zipfile.ZipFile(path) as archive:
            files = {Path(name).name: archive.read(name) for name in archive.namelist()}
    return files["data.pkl"], files


def is_data(value: Any, depth: int = 0) -> bool:
    """Whether nothing but data hangs from it; deep down it is taken on trust.

    What stands for a name may itself be left lying about, unused.
    """
    if any(value is known for known in _KNOWN.values()):
        return True
    if depth > 20 or isinstance(value, DATA):
        return True
    if isinstance(value, ConfigNode):
        return is_data(value.state, depth + 1)
    if isinstance(value, dict):
        return type(value) in (dict, PlainDict) and is_data(list(value.values()), depth + 1)
    return type(value) in CONTAINERS and all(is_data(item, depth + 1) for item in value)


PLACE = st.integers(0, 1 << 20)


@settings(max_examples=300)
@given(changes=st.lists(st.tuples(PLACE, st.integers(0, 255))), cut=st.none() | PLACE)
def test_a_damaged_pickle_is_data_or_one_line(
    changes: list[tuple[int, int]], cut: int | None
) -> None:
    whole, files = checkpoint()
    content = bytearray(whole)
    for place, byte in changes:
        content[place % len(content)] = byte
    end = None if cut is None else cut % len(content)
    try:
        value = unpickle(bytes(content[:end]), lambda key: files.get(key, b""))
    except OfficialCheckpointError as error:
        assert "\n" not in str(error)
    else:
        assert is_data(value)
