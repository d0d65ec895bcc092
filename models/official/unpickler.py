"""An unpickler that builds tensors and plain containers, and refuses every other name.

The names below are all that it knows, and each stands for code of this package. A pickle that names
anything else is refused by that name: nothing is imported and nothing of it is called. What the
fields of a ``torch.save`` pickle mean is said in PyTorch's "Serialization semantics" note.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from models.official.errors import OfficialCheckpointError
from models.official.pickle_guard import guard
from models.official.stand_ins import ConfigMetadata, ConfigNode, PlainDict, TypeName

ReadStorage = Callable[[str], bytes]

STORAGES = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}
TYPES = ("bool", "bytes", "dict", "float", "int", "list", "object", "str", "tuple")


def unpickle(content: bytes, read_storage: ReadStorage) -> Any:
    """The object in a pickle; ``read_storage`` gives the bytes of a tensor's storage by its key.

    Raises OfficialCheckpointError, naming what it does not build.
    """
    guard(content)
    try:
        return _Unpickler(content, read_storage).load()
    except OfficialCheckpointError:
        raise
    except Exception as error:  # a hostile pickle fails in any way it likes
        line = " ".join(str(error).split())
        raise OfficialCheckpointError(f"malformed pickle ({line})") from error


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes, read_storage: ReadStorage) -> None:
        super().__init__(io.BytesIO(content))
        self._read_storage = read_storage
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name; the only way by which a pickle reaches anything to call."""
        known = _KNOWN.get(f"{module}.{name}")
        if known is None and module == "omegaconf.nodes" and name.endswith("Node"):
            known = ConfigNode
        if known is None:
            shown = f"{module}.{name}"
            shown = shown if shown.isprintable() else ascii(shown)
            raise OfficialCheckpointError(
                f"it holds a {shown}; only tensors and plain containers are built"
            )
        return known

    def persistent_load(self, identity: Any) -> Tensor:
        """The storage of a tensor, as a vector."""
        kind, type_name, key, _, count = identity
        if kind != "storage" or not isinstance(type_name, TypeName) or not isinstance(key, str):
            raise OfficialCheckpointError(f"malformed storage {identity!r}")
        if key not in self._storages:
            self._storages[key] = _vector(self._read_storage(key), STORAGES[type_name.name])
        vector = self._storages[key]
        if vector.dtype != STORAGES[type_name.name] or len(vector) != count:
            raise OfficialCheckpointError(f"storage {key}: {len(vector)} elements, not {count}")
        return vector


def _vector(content: bytes, dtype: torch.dtype) -> Tensor:
    if not content:
        return torch.empty(0, dtype=dtype)
    return torch.frombuffer(bytearray(content), dtype=dtype)


def _tensor(
    vector: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, *rest: Any
) -> Tensor:
    """What ``torch._utils._rebuild_tensor_v2`` makes, copied out of its storage."""
    if not isinstance(vector, Tensor) or vector.dim() != 1:
        raise OfficialCheckpointError("malformed tensor: it has no storage")
    elements = 1
    for length in size:
        elements *= length
    if elements > len(vector):
        raise OfficialCheckpointError(f"a tensor {tuple(size)} in {len(vector)} elements")
    return torch.as_strided(vector, size, stride, offset).clone()


def _parameter(tensor: Any, requires_grad: Any, hooks: Any) -> Any:
    """What ``torch._utils._rebuild_parameter`` holds."""
    return tensor


def _default_dict(factory: Any = None) -> PlainDict:
    return PlainDict()


def _bytes(text: Any, encoding: Any) -> bytes:
    """How protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise OfficialCheckpointError("malformed bytes")
    return text.encode("latin1")


def _type_name(name: Any) -> TypeName:
    return TypeName(str(name))


_KNOWN: Mapping[str, Any] = {
    "_codecs.encode": _bytes,
    "collections.OrderedDict": PlainDict,
    "collections.defaultdict": _default_dict,
    "dill._dill._load_type": _type_name,
    "omegaconf.base.ContainerMetadata": ConfigMetadata,
    "omegaconf.base.Metadata": ConfigMetadata,
    "omegaconf.dictconfig.DictConfig": ConfigNode,
    "omegaconf.listconfig.ListConfig": ConfigNode,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "typing.Any": TypeName("typing.Any"),
    **{f"torch.{name}": TypeName(name) for name in STORAGES},
    **{f"{m}.{name}": TypeName(name) for name in TYPES for m in ("builtins", "__builtin__")},
}
