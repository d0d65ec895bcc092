"""Recorded data of other systems: read, inspected, refused where it is damaged."""

from __future__ import annotations

import builtins
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from edge.commands.data import data_app
from models.data.errors import DataError
from models.data.formats import read_recording
from models.data.inspection import CONSTANT_RANGE, inspect
from models.data.recording import Recording, training_arrays
from tests.unit.recorded_data import (
    LENGTHS,
    RATE_HZ,
    STARTS,
    STEPS,
    ZARR_3,
    columns,
    open_buffer,
    parts,
    put,
    write_hdf5,
    write_lerobot,
    write_npz,
    write_zarr,
)

SAMPLE = Path(__file__).parents[3] / "shared" / "lerobot-sample"
WRITERS: dict[str, Callable[[Path, dict[str, np.ndarray]], Path]] = {
    "lerobot": write_lerobot,
    "demos.hdf5": write_hdf5,
    "buffer.zarr": write_zarr,
    "buffer3.zarr": lambda path, data: write_zarr(path, data, version=3),
    "demos.npz": write_npz,
}
if not ZARR_3:
    del WRITERS["buffer3.zarr"]


def oat(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(data_app, [str(argument) for argument in arguments])
    return result.exit_code, result.output + str(result.exception or "")


def recording(data: dict[str, np.ndarray], **more: object) -> Recording:
    return Recording(source="here", columns=data, episode_start=STARTS, **more)


def kinds(found: dict) -> dict[tuple[str, str | None], dict]:
    return {(odd["kind"], odd["column"]): odd for odd in found["odd"]}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_back_what_was_written(name: str, tmp_path: Path) -> None:
    data = columns()
    read = read_recording(WRITERS[name](tmp_path / name, data))
    for key, value in data.items():
        np.testing.assert_array_equal(read.columns[key], value)
        assert read.columns[key].dtype == np.float32
    assert read.episode_start.tolist() == STARTS.tolist()
    assert read.lengths.tolist() == list(LENGTHS)
    assert read.rate_hz == (RATE_HZ if name in ("lerobot", "demos.hdf5") else None)


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "demos.npz"])
def test_pictures_are_left_out_with_a_notice(name: str, tmp_path: Path) -> None:
    read = read_recording(WRITERS[name](tmp_path / name, columns()))
    (notice,) = read.notices
    assert "skipped" in notice and ("top" in notice)
    assert not any("top" in key for key in read.columns)


def test_a_zip_of_a_replay_buffer_is_read_too(tmp_path: Path) -> None:
    folder = write_zarr(tmp_path / "buffer.zarr", columns())
    archive = shutil.make_archive(str(folder), "zip", folder)
    read = read_recording(Path(archive))
    np.testing.assert_array_equal(read.columns["action"], columns()["action"])


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample is not beside this checkout")
def test_a_dataset_that_lerobot_wrote_is_read() -> None:
    read = read_recording(SAMPLE)
    assert (read.steps, len(read.lengths), read.rate_hz) == (630, 6, 50.0)
    assert read.names["action"][-1] == "gripper"
    frame = parquet.read_table(SAMPLE / "data" / "chunk-000" / "file-000.parquet")
    written = np.array(frame["observation.state"].to_pylist(), np.float32)
    np.testing.assert_array_equal(read.columns["observation.state"], written)


def test_the_command_of_a_step_is_the_action_before_and_at_the_start_the_state() -> None:
    data = columns()
    arrays = training_arrays(recording(data))
    command, action = arrays["observation.command"], data["action"]
    for start, actions, commands in zip(STARTS, parts(action), parts(command), strict=True):
        np.testing.assert_array_equal(commands[1:], actions[:-1])
        np.testing.assert_array_equal(commands[0], data["observation.state"][start])
    assert arrays["mask"].all()


def test_where_the_state_is_no_action_the_first_action_is_the_first_command() -> None:
    data = columns() | {"observation.state": np.zeros((STEPS, 5), np.float32)}
    command = training_arrays(recording(data))["observation.command"]
    np.testing.assert_array_equal(command[STARTS], data["action"][STARTS])


def test_a_recorded_command_is_kept() -> None:
    data = columns()
    data["observation.command"] = data["action"] * 2
    arrays = training_arrays(recording(data))
    np.testing.assert_array_equal(arrays["observation.command"], data["action"] * 2)


