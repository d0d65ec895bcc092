"""Loading and binding of plans, and the device: order of calls and refusals, on stand-ins.

The stand-ins have the methods that the documented API has; the real library's classes are asked
whether they have them too.
"""

from __future__ import annotations

import sys
from collections import deque
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.engines.tensors import Tensor
from edge.engines.trt import cuda_driver, device
from edge.engines.trt.backend import Backend
from edge.engines.trt.device import CudaDevice
from edge.engines.trt.program import TensorRTProgram
from edge.errors import EngineError
from tests.needs import require

ADDRESSES = {"token": 256, "next_token": 512, "self_kv": 1024}


class Context:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.accepts = True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.calls.append(("shape", name, shape))
        return self.accepts

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.calls.append(("address", name, address))
        return self.accepts

    def execute_async_v3(self, stream: int) -> bool:
        self.calls.append(("run", stream))
        return self.accepts


class PlanEngine:
    """A plan of three tensors; ``location`` of all of them can be changed."""

    tensors = (("token", "IN", "i64"), ("self_kv", "IN", "f32"), ("next_token", "OUT", "i64"))

    def __init__(self) -> None:
        self.contexts: list[Context] = []
        self.location = "DEVICE"
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return self.tensors[index][0]

    def get_tensor_mode(self, name: str) -> str:
        return self._of(name)[1]

    def get_tensor_dtype(self, name: str) -> str:
        return self._of(name)[2]

    def get_tensor_shape(self, name: str) -> list[int]:
        return [1, 8] if name == "self_kv" else [1, 1]

    def get_tensor_location(self, name: str) -> str:
        return self.location

    def create_execution_context(self) -> Context:
        self.contexts.append(Context())
        return self.contexts[-1]

    def _of(self, name: str) -> tuple[str, str, str]:
        return next(tensor for tensor in self.tensors if tensor[0] == name)


def backend_with(engine: PlanEngine | None) -> Backend:
    def nptype(kind: str) -> type:
        try:
            return {"i64": np.int64, "f32": np.float32}[kind]
        except KeyError as error:
            raise TypeError(kind) from error

    module = SimpleNamespace(
        Runtime=lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda plan: engine),
        TensorIOMode=SimpleNamespace(INPUT="IN"),
        TensorLocation=SimpleNamespace(DEVICE="DEVICE"),
        nptype=nptype,
    )
    return Backend("tensorrt", "10.3", module, None, deque(["a reason"]))


def test_a_program_says_what_its_plan_takes_and_gives() -> None:
    program = TensorRTProgram(backend_with(PlanEngine()), b"plan", "step")
    assert program.inputs == {"token": Tensor((1, 1), "int64"), "self_kv": Tensor((1, 8))}
    assert program.outputs == {"next_token": Tensor((1, 1), "int64")}


def test_each_binding_has_a_context_with_every_address_set_before_it_runs() -> None:
    engine = PlanEngine()
    program = TensorRTProgram(backend_with(engine), b"plan", "step")
    runs = [program.bind(ADDRESSES), program.bind(ADDRESSES)]
    assert len(engine.contexts) == 2
    runs[0](77)
    calls = engine.contexts[0].calls
    assert {call[1:] for call in calls if call[0] == "address"} == set(ADDRESSES.items())
    assert {call[1] for call in calls if call[0] == "shape"} == {"token", "self_kv"}
    assert calls[-1] == ("run", 77)
    assert ("run", 77) not in engine.contexts[1].calls


def test_what_the_library_refuses_is_an_error_with_its_reason() -> None:
    with pytest.raises(EngineError, match=r"10.3 does not load graph step: a reason"):
        TensorRTProgram(backend_with(None), b"plan", "step")
    engine = PlanEngine()
    run = TensorRTProgram(backend_with(engine), b"plan", "step").bind(ADDRESSES)
    engine.contexts[0].accepts = False
    with pytest.raises(EngineError, match="graph step: a reason"):
        run(1)


def test_a_runtime_that_does_not_start_is_an_error_before_it_loads_anything() -> None:
    backend = backend_with(PlanEngine())

    def runtime(_logger: object) -> SimpleNamespace:
        backend.errors.append("CUDA initialization failure with error: 35")
        return SimpleNamespace()

    backend.module.Runtime = runtime
    with pytest.raises(EngineError, match=r"10\.3 does not start: CUDA initialization failure"):
        TensorRTProgram(backend, b"plan", "step")


def test_a_tensor_in_host_memory_or_of_an_unknown_type_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = PlanEngine()
    engine.location = "HOST"
    with pytest.raises(EngineError, match="tensor token has to be in host memory"):
        TensorRTProgram(backend_with(engine), b"plan", "step")
    monkeypatch.setattr(PlanEngine, "tensors", (("x", "IN", "fp4"),))
    program = TensorRTProgram(backend_with(PlanEngine()), b"plan", "step")
    assert program.inputs["x"].dtype == "fp4"


