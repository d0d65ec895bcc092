"""Every decoder under hostile inputs, for a short time; ``make fuzz`` takes 10^7 of them each."""

from __future__ import annotations

import pytest

from tests.fuzz.__main__ import TARGETS, fuzz
from tests.fuzz.checked import Checked
from tests.fuzz.tally import Tally

INPUTS = 2_000
SEED = 7


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_upsets_a_decoder_and_damage_passes_no_oftener_than_promised(name: str) -> None:
    tally = fuzz(name, INPUTS, SEED)
    assert tally.good + tally.checked == INPUTS


def test_a_decoder_that_skips_its_check_is_found_out() -> None:
    def careless(data: bytes) -> list[bytes]:
        return [data[:-1]] if data else []

    target = Checked(lambda chance: ((d := chance.randbytes(9)), d[:-1]), careless, 2**-16)
    TARGETS["careless"] = target
    try:
        with pytest.raises(AssertionError, match="damaged inputs were accepted"):
            fuzz("careless", INPUTS, SEED)
    finally:
        del TARGETS["careless"]


def test_a_decoder_that_raises_is_found_out_with_the_seed_that_does_it() -> None:
    class Brittle:
        def try_one(self, chance: object, tally: Tally) -> None:
            raise IndexError("index out of range")

    TARGETS["brittle"] = Brittle()  # type: ignore[assignment]
    try:
        with pytest.raises(AssertionError, match="brittle: seed 7, input 0: IndexError"):
            fuzz("brittle", INPUTS, SEED)
    finally:
        del TARGETS["brittle"]
