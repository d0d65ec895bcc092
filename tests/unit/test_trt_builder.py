"""NVIDIA's own parser and builder, compiling for GPUs that are not here."""

from __future__ import annotations

import json
from collections import deque
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from calibration.bundle_fields import head_steps
from calibration.graphs import build_graphs
from calibration.precisions import PRECISIONS
from calibration.products import Graphs, layers_of
from edge import bundle as bundles
from edge.bundle import GRAPHS, Bundle
from edge.commands.bundles import shipped_bundles
from edge.commands.main import app
from edge.engines.choice import for_cpus
from edge.engines.trt import plans as plans_module
from edge.engines.trt.backend import Backend, load_backend
from edge.engines.trt.builder import BuildOptions, Plan, build_plan
from edge.engines.trt.cache import PlanCache
from edge.engines.trt.cuda_driver import Gpu
from edge.engines.trt.plans import bundle_plans, lean_plans, plan_key
from edge.errors import BundleError, EngineError, UsageError
from models import checkpoint as checkpoints
from tests.bundles import tiny_bundle
from tests.needs import require
from tests.unit.onnx_graphs import WEIGHTS, product

SHIPPED = [
    (name, precision, graph)
    for name, path in shipped_bundles().items()
    for precision in bundles.read_manifest(path)[0].graphs
    for graph in GRAPHS
]


CHECKPOINTS = [
    path
    for name in shipped_bundles()
    if (path := Path(str(resources.files("models"))) / "checkpoints" / name).is_dir()
]
"""Of the bundles that ship; without their checkpoints, as in a wheel, there is nothing to lower."""


@pytest.fixture(scope="module")
def backend() -> Backend:
    require("tensorrt_rtx")
    return load_backend("tensorrt-rtx")


@pytest.fixture(scope="module", params=CHECKPOINTS, ids=lambda path: str(path.name))
def shipped_fp16(request: pytest.FixtureRequest) -> Graphs:
    """As export makes them; with these a shipped bundle would be too large."""
    checkpoint = checkpoints.load(request.param)
    head = head_steps(checkpoint.facts["execution_horizon"])
    base = build_graphs(checkpoint.tokenizer, checkpoint.policy, head)
    return PRECISIONS["fp16"].lower(base, layers_of(base), {})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.mark.parametrize("precision", WEIGHTS)
@pytest.mark.parametrize("compute", ["sm86", "sm120"])
def test_every_strong_type_compiles_for_a_gpu_that_is_not_here(
    backend: Backend, precision: str, compute: str
) -> None:
    plan = build_plan(backend, product(*WEIGHTS[precision]), "product", BuildOptions((compute,)))
    assert len(plan.content) > 1000
    assert plan.nodes >= 1


def test_types_that_do_not_match_are_refused_and_not_cast(backend: Backend) -> None:
    model = onnx.load_from_string(product(*WEIGHTS["fp32"]))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    with pytest.raises(EngineError, match="the_product"):
        build_plan(backend, model.SerializeToString(), "product", BuildOptions(("sm86",)))


def test_a_refused_graph_names_its_node_and_operator(backend: Backend) -> None:
    content = product(np.eye(16, dtype=np.float32), False, op="MatMulTypo")
    with pytest.raises(EngineError, match=r"refuses graph product: node the_product \(MatMulTypo"):
        build_plan(backend, content, "product", BuildOptions(("sm86",)))


def test_activations_quantized_as_they_come_are_refused_by_name(backend: Backend) -> None:
    model = onnx.load_from_string(product(*WEIGHTS["fp32"]))
    outputs = ["quantized", "scale", "zero"]
    node = helper.make_node("DynamicQuantizeLinear", ["x"], outputs, "the_quantizer")
    model.graph.node.insert(0, node)
    with pytest.raises(EngineError, match=r"node the_quantizer \(DynamicQuantizeLinear\)"):
        build_plan(backend, model.SerializeToString(), "product", BuildOptions(("sm86",)))


def test_a_file_that_is_no_graph_is_refused(backend: Backend) -> None:
    with pytest.raises(EngineError, match="refuses graph junk: "):
        build_plan(backend, b"\x08\x07junk", "junk", BuildOptions(("sm86",)))


