"""Settings of every test: reproducible hypothesis, one thread of everything."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

settings.register_profile(
    "bounded",
    max_examples=100,
    deadline=None,  # a slow machine is no failure
    print_blob=True,  # what reproduces a failure
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("bounded")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--hil-port",
        action="append",
        default=[],
        metavar="PROTOCOL=PORT=IDS",
        help="real devices for tests/contract/test_real_hardware.py, as dynamixel=/dev/ttyUSB0=1-7",
    )
