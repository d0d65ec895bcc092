PYTHON ?= python3
BIN := .venv/bin

.PHONY: run fuzz test socketcan robosuite lint clean

run: .venv/.run-installed ## Watch the shipped policy lift a cube with a simulated ViperX-300S.
	$(BIN)/oat-edge run viperx --episodes 3

test: .venv/.dev-installed lint ## Everything: lint, types, import contracts, tests.
	$(BIN)/python -m pytest

socketcan: .venv/.dev-installed ## Buses on real SocketCAN and USB drivers: Debian's kernel in QEMU.
	$(BIN)/python -m tests.socketcan.machine

robosuite: .venv-robosuite/.installed ## Its tests, in an environment of its own: it wants NumPy 1.
	.venv-robosuite/bin/python -m pytest tests/unit/test_robosuite.py tests/unit/test_outside_tasks.py

fuzz: .venv/.dev-installed ## Every decoder, C and Python, under 10^7 inputs each: about an hour.
	$(BIN)/python -m tests.fuzz --inputs 10000000

lint: .venv/.dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip

.venv/.run-installed: .venv/bin/python pyproject.toml
	$(BIN)/pip install --quiet --editable '.[sim,plot]'
	touch $@

.venv/.dev-installed: .venv/bin/python pyproject.toml
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@ .venv/.run-installed

.venv-robosuite/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-robosuite
	.venv-robosuite/bin/pip install --quiet --editable '.[data,robosuite,train]' hypothesis pytest
	touch $@

clean:
	rm -rf .venv .venv-robosuite build dist *.egg-info