@pytest.mark.parametrize(("name", "precision", "graph"), SHIPPED)
def test_every_graph_that_ships_compiles_or_is_marked_for_cpus(
    backend: Backend, name: str, precision: str, graph: str
) -> None:
    shipped = bundles.load(shipped_bundles()[name])
    onnx_bytes, options = shipped.graph(precision, graph), BuildOptions(("sm86", "sm120"))
    if for_cpus(shipped, precision):
        assert precision not in ("fp32", "fp16")
        if graph == "step":
            with pytest.raises(EngineError, match=r"node \S+ \(DynamicQuantizeLinear\)"):
                build_plan(backend, onnx_bytes, graph, options)
        return
    assert build_plan(backend, onnx_bytes, graph, options).nodes > 10


@pytest.mark.parametrize("graph", GRAPHS)
def test_fp16_of_the_shipped_checkpoint_compiles_although_its_bundle_has_none(
    backend: Backend, shipped_fp16: Graphs, graph: str
) -> None:
    model = shipped_fp16[graph]
    assert any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer)
    options = BuildOptions(("sm86", "sm120"))
    assert build_plan(backend, model.SerializeToString(), graph, options).nodes > 10


def test_every_precision_that_export_offers_compiles_or_is_for_cpus(
    backend: Backend, bundle: Bundle
) -> None:
    for precision in bundle.manifest.graphs:
        if not for_cpus(bundle, precision):
            for graph in GRAPHS:
                content = bundle.graph(precision, graph)
                assert build_plan(backend, content, graph, BuildOptions(("sm86",))).nodes > 10


def test_the_progress_of_a_build_reaches_the_caller(backend: Backend) -> None:
    seen: list[tuple[str, int, int]] = []
    options = BuildOptions(("sm86",))
    build_plan(backend, product(*WEIGHTS["fp32"]), "p", options, lambda *step: seen.append(step))
    top = [(done, steps) for phase, done, steps in seen if phase == seen[0][0]]
    assert top[0][0] == 0
    assert top[-1][0] == top[-1][1]


