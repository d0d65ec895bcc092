from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edge.chunks import Chunk
from edge.commands.benchmarks.recorded_chunks import Recording
from edge.commands.benchmarks.seam_replay import QUANTITIES, derivatives, replay
from edge.commands.benchmarks.seams import limits_by_quantity, report, within_limits
from edge.commands.main import app
from edge.commands.plots.seam_figure import roughest_seam
from edge.safety import Limits
from tests.edge_parts import STEP_NS, TICK_NS, make_robot

PERIOD_S = TICK_NS / 1e9
GAP_RAD = 0.2


def recording(gap_rad: float = GAP_RAD) -> Recording:
    """Two chunks at rest at 0.5 and ``gap_rad`` above it; the second observed after 4 steps."""
    still = np.full((9, 2), 0.5)
    jumped = still.copy()
    jumped[1:, 1] += gap_rad
    chunks = (Chunk(1, 0, STEP_NS, 4, still), Chunk(2, 4 * STEP_NS, STEP_NS, 4, jumped))
    return Recording(seed=3, prefix=4, chunks=chunks, success=True)


def test_a_jump_of_one_tick_is_differenced_thrice() -> None:
    commands = np.zeros((6, 1))
    commands[3:] = 0.1
    found = derivatives(commands, PERIOD_S)
    assert [len(found[name]) for name in QUANTITIES] == [5] * 4
    sizes = [0.1, 0.1 / PERIOD_S, 0.1 / PERIOD_S**2, 0.2 / PERIOD_S**3]
    for name, size in zip(QUANTITIES, sizes, strict=True):
        assert found[name].max() == pytest.approx(size)
        assert found[name][:2].max() == pytest.approx(0.0)


def test_a_command_that_starts_abruptly_is_seen_though_it_is_the_first_tick() -> None:
    found = derivatives(np.array([[0.0], [0.1], [0.2]]), PERIOD_S)
    assert found["jerk_rad_s3"][0, 0] == pytest.approx(0.1 / PERIOD_S**3)


@pytest.mark.parametrize("quantity", QUANTITIES[1:])
@pytest.mark.parametrize(("share", "kept"), [(0.999, True), (1.001, False)])
def test_each_limit_is_judged_just_inside_and_just_outside(
    quantity: str, share: float, kept: bool
) -> None:
    commands = np.cumsum(np.full((40, 2), 0.001), axis=0)
    commands[20:] += np.linspace(0, 0.02, 20)[:, None]
    reached = {name: values.max() for name, values in derivatives(commands, PERIOD_S).items()}
    wide = {name: np.full(2, 2 * value) for name, value in reached.items()}
    wide[quantity] = np.full(2, reached[quantity] / share)
    limits = Limits(
        np.full(2, -9.0), np.full(2, 9.0), *(wide[name] for name in QUANTITIES[1:]), np.ones(2)
    )
    assert within_limits(commands, PERIOD_S, limits) is kept


def test_a_position_beyond_its_limit_is_seen() -> None:
    limits = Limits.of(make_robot())
    still = np.repeat([[0.5, limits.upper_rad[1]]], 5, axis=0)
    assert within_limits(still, PERIOD_S, limits)
    assert not within_limits(still + np.array([0.0, 0.001]), PERIOD_S, limits)


def test_before_jumps_when_the_chunk_comes_and_after_does_not() -> None:
    robot = make_robot()
    one = replay(recording(), robot, arrival_ns=12_000_000)
    (seam,) = one.seams
    assert seam == 4 * 4 + 3  # the first tick at or after 12 ms past four steps
    step = np.diff(one.before[:, 1])
    assert step[seam - 1] == pytest.approx(GAP_RAD * 15 / 20)  # entered at 15 ms of its first step
    assert within_limits(one.after, one.period_s, Limits.of(robot))
    assert not within_limits(one.before, one.period_s, Limits.of(robot))
    np.testing.assert_allclose(one.after[-1], one.before[-1], atol=0.01 * GAP_RAD)


def test_the_report_names_the_joint_that_comes_nearest_to_a_limit() -> None:
    robot = make_robot()
    figures = report([replay(recording(), robot, 0), replay(recording(0.0), robot, 0)], robot)
    assert figures["seams"] == 2
    assert figures["within_limits"]
    assert figures["worst"]["before"]["joint"] == "gripper"
    assert figures["worst"]["before"]["quantity"] == "jerk_rad_s3"
    assert figures["worst"]["after"]["share_of_limit"] <= 1.0 + 1e-6
    allowed = limits_by_quantity(Limits.of(robot), PERIOD_S)
    for quantity in QUANTITIES:
        assert figures["after"][quantity] <= allowed[quantity].max() * (1 + 1e-6)
        assert figures["joints"]["after"][quantity]["waist"] == pytest.approx(0.0)
    assert figures["departure_rad"]["gripper"] > 0.1
    json.dumps(figures)


def test_the_seam_that_is_drawn_is_the_one_with_the_largest_raw_step() -> None:
    robot = make_robot()
    replays = [replay(recording(gap), robot, 2 * TICK_NS) for gap in (0.1, 0.3, 0.2)]
    one, tick, joint = roughest_seam(replays)
    assert one is replays[1]
    assert (tick, joint) == (one.seams[0], 1)
    with pytest.raises(ValueError, match="no seam"):
        roughest_seam([])


def test_on_the_shipped_policy_raw_seams_exceed_limits_and_handled_ones_do_not(
    tmp_path: Path,
) -> None:
    figure = tmp_path / "seam.png"
    command = ["bench", "seams", "--seeds", "1", "--plot", str(figure), "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["within_limits"]
    assert figures["seams"] > 10
    assert figures["successes"] == figures["episodes"] == 4
    assert figures["worst"]["before"]["share_of_limit"] > 10
    assert figure.stat().st_size > 10_000
