"""However the pickle of a checkpoint is damaged, it is read as data or refused in one line."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.official.errors import OfficialCheckpointError
from models.official.stand_ins import ConfigMetadata, ConfigNode, PlainDict, TypeName
from models.official.unpickler import unpickle
from tests.unit.official_files import save, tokenizer_cfg, tokenizer_weights
from tests.unit.tiny_models import tiny_tokenizer

DATA = (type(None), bool, int, float, str, bytes, bytearray, torch.Tensor, TypeName, ConfigMetadata)
CONTAINERS = (dict, list, tuple, set, frozenset)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, bytes]]:
    """A checkpoint's pickle, and its storages by key."""
    tokenizer = tiny_tokenizer(conditioned_on_command=False)
    path = tmp_path_factory.mktemp("pickle") / "t.ckpt"
    save(path, tokenizer_cfg(tokenizer), tokenizer_weights(tokenizer))
    with zipfile.ZipFile(path) as archive:
        files = {Path(name).name: archive.read(name) for name in archive.namelist()}
    return files["data.pkl"], files


def is_data(value: Any, depth: int = 0) -> bool:
    """Whether nothing but data hangs from it; deep down it is taken on trust."""
    if depth > 20 or isinstance(value, DATA):
        return True
    if isinstance(value, ConfigNode):
        return is_data(value.state, depth + 1)
    if isinstance(value, dict):
        return type(value) in (dict, PlainDict) and is_data(list(value.values()), depth + 1)
    return type(value) in CONTAINERS and all(is_data(item, depth + 1) for item in value)


@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_pickle_is_data_or_one_line(
    parts: tuple[bytes, dict[str, bytes]], data: st.DataObject
) -> None:
    content, files = bytearray(parts[0]), parts[1]
    place = st.integers(0, len(content) - 1)
    for at, byte in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), min_size=1)):
        content[at] = byte
    cut = data.draw(st.one_of(st.none(), place))
    try:
        value = unpickle(bytes(content[:cut]), lambda key: files.get(key, b""))
    except OfficialCheckpointError as error:
        assert "\n" not in str(error)
    else:
        assert is_data(value)
