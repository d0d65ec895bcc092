"""Looks through a pickle before anything of it is built: only opcodes that make data may stand in.

An unpickler allocates what a memo index or a length asks for, so these are held against the size of
the pickle first. What names a class is looked at by ``models.official.unpickler``.
"""

from __future__ import annotations

import pickletools
import warnings

from models.official.errors import OfficialCheckpointError

_FOREIGN = {"EXT1", "EXT2", "EXT4", "PERSID", "INST", "OBJ", "NEWOBJ_EX", "NEXT_BUFFER"}
"""Opcodes that no file of ``torch.save`` holds."""


def guard(content: bytes) -> None:
    """Raises OfficialCheckpointError for a pickle that is malformed or asks for absurd sizes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an escape in a name: nothing that torch.save writes
            _look_through(content)
    except OfficialCheckpointError:
        raise
    except Exception as error:  # a damaged pickle ends a parser in any way it likes
        line = " ".join(str(error).split())
        raise OfficialCheckpointError(f"malformed pickle ({line})") from error


def _look_through(content: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in _FOREIGN:
            raise OfficialCheckpointError(f"opcode {opcode.name}, which a checkpoint never has")
        if "PUT" in opcode.name and int(argument or 0) > len(content):
            raise OfficialCheckpointError(f"memo index {argument}: no pickle is that long")