def test_what_is_not_finite_is_not_trained_on_and_named_with_its_place() -> None:
    data = columns()
    data["observation.scene"][95, 1] = np.nan
    with pytest.raises(DataError, match=r"here: 'observation.scene' .* episode 2, step 5"):
        training_arrays(recording(data))


def test_windows_of_a_recording_train_as_those_of_our_own_file(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from models.dataset import load_windows

    path = write_lerobot(tmp_path / "set", columns())
    windows = load_windows(path, ["observation.state", "observation.scene"], 2, 32)
    assert len(windows) == STEPS
    chunk = windows.chunk(windows.index[:1])[0].numpy()
    np.testing.assert_array_equal(chunk, columns()["action"][:32])
    with pytest.raises(DataError, match=r"no 'observation.gaze'; it has action, .*state"):
        load_windows(path, ["observation.gaze"], 2, 32)


def test_clean_data_has_nothing_odd(tmp_path: Path) -> None:
    found = inspect(read_recording(write_lerobot(tmp_path / "set", columns())), 32)
    assert found["odd"] == []
    assert found["lengths"] == {"min": 40, "median": 50.0, "max": 60}
    assert found["columns"]["action"]["names"] == ["j0", "j1", "j2"]
    low = columns()["action"].min(axis=0)
    np.testing.assert_allclose(found["columns"]["action"]["min"], low, rtol=1e-5)


def test_each_oddity_is_found_where_it_is() -> None:
    data = columns()
    data["action"][60:, 1] += 1.5
    data["observation.state"][97, 2] = np.inf
    data["observation.scene"][:, 0] = 0.25
    time_s = np.concatenate([np.arange(length) for length in LENGTHS]) / RATE_HZ
    time_s[130:] += 0.1
    found = kinds(inspect(recording(data, rate_hz=RATE_HZ, time_s=time_s), horizon=45))
    assert set(found) == {
        ("not finite", "observation.state[2]"),
        ("gap in time", None),
        ("jump", "action[1]"),
        ("constant", "observation.scene[0]"),
        ("shorter than a chunk of 45", None),
    }
    assert "episode 2, step 7" in found["not finite", "observation.state[2]"]["detail"]
    assert "episode 1, step 20" in found["jump", "action[1]"]["detail"]
    assert "0.12 s instead of 0.02 at episode 2, step 40" in found["gap in time", None]["detail"]
    assert found["jump", "action[1]"]["count"] == 1


def test_the_step_from_one_episode_to_the_next_is_no_jump() -> None:
    data = columns()
    for shift, part in enumerate(parts(data["action"])):
        part += 3.0 * shift
    assert inspect(recording(data), 32)["odd"] == []


def test_an_episode_far_shorter_than_the_others_is_odd() -> None:
    data = {"action": np.cumsum(np.ones((310, 1), np.float32) * 0.01, axis=0)}
    starts = np.array([0, 100, 200, 210])
    found = kinds(inspect(Recording("here", data, starts), horizon=8))
    assert "episode 2 with 10 steps" in found["far shorter than the median", None]["detail"]


def test_a_column_without_any_number_is_shown_and_odd() -> None:
    data = columns()
    data["observation.scene"][:, 0] = np.nan
    found = inspect(recording(data), 32)
    assert kinds(found)["not finite", "observation.scene[0]"]["count"] == STEPS
    json.dumps(found, allow_nan=False)


def test_constant_means_the_same_as_in_training() -> None:
    normalizer = pytest.importorskip("models.normalizer")
    assert normalizer.SMALLEST_RANGE == CONSTANT_RANGE


@pytest.mark.parametrize("name", WRITERS)
def test_the_command_shows_a_table_or_json(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path / name, columns())
    code, text = oat("inspect", path)
    assert code == 0 and "3 episodes of 40 to 60 steps" in text and "observation.state[" in text
    code, text = oat("inspect", path, "--json", "--horizon", 50)
    found = json.loads(text)
    assert code == 0 and found["episodes"] == 3 and found["steps"] == STEPS
    assert [odd["kind"] for odd in found["odd"]] == ["shorter than a chunk of 50"]


def change_info(path: Path, **changed: object) -> None:
    file = path / "meta" / "info.json"
    info = json.loads(file.read_text()) | changed
    file.write_text(json.dumps(info))


def rewrite(path: Path, change: Callable) -> None:
    file = path / "data" / "chunk-000" / "file-001.parquet"
    parquet.write_table(change(parquet.read_table(file)), file)


def replaced(table, name: str, values: np.ndarray):
    return table.set_column(table.column_names.index(name), name, pa.array(values))


LEROBOT_DAMAGE: dict[str, Callable[[Path], object]] = {
    r"meta/info.json: not a dataset's description": lambda p: (p / "meta" / "info.json").write_text(
        "{"
    ),
    r"codebase_version is 'v2.1', allowed is v3.x": lambda p: change_info(
        p, codebase_version="v2.1"
    ),
    r"fps is 0, allowed": lambda p: change_info(p, fps=0),
    r"data has 150 frames, meta/info.json says 151": lambda p: change_info(p, total_frames=151),
    r"3 runs of frames .* says 4 episodes": lambda p: change_info(p, total_episodes=4),
    r"features has no 'action'": lambda p: change_info(p, features={}),
    r"no chunk-\*/file-\*.parquet": lambda p: shutil.rmtree(p / "data"),
    r"file-000.parquet: not readable as parquet": lambda p: (
        p / "data" / "chunk-000" / "file-000.parquet"
    ).write_bytes(b"PAR1 no"),
    r"file-001.parquet: column 'action' is missing": lambda p: rewrite(
        p, lambda table: table.drop_columns(["action"])
    ),
    r"'index' does not count": lambda p: rewrite(
        p, lambda table: replaced(table, "index", np.arange(91, 151))
    ),
    r"'frame_index' is 1 at index 90": lambda p: rewrite(
        p, lambda table: replaced(table, "frame_index", np.arange(1, 61))
    ),
}


@pytest.mark.parametrize("message", LEROBOT_DAMAGE)
def test_a_damaged_lerobot_dataset_is_one_clear_line(message: str, tmp_path: Path) -> None:
    path = write_lerobot(tmp_path / "set", columns())
    LEROBOT_DAMAGE[message](path)
    with pytest.raises(DataError, match=message) as caught:
        read_recording(path)
    assert "\n" not in str(caught.value)


def edit_hdf5(path: Path, edit: Callable) -> None:
    with h5py.File(path, "a") as file:
        edit(file)


def shorten(file) -> None:
    del file["data/demo_2/obs/state"]
    file["data/demo_2/obs/state"] = np.zeros((7, 3), np.float32)


def widen(file) -> None:
    del file["data/demo_2/actions"]
    file["data/demo_2/actions"] = np.zeros((50, 4), np.float32)


def delete(name: str) -> Callable:
    def edit(file) -> None:
        del file[name]

    return edit


HDF5_DAMAGE: dict[str, Callable] = {
    r"no group 'data'": delete("data"),
    r"data/demo_1 has no group 'obs'; extract": delete("data/demo_1/obs"),
    r"data/demo_2/actions is missing": delete("data/demo_2/actions"),
    r"data/demo_10/obs/scene is missing": delete("data/demo_10/obs/scene"),
    r"data/demo_2/obs/state has 7 rows, actions has 50": shorten,
    r"'action' has \[3, 4\] elements": widen,
}


@pytest.mark.parametrize("message", HDF5_DAMAGE)
def test_a_damaged_hdf5_is_one_clear_line(message: str, tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "demos.hdf5", columns())
    edit_hdf5(path, HDF5_DAMAGE[message])
    with pytest.raises(DataError, match=message):
        read_recording(path)


def test_bytes_that_are_no_hdf5_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "demos.hdf5"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"demos.hdf5: not readable"):
        read_recording(path)