def test_an_interrupted_build_raises_what_interrupted_it(backend: Backend) -> None:
    def interrupt(phase: str, done: int, steps: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_plan(backend, product(*WEIGHTS["fp32"]), "p", BuildOptions(("sm86",)), interrupt)


def test_a_gpu_that_the_compiler_does_not_know_is_refused_with_those_it_does(
    backend: Backend,
) -> None:
    with pytest.raises(EngineError, match=r"does not compile for sm42; it does for .*sm86"):
        build_plan(backend, product(*WEIGHTS["fp32"]), "p", BuildOptions(("sm42",)))
    with pytest.raises(UsageError, match="'86': write it as in sm86"):
        BuildOptions(("86",))


def test_a_precision_that_the_bundle_lacks_is_wrong_usage(bundle: Bundle, tmp_path: Path) -> None:
    arguments = ["build", str(bundle.path), "--target", "tensorrt-rtx", "--precision", "int4"]
    result = CliRunner().invoke(app, [*arguments, "--cache", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == "--precision is 'int4', the bundle has fp32, fp16, int8"


def test_a_bundle_is_compiled_once(backend: Backend, bundle: Bundle, tmp_path: Path) -> None:
    options = BuildOptions(("sm86",))
    first = bundle_plans(bundle, "fp32", backend, options, tmp_path)
    assert [item.hit for item in first.values()] == [False] * 4
    second = bundle_plans(bundle, "fp32", backend, options, tmp_path)
    assert [item.hit for item in second.values()] == [True] * 4
    for graph in GRAPHS:
        assert second[graph].plan == first[graph].plan


def test_another_driver_means_another_plan(
    backend: Backend, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for driver, hit in (("CUDA 1", False), ("CUDA 1", True), ("CUDA 2", False)):
        monkeypatch.setattr(plans_module, "find_gpu", lambda d=driver: Gpu("a GPU", "sm86", d))
        plans = bundle_plans(bundle, "fp32", backend, BuildOptions(), tmp_path)
        assert [item.hit for item in plans.values()] == [hit] * 4
    assert "built for driver 'CUDA 1', not 'CUDA 2'" in plans["step"].rebuilt_because


def test_a_version_compatible_plan_is_built_by_the_real_compiler(backend: Backend) -> None:
    options = BuildOptions(("sm86",), version_compatible=True)
    assert build_plan(backend, product(*WEIGHTS["fp32"]), "product", options).content


def test_the_lean_runtime_finds_version_compatible_plans_of_another_version_and_builds_none(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Gpu("Orin", "sm87", "CUDA 2")
    monkeypatch.setattr(plans_module, "find_gpu", lambda: gpu)
    lean = Backend("tensorrt-lean", "10.13.0", None, None, deque())
    hint = r"not built yet; tensorrt-lean .* --version-compatible does, for Orin"
    with pytest.raises(EngineError, match=hint):
        lean_plans(bundle, "fp32", lean, tmp_path)
    builder = Backend("tensorrt", "10.3.0", None, None, deque())
    older = Gpu("Orin", "sm87", "CUDA 1")
    for compatible in (False, True):
        options = BuildOptions(version_compatible=compatible)
        for graph in GRAPHS:
            key = plan_key(builder, options, older, "fp32", graph, bundle.graph("fp32", graph))
            content = f"{graph} {compatible}".encode()
            PlanCache(tmp_path).fetch(key, lambda made=content: Plan(made, 1, 0.0))
    found = lean_plans(bundle, "fp32", lean, tmp_path)
    assert {graph: item.plan.content for graph, item in found.items()} == {
        graph: f"{graph} True".encode() for graph in GRAPHS
    }


@pytest.mark.parametrize(
    "arguments",
    [("--target", "tensorrt-lean"), ("--target", "tensorrt-rtx", "--version-compatible")],
)
def test_plans_for_the_lean_runtime_have_one_builder(bundle: Bundle, arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["build", str(bundle.path), *arguments])
    assert isinstance(result.exception, UsageError)
    assert "--target tensorrt --version-compatible" in str(result.exception)


def test_without_a_gpu_a_compute_capability_has_to_be_named(
    backend: Backend, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing() -> Gpu:
        raise EngineError("no NVIDIA driver")

    monkeypatch.setattr(plans_module, "find_gpu", nothing)
    with pytest.raises(EngineError, match=r"no GPU to compile for: no NVIDIA driver; .*sm86"):
        bundle_plans(bundle, "fp32", backend, BuildOptions(), tmp_path)
    with pytest.raises(BundleError, match="no precision 'fp64'"):
        bundle_plans(bundle, "fp64", backend, BuildOptions(("sm86",)), tmp_path)


def test_a_missing_library_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import edge.engines.trt.backend as module

    def refuse(name: str) -> Any:
        raise OSError("libnvinfer.so.10: cannot open shared object file")

    monkeypatch.setattr(module.importlib, "import_module", refuse)
    with pytest.raises(EngineError, match=r"tensorrt is not usable \(libnvinfer.*JetPack"):
        load_backend.__wrapped__("tensorrt")
    with pytest.raises(UsageError, match="no TensorRT flavour 'trt'; there are tensorrt, "):
        load_backend.__wrapped__("trt")


def test_the_command_prints_one_json_object_as_its_last_line(
    backend: Backend, bundle: Bundle, tmp_path: Path
) -> None:
    arguments = ["build", str(bundle.path), "--target", "tensorrt-rtx", "--compute", "sm86"]
    arguments += ["--precision", "fp32", "--cache", str(tmp_path), "--json"]
    reports = []
    for _ in range(2):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        reports.append(json.loads(result.stdout.splitlines()[-1]))
    first, second = reports
    assert first["built"] is True
    assert first["bytes"] == sum(graph["bytes"] for graph in first["graphs"].values())
    assert set(first["graphs"]) == set(GRAPHS)
    assert first["nodes"] > 10
    assert first["seconds"] > 0
    assert [graph["cached"] for graph in second["graphs"].values()] == [True] * 4
    for graph in first["graphs"].values():
        assert Path(graph["file"]).stat().st_size > graph["bytes"]
