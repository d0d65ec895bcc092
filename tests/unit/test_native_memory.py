from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.engines.native import library
from edge.engines.native.constants import Constants
from edge.engines.native.library import BUILDS, load
from edge.engines.native.memory import ALIGNMENT, SCRATCH, Memory
from edge.engines.native.weights import Quantized, pack, pack_quantized
from edge.errors import EngineError


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=12),
    st.lists(st.lists(st.integers(0, 11), min_size=1, max_size=4), min_size=1, max_size=20),
)
def test_values_that_are_needed_at_once_never_share_scratch(
    sizes: list[int], uses: list[list[int]]
) -> None:
    memory = Memory()
    values = [memory.scratch((size,), np.uint8) for size in sizes]
    steps = [tuple(values[i % len(values)] for i in used) for used in uses]
    places, size = memory.places(steps, {}, Constants().place)
    spans = {}
    for index, value in enumerate(values):
        used = [step for step, owners in enumerate(steps) if any(own is value for own in owners)]
        if used:
            base, start = places[id(value)]
            assert base == SCRATCH
            assert start % ALIGNMENT == 0
            assert start + len(value) <= size
            spans[index] = (used[0], used[-1], start, start + len(value))
    for a, (first, last, start, end) in spans.items():
        for b, (other_first, other_last, other_start, other_end) in spans.items():
            if a < b and first <= other_last and other_first <= last:
                assert end <= other_start or other_end <= start


def test_scratch_is_used_again() -> None:
    memory = Memory()
    values = [memory.scratch((1000,), np.float32) for _ in range(10)]
    steps = list(zip(values[1:], values[:-1], strict=True))
    assert memory.places(steps, {}, Constants().place)[1] < 3 * values[0].nbytes


def test_constants_that_programs_have_in_common_are_in_memory_once() -> None:
    constants = Constants()
    large, small = np.arange(1000, dtype=np.float32), np.array([1, 2, 3], np.int8)
    offsets = [constants.place(value) for value in (large, small, large.copy(), small + 1)]
    assert offsets[0] == offsets[2]
    assert len(set(offsets)) == 3
    for offset, value in zip(offsets, (large, small, large, small + 1), strict=True):
        assert offset % ALIGNMENT == 0
        found = constants.block[offset : offset + value.nbytes].view(value.dtype)
        np.testing.assert_array_equal(found, value)
    assert constants.block is constants.block
    assert constants.block.nbytes < 1.1 * large.nbytes


def test_weights_are_kept_as_narrow_as_they_are_exact() -> None:
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(30, 70)).astype(np.float32)
    narrow = wide.astype(np.float16).astype(np.float32)
    integers = Quantized(np.ones((30, 70), np.int8), np.full(70, 0.1, np.float32))
    kept = [pack(wide).data, pack(narrow).data, pack_quantized(integers).data]
    assert [data.nbytes for data in kept] == [30 * 128 * 4, 30 * 128 * 2, 30 * 128 + 128 * 4]
    assert pack(np.array([[1e6]], np.float32)).data.dtype == np.float32


@pytest.mark.parametrize(
    ("machine", "features", "level"),
    [
        ("x86_64", {"avx2", "bmi2", "f16c", "fma"}, "v3"),
        ("x86_64", BUILDS[0].features, "v4-vnni"),
        ("x86_64", BUILDS[1].features, "v4"),
        ("aarch64", (), ""),
    ],
)
def test_the_best_build_that_the_processor_runs_is_taken(
    machine: str, features: frozenset[str], level: str
) -> None:
    assert library._best(machine, frozenset(features)).level == level


@pytest.mark.parametrize(("machine", "what"), [("x86_64", "without avx2"), ("riscv64", "riscv64")])
def test_a_processor_that_there_is_no_build_for_is_told(machine: str, what: str) -> None:
    with pytest.raises(EngineError, match=f"no build for .*{what}"):
        library._best(machine, frozenset())


def test_builds_of_this_machine_are_there_and_fit() -> None:
    load()