def test_hdf5_without_a_rate_is_read_without_one(tmp_path: Path) -> None:
    assert read_recording(write_hdf5(tmp_path / "a.hdf5", columns(), rate_hz=None)).rate_hz is None


ZARR_DAMAGE: dict[str, Callable[[Path], object]] = {
    r"meta/episode_ends is missing": lambda p: shutil.rmtree(p / "meta"),
    r"data/action is missing": lambda p: shutil.rmtree(p / "data" / "action"),
    r"episode_ends must rise .* to the 150 rows": lambda p: put(
        open_buffer(p, "a"), "meta/episode_ends", np.array([40, 90, 151])
    ),
    r"'observation.state' is \(149, 3\), expected is \(150, dim\)": lambda p: put(
        open_buffer(p, "a"), "data/state", np.zeros((149, 3))
    ),
    r"buffer.zarr: not readable": lambda p: (p / ".zgroup").write_text("{"),
}


@pytest.mark.parametrize("message", ZARR_DAMAGE)
def test_a_damaged_replay_buffer_is_one_clear_line(message: str, tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "buffer.zarr", columns())
    ZARR_DAMAGE[message](path)
    with pytest.raises(DataError, match=message) as caught:
        read_recording(path)
    assert "\n" not in str(caught.value)


class Intruder:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


