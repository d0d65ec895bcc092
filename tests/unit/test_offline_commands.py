"""``oat-edge import-oat``, ``infer`` and ``tokens``, as a person types them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from calibration.imported import ImportFacts, import_bundle
from edge import bundle as bundles
from edge.commands.main import app
from edge.errors import BundleError, RunError, UsageError
from tests.bundles import tiny_bundle
from tests.unit.test_official_import import make_pair
from tests.unit.tiny_models import observations, tiny_checkpoint

OFFICIAL = Path(__file__).parents[3] / "shared" / "official-oat"
TOLERANCE = 1e-5


def oat(*arguments: object, code: int = 0) -> str:
    """Output of a command; the error that it ends with is raised."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_the_official_outputs_are_reproduced_through_the_commands(tmp_path: Path) -> None:
    if not OFFICIAL.is_dir():
        pytest.skip("no official checkpoints beside this checkout; the tests make their own, too")
    folder = OFFICIAL
    expected, bundle, out = load(folder / "expected.npz"), tmp_path / "b", tmp_path / "out.npz"
    files = ("--tokenizer", folder / "tokenizer.ckpt", "--policy", folder / "policy.ckpt")
    oat("import-oat", *files, "--out", bundle)
    chunks = npz(tmp_path / "chunks.npz", chunks=expected["chunks"])
    oat("tokens", "encode", bundle, chunks, "--out", out)
    np.testing.assert_array_equal(load(out)["tokens"], expected["tokens"])
    for kind in ("", "random_"):
        tokens = npz(tmp_path / "tokens.npz", tokens=expected[f"{kind}tokens"])
        for k in range(1, 9):
            oat("tokens", "decode", bundle, tokens, "--k", k, "--out", out)
            wanted = expected[f"{kind}decode_{k}"]
            np.testing.assert_allclose(load(out)["action"], wanted, atol=TOLERANCE, rtol=0)
    seen = {f"observation.{name}": expected[f"obs_{name}"] for name in ("joint_pos", "cube_pose")}
    observed = npz(tmp_path / "in.npz", **seen)
    for k in (1, 2, 4, 8):
        oat("infer", bundle, observed, "--k", k, "--out", out)
        got = load(out)
        np.testing.assert_array_equal(got["tokens"], expected["policy_tokens"][:, :k])
        wanted = expected[f"policy_action_{k}"]
        np.testing.assert_allclose(got["action"], wanted, atol=TOLERANCE, rtol=0)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small import: observations joint_pos (2, 3) and cube_pose (2, 5), 4 tokens of 60 codes."""
    folder = tmp_path_factory.mktemp("imported")
    t_file, p_file, _, _ = make_pair(folder)
    import_bundle(t_file, p_file, folder / "bundle", ImportFacts("b"))
    return folder / "bundle"


def seen(count: int = 3, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    arrays = {
        "observation.joint_pos": rng.normal(size=(count, 2, 3)),
        "observation.cube_pose": rng.normal(size=(count, 2, 5)),
    }
    return arrays | changes


def test_what_is_inferred_is_what_its_tokens_decode_to(imported: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "out.npz", tmp_path / "again.npz"
    for k in range(1, 5):
        oat("infer", imported, npz(tmp_path / "in.npz", **seen()), "--k", k, "--out", out)
        got = load(out)
        assert (got["tokens"].shape, got["tokens"].dtype) == ((3, k), np.int64)
        assert (got["action"].shape, got["action"].dtype) == ((3, 8, 3), np.float32)
        oat("tokens", "decode", imported, out, "--k", k, "--out", again)
        np.testing.assert_array_equal(load(again)["action"], got["action"])


def test_no_rows_give_no_rows(imported: Path, tmp_path: Path) -> None:
    oat(
        "infer", imported, npz(tmp_path / "i.npz", **seen(0)), "--k", 2, "--out", tmp_path / "o.npz"
    )
    assert load(tmp_path / "o.npz")["action"].shape == (0, 8, 3)


@pytest.mark.parametrize("observes", [False, True], ids=["command", "observation"])
def test_a_conditioned_tokenizer_takes_what_it_is_conditioned_on(
    observes: bool, tmp_path: Path
) -> None:
    bundle, checkpoint = (
        tiny_bundle(tmp_path, observes=observes),
        tiny_checkpoint(observes=observes),
    )
    seen = observations(5)
    chunks = seen["observation.command"][:, -1:] + 0.3 * torch.randn(5, 8, 3)
    newest = {"command": seen["observation.command"][:, -1]}
    condition = {key: value.numpy() for key, value in (seen if observes else newest).items()}
    out = tmp_path / "out.npz"
    file = npz(tmp_path / "in.npz", chunks=chunks.numpy(), **condition)
    oat("tokens", "encode", bundle.path, file, "--out", out)
    tokens = checkpoint.tokenizer.encode(chunks, seen)
    np.testing.assert_array_equal(load(out)["tokens"], tokens.numpy())
    file = npz(tmp_path / "in.npz", tokens=tokens.numpy(), **condition)
    oat("tokens", "decode", bundle.path, file, "--k", 2, "--out", out)
    wanted = checkpoint.tokenizer.decode(tokens, 2, seen).detach().numpy()
    np.testing.assert_allclose(load(out)["action"], wanted, atol=TOLERANCE)
    first = next(iter(condition))
    with pytest.raises(RunError, match=f"no array '{first}'; it has tokens"):
        file = npz(tmp_path / "in.npz", tokens=tokens.numpy())
        oat("tokens", "decode", bundle.path, file, "--k", 2, "--out", out)
    rows = {key: value.numpy() for key, value in observations(4).items()}
    oat("infer", bundle.path, npz(tmp_path / "in.npz", **rows), "--k", 4, "--out", out)
    assert load(out)["tokens"].shape == (4, 4)


def test_a_tokenizer_alone_encodes_and_decodes_and_does_not_infer(tmp_path: Path) -> None:
    t_file, _, tokenizer, _ = make_pair(tmp_path)
    bundle, out = tmp_path / "bundle", tmp_path / "out.npz"
    assert "a tokenizer alone" in oat("import-oat", "--tokenizer", t_file, "--out", bundle)
    assert "tokens alone" in oat("bundle", "show", bundle)
    chunks = torch.randn(4, 8, 3)
    oat("tokens", "encode", bundle, npz(tmp_path / "c.npz", chunks=chunks.numpy()), "--out", out)
    tokens = tokenizer.encode(chunks)
    np.testing.assert_array_equal(load(out)["tokens"], tokens.numpy())
    oat("tokens", "decode", bundle, out, "--k", 3, "--out", tmp_path / "a.npz")
    wanted = tokenizer.decode(tokens, 3).detach().numpy()
    np.testing.assert_allclose(load(tmp_path / "a.npz")["action"], wanted, atol=TOLERANCE)
    with pytest.raises(BundleError, match="a tokenizer alone"):
        oat("infer", bundle, out, "--k", 1, "--out", tmp_path / "x.npz")


BAD_OBSERVATIONS = {
    r"no array 'observation.cube_pose'; it has observation.joint_pos": {
        "observation.joint_pos": np.zeros((3, 2, 3))
    },
    r"cube_pose is \(3, 2, 4\), expected is \(N, 2, 5\)": seen(
        **{"observation.cube_pose": np.zeros((3, 2, 4))}
    ),
    r"cube_pose is \(2, 5\), expected is \(N, 2, 5\)": seen(
        **{"observation.cube_pose": np.zeros((2, 5))}
    ),
    r"cube_pose has 2 rows, observation.joint_pos has 3": seen(
        **{"observation.cube_pose": np.zeros((2, 2, 5))}
    ),
    r"cube_pose is <U1, expected are numbers": seen(
        **{"observation.cube_pose": np.full((3, 2, 5), "x")}
    ),
    r"cube_pose holds a value that is not finite": seen(
        **{"observation.cube_pose": np.full((3, 2, 5), np.nan)}
    ),
}


@pytest.mark.parametrize("words", BAD_OBSERVATIONS)
def test_observations_that_do_not_fit_are_refused_by_key_and_shape(
    imported: Path, tmp_path: Path, words: str
) -> None:
    file, out = npz(tmp_path / "in.npz", **BAD_OBSERVATIONS[words]), tmp_path / "out.npz"
    with pytest.raises(RunError, match=words):
        oat("infer", imported, file, "--k", 1, "--out", out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (np.zeros((2, 2)), "tokens is float64, expected are integers"),
        (np.zeros((2, 2), int), r"tokens is \(2, 2\), too short for --k 3"),
        (np.zeros(4, int), r"tokens is \(4,\), expected is \(N, any\)"),
        (np.array([[1, 2, 3], [1, 60, 3]]), "row 1: token 1 is 60, allowed is 0 to 59"),
        (np.array([[1, 2, -1]]), "row 0: token 2 is -1"),
    ],
)
def test_tokens_that_do_not_fit_are_refused_by_row(
    imported: Path, tmp_path: Path, tokens: Any, words: str
) -> None:
    file, out = npz(tmp_path / "in.npz", tokens=tokens), tmp_path / "out.npz"
    with pytest.raises(RunError, match=words):
        oat("tokens", "decode", imported, file, "--k", 3, "--out", out)
    assert not out.exists()


def test_what_is_no_file_of_arrays_is_refused_by_its_name(imported: Path, tmp_path: Path) -> None:
    bad, out = tmp_path / "in.npz", tmp_path / "out.npz"
    for content, words in ((b"", "not an .npz"), (b"PK\x03\x04", "not an .npz"), (None, "No such")):
        bad.unlink(missing_ok=True)
        if content is not None:
            bad.write_bytes(content)
        with pytest.raises(RunError, match=words):
            oat("tokens", "encode", imported, bad, "--out", out)
    np.savez(bad, chunks=np.array([{"a": 1}], dtype=object))
    with pytest.raises(RunError, match="plain arrays"):
        oat("tokens", "encode", imported, bad, "--out", out)
    np.save(tmp_path / "in.npy", np.zeros(3))
    with pytest.raises(RunError, match=r"not an \.npz"):
        oat("tokens", "encode", imported, tmp_path / "in.npy", "--out", out)


def test_a_prefix_that_no_plan_has_is_a_usage_error(imported: Path, tmp_path: Path) -> None:
    file = npz(tmp_path / "in.npz", **seen())
    for k in (0, 5):
        with pytest.raises(UsageError, match=f"--k is {k}, allowed is 1 to 4"):
            oat("infer", imported, file, "--k", k, "--out", tmp_path / "o.npz")


def test_a_result_that_cannot_be_written_leaves_the_old_one_whole(
    imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out = npz(tmp_path / "in.npz", **seen()), tmp_path / "out.npz"
    oat("infer", imported, file, "--k", 1, "--out", out)
    before = out.read_bytes()

    def fail(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(RunError, match=r"out.npz: No space left"):
        oat("infer", imported, file, "--k", 2, "--out", out)
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npz", "out.npz"]
    with pytest.raises(RunError, match="No such file"):
        oat("infer", imported, file, "--k", 2, "--out", tmp_path / "none" / "out.npz")


def test_import_says_what_is_wrong_and_writes_nothing(tmp_path: Path) -> None:
    t_file, p_file, _, _ = make_pair(tmp_path)
    out = tmp_path / "bundle"
    with pytest.raises(RunError, match=r"as torch\.save writes it"):
        (tmp_path / "x.ckpt").write_bytes(b"x")
        oat("import-oat", "--tokenizer", tmp_path / "x.ckpt", "--out", out)
    with pytest.raises(RunError, match="rate_hz"):
        oat("import-oat", "--tokenizer", t_file, "--out", out, "--rate-hz", 0)
    with pytest.raises(UsageError, match="--observe is 'joint_pos'"):
        oat("import-oat", "--tokenizer", t_file, "--out", out, "--observe", "joint_pos")
    assert not out.exists()
    pair = ("--tokenizer", t_file, "--policy", p_file, "--out", out, "--joints", "a, b,c")
    oat("import-oat", *pair, "--observe", "joint_pos=observation.state", "--json")
    manifest = bundles.load(out).manifest
    assert (manifest.name, manifest.action.names) == ("bundle", ("a", "b", "c"))
    assert manifest.observation[0].key == "observation.state"
    with pytest.raises(RunError, match="--force"):
        oat("import-oat", *pair)
    oat("import-oat", *pair, "--force")