def test_the_real_library_has_every_method_that_is_called() -> None:
    real = require("tensorrt_rtx")
    pairs = ((PlanEngine, real.ICudaEngine), (Context, real.IExecutionContext))
    for ours, theirs in pairs:
        methods = [name for name in vars(ours) if not name.startswith("_") and name != "tensors"]
        assert methods
        assert [name for name in methods if not hasattr(theirs, name)] == []
    assert hasattr(real.ICudaEngine, "num_io_tensors")
    assert real.nptype(real.DataType.INT64) is np.int64
    assert hasattr(real.TensorIOMode, "INPUT")
    assert hasattr(real.TensorLocation, "DEVICE")


class Driver:
    """libcuda: every call succeeds and is noted, except those that ``fails`` names."""

    def __init__(self, fails: str = "") -> None:
        self.calls: list[str] = []
        self.fails = fails

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            self.calls.append(name)
            if name == "cuGetErrorName":
                arguments[1]._obj.value = b"CUDA_ERROR_SOMETHING"
            if name == "cuDriverGetVersion":
                arguments[0]._obj.value = 12060
            if name == "cuDeviceGetAttribute":
                arguments[0]._obj.value = {75: 8, 76: 7}[arguments[1]]
            if name == "cuDeviceGetName":
                arguments[0].value = b"Orin"
            return int(name == self.fails)

        return call


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver()
    monkeypatch.setattr(cuda_driver, "_library", lambda: driver)
    monkeypatch.setattr(cuda_driver, "DRIVER_RELEASE_FILES", ())
    return driver


def test_a_gpu_is_described_by_name_capability_and_driver(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    assert cuda_driver.find_gpu() == cuda_driver.Gpu("Orin", "sm87", "CUDA 12060")
    (tmp_path / "release").write_text("# R36 (release),\tREVISION: 4.3\nmore\n")
    monkeypatch.setattr(cuda_driver, "DRIVER_RELEASE_FILES", (tmp_path / "release", tmp_path / "x"))
    assert cuda_driver.find_gpu().driver == "CUDA 12060; # R36 (release), REVISION: 4.3"


def test_a_machine_without_a_driver_or_a_gpu_says_so(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.fails = "cuInit"
    with pytest.raises(EngineError, match="no usable NVIDIA GPU: cuInit says CUDA_ERROR_SOMETHING"):
        cuda_driver.find_gpu()
    monkeypatch.undo()
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libnothing.so.1")
    with pytest.raises(EngineError, match=r"no NVIDIA driver .*libnothing"):
        cuda_driver.find_gpu()


def test_a_capture_ends_even_if_the_work_fails_and_launches_what_it_made(driver: Driver) -> None:
    def fail() -> None:
        raise EngineError("graph step: a reason")

    with pytest.raises(EngineError, match="a reason"):
        cuda_driver.capture(5, fail)
    assert driver.calls == ["cuStreamBeginCapture_v2", "cuStreamEndCapture"]
    launch = cuda_driver.capture(5, lambda: driver.calls.append("work"))
    launch()
    assert driver.calls[2:] == [
        "cuStreamBeginCapture_v2",
        "work",
        "cuStreamEndCapture",
        "cuGraphInstantiateWithFlags",
        "cuGraphLaunch",
    ]
    driver.fails = "cuGraphLaunch"
    with pytest.raises(EngineError, match="cuGraphLaunch says"):
        launch()


class PyCuda:
    """``pycuda.driver``: notes which copy was asked for."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.Stream = lambda: SimpleNamespace(handle=9, synchronize=lambda: self._note("wait"))
        context = SimpleNamespace(push=lambda: self._note("push"), pop=lambda: None)
        self.Device = lambda index: SimpleNamespace(retain_primary_context=lambda: context)

    def init(self) -> None:
        self._note("init")

    def mem_alloc(self, size: int) -> int:
        return 4096

    def pagelocked_zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return np.zeros(shape, dtype)

    def _note(self, call: str) -> None:
        self.calls.append(call)

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self._note(name)


def test_the_device_warms_work_up_before_it_captures_it(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = PyCuda()
    monkeypatch.setattr(device, "require_pycuda", lambda: cuda)
    monkeypatch.setattr(device.atexit, "register", lambda function: None)
    made = CudaDevice()
    assert made.allocate(64) == 4096
    array = made.pinned((2,), "int64")
    made.copy(4096, array, 16)
    made.copy(array, 4096, 16)
    made.copy(4096, 8192, 16)
    copies = ["memcpy_htod_async", "memcpy_dtoh_async", "memcpy_dtod_async"]
    assert cuda.calls == ["init", "push", "memset_d8", *copies]
    seen: list[tuple[int, bool]] = []
    launch = made.record(lambda s: seen.append((s, "cuStreamBeginCapture_v2" in driver.calls)))
    assert seen == [(9, False), (9, True)]
    assert cuda.calls[-1] == "wait"
    launch()
    assert driver.calls[-1] == "cuGraphLaunch"


def test_a_missing_pycuda_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(EngineError, match=r"pycuda is not usable .*pip install pycuda"):
        device.require_pycuda()
