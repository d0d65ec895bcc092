"""The list of operations that ``execute.c`` runs, as NumPy sees it; a mirror of ``program.h``."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

MAX_AXES = 6
BLOCK = 64  # columns of one block of packed weights
GROUP = 4  # rows that an integer product takes at once
NO_OPERAND = -1  # in the place of a base

OPERAND = np.dtype([("base", "i4"), ("offset", "i4"), ("strides", "i4", MAX_AXES)])
OPERATION = np.dtype(
    [
        ("kind", "i4"),
        ("axes", "i4"),
        ("dims", "i4", MAX_AXES),
        ("rows", "i4"),
        ("columns", "i4"),
        ("depth", "i4"),
        ("values", "f4", 4),
        ("out", OPERAND),
        ("a", OPERAND),
        ("b", OPERAND),
        ("c", OPERAND),
    ]
)


class Kind(IntEnum):
    """What an operation does; the order is that of ``enum kind``."""

    ADD = 0
    SUBTRACT = 1
    MULTIPLY = 2
    DIVIDE = 3
    POWER = 4
    MINIMUM = 5
    MAXIMUM = 6
    SQUARE_ROOT = 7
    ERF = 8
    TANH = 9
    SOFTPLUS = 10
    SIGMOID = 11
    QUANTIZE = 12
    DEQUANTIZE = 13
    EQUAL = 14
    GREATER = 15
    LESS = 16
    SELECT = 17
    SELECT_INT = 18
    COPY = 19
    COPY_INT = 20
    MATMUL = 21
    DENSE = 22
    DENSE_HALF = 23
    DENSE_INT8 = 24
    DENSE_LEVELS = 25
    SOFTMAX = 26
    LAYER_NORM = 27
    MEAN = 28
    ARG_MAX = 29
    GATHER = 30
