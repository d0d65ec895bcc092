from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from edge.bundle import Bundle
from edge.engine_names import ENGINES
from edge.engines import build_engine, choice
from edge.engines.choice import choose
from edge.engines.native.engine import NativeEngine
from edge.engines.trt.backend import Backend
from edge.engines.trt.cuda_driver import Gpu
from edge.errors import BundleError, EngineError
from tests.bundles import tiny_bundle

Install = Callable[..., None]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("choice"))


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Make a machine that has exactly these things."""

    def make(*things: str) -> None:
        def have(thing: str, value: Any) -> Any:
            if thing not in things:
                raise EngineError(f"{thing} is missing")
            return value

        def load(flavour: str) -> Backend:
            backend: Backend = have(flavour, Backend(flavour, "10.3", None, None, None))  # type: ignore[arg-type]
            return backend

        monkeypatch.setattr(choice, "find_gpu", lambda: have("gpu", Gpu("Orin", "sm87", "d")))
        monkeypatch.setattr(choice, "require_pycuda", lambda: have("pycuda", None))
        monkeypatch.setattr(choice, "load_backend", load)

    return make


@pytest.mark.parametrize(
    ("things", "expected"),
    [
        ([], "native, because gpu is missing"),
        (["pycuda", "tensorrt"], "native, because gpu is missing"),
        (["gpu", "tensorrt"], "native, because pycuda is missing"),
        (["gpu", "pycuda"], "native, because Orin is here, but tensorrt is missing"),
        (["gpu", "pycuda", "tensorrt"], "tensorrt, because tensorrt 10.3 and Orin are here"),
        (["gpu", "pycuda", "tensorrt-rtx"], "tensorrt-rtx, because tensorrt-rtx 10.3 and"),
        (["gpu", "pycuda", "tensorrt", "tensorrt-rtx"], "tensorrt, because"),
    ],
)
def test_auto_takes_the_gpu_where_everything_for_it_is_here_and_says_why(
    bundle: Bundle, install: Install, things: list[str], expected: str
) -> None:
    install(*things)
    assert str(choose(bundle, "fp32")).startswith(expected)


def test_what_only_cpus_can_run_stays_on_the_cpu(
    bundle: Bundle, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("gpu", "pycuda", "tensorrt")
    graph = Bundle.graph
    dynamic = {("int8", "decode"): b"..DynamicQuantizeLinear.."}
    monkeypatch.setattr(
        Bundle, "graph", lambda self, *names: dynamic.get(names) or graph(self, *names)
    )
    assert choose(bundle, "fp32").name == "tensorrt"
    assert str(choose(bundle, "int8")).startswith("ort, because the int8 graphs quantize as they")


def test_auto_logs_its_choice_and_builds_it(
    bundle: Bundle, install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install()
    with caplog.at_level(logging.INFO):
        assert isinstance(build_engine(bundle, "auto", "fp32"), NativeEngine)
    assert caplog.messages == ["engine auto: native, because gpu is missing"]


def test_auto_is_onnxruntime_where_the_native_engine_has_no_build(
    bundle: Bundle, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise EngineError("no build for riscv64")

    install()
    monkeypatch.setattr(choice, "load", refuse)
    assert str(choose(bundle, "fp32")) == "ort, because gpu is missing; no build for riscv64"


def test_a_precision_that_is_not_in_the_bundle_is_refused_before_any_choice(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="no precision 'fp64'; it has"):
        choose(bundle, "fp64")


def test_a_named_engine_is_never_replaced_by_another(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(flavour: str) -> Backend:
        raise EngineError(f"{flavour} is missing")

    monkeypatch.setattr("edge.engines.trt.engine.load_backend", refuse)
    with pytest.raises(EngineError, match="tensorrt is missing"):
        build_engine(bundle, "tensorrt", "fp32")


@pytest.mark.parametrize("name", [name for name in ENGINES if name != "auto"])
def test_an_engine_that_is_not_here_says_on_one_line_what_to_install(
    bundle: Bundle, name: str
) -> None:
    try:
        engine = build_engine(bundle, name, "fp32")
    except EngineError as error:
        assert "\n" not in str(error)
        assert any(hint in str(error) for hint in ("pip install", "NVIDIA"))
    else:
        assert engine is not None
