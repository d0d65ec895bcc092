"""Fuzz decoders and print what was counted.

python -m tests.fuzz --inputs 10000000

With ``--log FILE`` every line is also appended there, and decoders that already stand in it with as
many inputs and the same seed are left out: an hour's work can be interrupted.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from random import Random

from firmware_bridge.oatlink import firmware
from tests.fuzz import checked, unchecked
from tests.fuzz.tally import Tally

IN_C = ("fuzz-decoders", "fuzz-controller")
TARGETS = {**checked.TARGETS, **unchecked.TARGETS}
CHUNK = 100_000


def fuzz(name: str, inputs: int, seed: int) -> Tally:
    """So many inputs for one Python decoder; an error names the seed that brings it back."""
    target, tally = TARGETS[name], Tally()
    chance = Random(f"{name} {seed}")
    for number in range(inputs):
        try:
            target.try_one(chance, tally)
        except Exception as error:
            raise AssertionError(f"{name}: seed {seed}, input {number}: {error!r}") from error
    tally.judge(name)
    return tally


def fuzz_in_c(target: str, inputs: int, seed: int) -> str:
    """The same for a program with sanitizers; returns what it says."""
    program = str(firmware.build(target))
    done = subprocess.run([program, str(inputs), str(seed)], capture_output=True, text=True)
    assert done.returncode == 0, f"{target}: seed {seed}: {done.stderr or done.returncode}"
    return " ".join(done.stdout.split())


def count(name: str, inputs: int, seed: int) -> str:
    """Fuzz one decoder, in C or Python; returns the line that says what was counted."""
    start = time.monotonic()
    if name in IN_C:
        said = fuzz_in_c(name, inputs, seed)
        counts = f"{'':>10} {'':>7} {'':>9}"
    else:
        tally, said = fuzz(name, inputs, seed), ""
        counts = f"{tally.checked:>10} {tally.passed:>7} {tally.expected:>9.2f}"
    seconds = time.monotonic() - start
    return f"{_key(name, inputs, seed)} {counts} {seconds:>7.0f} {said}".rstrip()


def _key(name: str, inputs: int, seed: int) -> str:
    return f"{name:<32} {inputs:>10} {seed:>5}"


def _is_counted(name: str, chosen: argparse.Namespace) -> bool:
    if chosen.log is None or not chosen.log.exists():
        return False
    key = _key(name, chosen.inputs, chosen.seed)
    return any(line.startswith(key) for line in chosen.log.read_text().splitlines())


def _say(line: str, log: Path | None) -> None:
    print(line, flush=True)
    if log is not None:
        with log.open("a") as file:
            print(line, file=file)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--inputs", type=int, default=CHUNK)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="names that contain this")
    parser.add_argument("--log", type=Path, help="a file to append to and to go on from")
    chosen = parser.parse_args(arguments)
    print(
        f"{'decoder':<32} {'inputs':>10} {'seed':>5} {'damaged':>10} {'passed':>7} "
        f"{'promised':>9} {'s':>7}"
    )
    for name in [*IN_C, *TARGETS]:
        if chosen.only in name and not _is_counted(name, chosen):
            _say(count(name, chosen.inputs, chosen.seed), chosen.log)


if __name__ == "__main__":
    main(sys.argv[1:])