PICKLE = {"id": "pickle", "protocol": 5}


@pytest.mark.parametrize("coded", [{"filters": [PICKLE]}, {"compressor": PICKLE}])
def test_an_array_that_would_be_unpickled_is_refused_and_nothing_of_it_runs(
    coded: dict, tmp_path: Path
) -> None:
    path, mark = write_zarr(tmp_path / "buffer.zarr", columns()), tmp_path / "ran"
    array = path / "data" / "action"
    described = json.loads((array / ".zarray").read_text())
    described |= {"filters": None, "compressor": None} | coded
    (array / ".zarray").write_text(json.dumps(described))
    chunks = [chunk for chunk in array.rglob("*") if chunk.name[0].isdigit() and chunk.is_file()]
    assert chunks
    for chunk in chunks:
        chunk.write_bytes(pickle.dumps(Intruder(mark)))
    with pytest.raises(DataError, match="pickle"):
        read_recording(path)
    assert not mark.exists()


def test_a_codec_that_is_not_on_the_list_is_refused_by_its_name(tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "buffer.zarr", columns())
    file = path / "data" / "scene" / ".zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"filters": [{"id": "base64"}]}))
    with pytest.raises(DataError, match=r"data/scene is coded by 'base64', allowed are bitround"):
        read_recording(path)


def test_our_own_file_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, action=np.zeros((3, 1)))
    with pytest.raises(DataError, match=r"other.npz: array 'mask' is missing"):
        read_recording(path)
    with pytest.raises(DataError, match=r"'mask' is \(3,\), 'action' has 150 rows"):
        read_recording(write_npz(tmp_path / "mask.npz", columns(), mask=np.ones(3, bool)))
    with pytest.raises(DataError, match="episodes must each have a step"):
        wrong = np.array([0, 150])
        read_recording(write_npz(tmp_path / "start.npz", columns(), episode_start=wrong))


def test_rows_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    data = columns() | {"action": np.full((STEPS, 3), "x")}
    with pytest.raises(DataError, match=r"'action' is <U1 \(150, 3\), wanted are rows of numbers"):
        read_recording(write_npz(tmp_path / "text.npz", data))


@pytest.mark.parametrize("name", WRITERS)
def test_however_a_file_is_damaged_it_is_data_or_one_line(name: str, tmp_path: Path) -> None:
    whole = WRITERS[name](tmp_path / name, columns())
    files = [whole] if whole.is_file() else sorted(f for f in whole.rglob("*") if f.is_file())
    rng = np.random.default_rng(7)
    for number in range(40):
        file = files[int(rng.integers(len(files)))]
        before = file.read_bytes()
        damaged = bytearray(before)
        for place in rng.integers(len(before), size=3):
            damaged[place] = rng.integers(256)
        file.write_bytes(bytes(damaged[: None if number % 4 else rng.integers(len(before))]))
        try:
            inspect(read_recording(whole), 32)
        except DataError as error:
            assert "\n" not in str(error)
        file.write_bytes(before)
    assert read_recording(whole).steps == STEPS


def test_what_is_not_there_or_unknown_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone: no such file"):
        read_recording(tmp_path / "gone")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"notes.txt: unknown kind of data; known are .*zarr"):
        read_recording(tmp_path / "notes.txt")
    code, text = oat("inspect", tmp_path / "gone")
    assert code == 1 and "data inspect:" in text and "gone" in text


@pytest.mark.parametrize(
    ("name", "package"),
    [("lerobot", "pyarrow"), ("demos.hdf5", "h5py"), ("buffer.zarr", "zarr")],
)
def test_a_format_whose_package_is_missing_says_what_to_install(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = WRITERS[name](tmp_path / name, columns())
    real = builtins.__import__

    def without(wanted: str, *rest: object, **named: object) -> object:
        if wanted.split(".")[0] == package:
            raise ImportError(f"No module named {package!r}", name=package)
        return real(wanted, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=rf"oat-edge\[data\].*{package} is missing"):
        read_recording(path)
