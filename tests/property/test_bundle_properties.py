from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import bundle as bundles
from edge.bundle import MANIFEST, SEAL
from edge.errors import BundleError
from tests.edge_bundle import CONTENT, write_bundle


@pytest.fixture(scope="module")
def bundle() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield write_bundle(Path(folder) / "bundle")


@given(data=st.data(), name=st.sampled_from([*CONTENT, MANIFEST, SEAL]), flip=st.integers(1, 255))
def test_one_flipped_byte_anywhere_is_refused_by_the_name_of_its_file(
    bundle: Path, data: st.DataObject, name: str, flip: int
) -> None:
    good = (bundle / name).read_bytes()
    bad = bytearray(good)
    bad[data.draw(st.integers(0, len(good) - 1))] ^= flip
    (bundle / name).write_bytes(bad)
    try:
        with pytest.raises(BundleError) as error:
            bundles.load(bundle)
    finally:
        (bundle / name).write_bytes(good)
    assert name in str(error.value)


@given(text=st.binary(max_size=200))
def test_whatever_stands_in_a_sealed_manifest_it_is_one_clear_refusal(
    bundle: Path, text: bytes
) -> None:
    good = {name: (bundle / name).read_bytes() for name in (MANIFEST, SEAL)}
    (bundle / MANIFEST).write_bytes(text)
    (bundle / SEAL).write_bytes(bundles.seal(text))
    try:
        with pytest.raises(BundleError) as error:
            bundles.load(bundle)
    finally:
        for name, content in good.items():
            (bundle / name).write_bytes(content)
    assert MANIFEST in str(error.value)
    assert "\n" not in str(error.value)
