"""Servo and planner keep to cores of their own."""

from __future__ import annotations

from edge.cores import assign_cores
from tests.edge_parts import make_robot


def cores(allowed: set[int], **changes: object) -> tuple[int | None, int | None]:
    robot = assign_cores(make_robot(**changes), allowed)
    return robot.servo.core, robot.planner.core


def test_servo_and_planner_never_share_a_core_where_there_are_two() -> None:
    assert cores({0, 1}) == (1, 0)
    assert cores({2, 5, 7}) == (7, 5)


def test_a_core_that_robot_yaml_names_stays_and_the_other_process_avoids_it() -> None:
    assert cores({0, 1}, servo__core=0) == (0, 1)
    assert cores({0, 1}, planner__core=1) == (0, 1)
    assert cores({0, 1}, servo__core=1, planner__core=1) == (1, 1)


def test_nothing_is_assigned_on_a_single_core() -> None:
    assert cores({3}) == (None, None)
