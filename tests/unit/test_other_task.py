"""Which bundle, precision and time a run takes before another task than the robot file's."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.bundle import read_manifest
from edge.commands.bundles import shipped_bundles
from edge.commands.other_task import longest_episode_s, planning_with, with_task
from edge.errors import BundleError, UsageError
from edge.robot import load_robot
from models.tasks import TASK_NAMES
from tests.edge_bundle import write_bundle
from tests.edge_parts import make_manifest, make_robot


def bundle_with(folder: Path, *precisions: str) -> str:
    graphs = make_manifest().model_dump(mode="json")["graphs"]["fp32"]
    return str(write_bundle(folder / "bundle", graphs=dict.fromkeys(precisions, graphs)))


@pytest.mark.parametrize("task", TASK_NAMES)
def test_another_task_brings_its_plant_and_its_bundle(task: str) -> None:
    robot = with_task(load_robot("viperx"), task)
    assert (robot.plant, robot.bundle) == (task, task)


def test_a_robot_keeps_its_precision_where_another_bundle_has_it(tmp_path: Path) -> None:
    robot = load_robot("viperx")
    assert robot.planner.precision == "int8"
    assert planning_with(robot, bundle_with(tmp_path, "fp32", "int8")) == robot


def test_a_robot_plans_in_fp32_with_another_bundle_that_lacks_its_precision(tmp_path: Path) -> None:
    robot = load_robot("viperx")
    planning = planning_with(robot, bundle_with(tmp_path, "fp32"))
    assert planning.planner.precision == "fp32"
    assert planning.planner.budget_us == robot.planner.budget_us
    assert robot.planner.precision == "int8"


def test_a_bundle_that_does_not_ship_is_named_with_those_that_do() -> None:
    with pytest.raises(BundleError, match=r"no bundle 'viperx-juggle'.*viperx-lift"):
        planning_with(load_robot("viperx"), "viperx-juggle")


def test_an_episode_may_last_as_long_as_its_task_and_two_seconds() -> None:
    viperx = load_robot("viperx")
    assert longest_episode_s(viperx) == 8.0
    assert longest_episode_s(with_task(viperx, "viperx-pick-place")) == 11.0


def test_a_real_robot_has_8_s_whatever_its_file_says_of_a_plant() -> None:
    assert longest_episode_s(make_robot(plant="viperx-pick-place")) == 8.0


def test_a_real_robot_stands_before_no_simulated_task() -> None:
    with pytest.raises(UsageError, match="real ports"):
        with_task(make_robot(), "viperx-lift")


def test_every_shipped_bundle_of_a_task_says_so() -> None:
    for name, path in shipped_bundles().items():
        assert read_manifest(path)[0].task == name
