from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rc_context
from typer.testing import CliRunner

from edge.commands.main import app
from edge.commands.plots import style
from edge.commands.plots.panels import rungs_shown
from edge.commands.plots.run_data import run_data
from edge.commands.plots.run_figure import draw_run_figure
from edge.errors import RunError, UsageError
from edge.ladder import Rung
from edge.log_reader import read_log
from tests.unit.run_logs import RUNGS, TICKS_PER_RUNG, write_log
from tests.unit.test_plot_log import ROBOT, foreign

PNG = b"\x89PNG\r\n"


@pytest.fixture(autouse=True)
def _styled() -> Iterator[None]:
    with rc_context(style.RC):
        yield


def test_the_command_is_shown_only_where_one_was_sent(tmp_path: Path) -> None:
    data = run_data(read_log(write_log(tmp_path / "a.mcap")))
    assert np.isnan(data.command_rad[:TICKS_PER_RUNG]).all()
    lead = data.command_rad[TICKS_PER_RUNG:] - data.measured_rad[TICKS_PER_RUNG:]
    np.testing.assert_allclose(lead, 0.5)
    assert data.time_s[0] == 0.0
    assert data.time_s[-1] == pytest.approx(59 * 0.005)


def test_the_band_of_rungs_has_no_gap_and_no_overlap(tmp_path: Path) -> None:
    data = run_data(read_log(write_log(tmp_path / "a.mcap")))
    assert [span.rung for span in data.spans] == list(RUNGS)
    starts = [span.start_s for span in data.spans]
    ends = [span.end_s for span in data.spans]
    assert starts[0] == 0.0 and ends[-1] == data.time_s[-1]
    assert starts[1:] == ends[:-1]
    assert starts == pytest.approx([0.05 * index for index in range(len(RUNGS))])


def test_stage_times_of_a_plan_are_differences_of_what_the_planner_recorded(
    tmp_path: Path,
) -> None:
    data = run_data(read_log(write_log(tmp_path / "a.mcap")))
    stages = {name: times.tolist() for name, times in data.planner_ms.items()}
    assert stages["start"] == pytest.approx([0.1] * 3)
    assert stages["prefill"] == pytest.approx([0.2] * 3)
    assert stages["first token"] == pytest.approx([0.3] * 3)
    assert stages["other tokens"] == pytest.approx([2.1, 0.9]), "a plan of one token has no others"
    assert stages["decode"] == pytest.approx([0.4] * 3)
    assert stages["whole plan"] == pytest.approx([3.1, 1.9, 1.0])
    assert data.plans.prefix.tolist() == [8, 4, 1]
    assert data.plans.late.tolist() == [False, False, True]


def test_servo_stages_leave_out_ticks_without_torque(tmp_path: Path) -> None:
    data = run_data(read_log(write_log(tmp_path / "a.mcap")))
    assert {name: len(times) for name, times in data.servo_ms.items()} == dict.fromkeys(
        ("wake-up", "read", "decide", "write"), 60 - TICKS_PER_RUNG
    )
    assert data.servo_ms["read"][0] == 1.5


def test_one_episode_starts_where_the_policy_takes_over(tmp_path: Path) -> None:
    log = read_log(write_log(tmp_path / "a.mcap"))
    data = run_data(log, episode=1)
    assert len(data.time_s) == 40
    assert data.spans[0].rung is Rung.FULL
    with pytest.raises(UsageError, match="--episode is 2, the log holds 1 to 1"):
        run_data(log, episode=2)


def test_a_run_without_ticks_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no servo ticks"):
        run_data(read_log(write_log(tmp_path / "a.mcap", ticks=0)))


@pytest.mark.parametrize(("ticks", "plans"), [(60, (8, 4, 1)), (1, ()), (15, ())])
def test_every_run_can_be_drawn_however_short(
    tmp_path: Path, ticks: int, plans: tuple[int, ...]
) -> None:
    data = run_data(read_log(write_log(tmp_path / "a.mcap", ticks, plans)))
    figure = draw_run_figure(data, "title")
    figure.canvas.draw()
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[2:9] == list(data.joints)
    assert titles[9] == "prefix length per plan"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[-1] == f"rung {rungs_shown(data.spans)[-1].label}"
    assert ("late plan" in labels) == bool(plans)


def test_no_text_of_the_figure_covers_another(tmp_path: Path) -> None:
    data = run_data(read_log(write_log(tmp_path / "a.mcap")))
    figure = draw_run_figure(data, "viperx · run · seed 7")
    figure.canvas.draw()
    texts = [
        text
        for axes in figure.axes
        for text in [
            *axes.get_xticklabels(),
            *axes.get_yticklabels(),
            *axes.texts,
            axes.xaxis.label,
            axes._left_title,
        ]
    ] + [*figure.texts, *figure.legends[0].get_texts()]
    boxes = [
        (text.get_text(), text.get_window_extent().padded(-1.0))
        for text in texts
        if text.get_text() and text.get_visible()
    ]
    for index, (text, box) in enumerate(boxes):
        for other, other_box in boxes[index + 1 :]:
            assert not box.overlaps(other_box), f"{text!r} over {other!r}"


def invoke(*arguments: object) -> tuple[int, BaseException | None, str]:
    result = CliRunner().invoke(app, ["plot", *map(str, arguments)])
    return result.exit_code, result.exception, result.output


def test_plot_writes_the_figure_and_prints_its_path(tmp_path: Path) -> None:
    out = tmp_path / "run.png"
    code, _, output = invoke(write_log(tmp_path / "a.mcap"), "-o", out)
    assert (code, output.strip()) == (0, str(out))
    assert out.read_bytes().startswith(PNG)


def test_a_cut_log_is_drawn_with_a_warning(tmp_path: Path) -> None:
    path, out = write_log(tmp_path / "a.mcap"), tmp_path / "run.png"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    code, _, output = invoke(path, "-o", out)
    assert code == 0
    assert "warning" in output and "cut off" in output
    assert out.read_bytes().startswith(PNG)


def test_what_cannot_be_drawn_or_written_is_named(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a.mcap")
    empty = write_log(tmp_path / "empty.mcap", ticks=0)
    older = foreign(tmp_path / "older.mcap", ROBOT, [b'{"tick": 1}'])
    for arguments, kind, complaint in [
        ((tmp_path / "absent.mcap",), UsageError, "absent.mcap"),
        ((empty, "-o", tmp_path / "x.png"), RunError, "empty.mcap: no servo ticks"),
        ((older, "-o", tmp_path / "x.png"), RunError, "older.mcap: written by another version"),
        ((log, "-o", tmp_path / "no" / "x.png"), RunError, "--out"),
        ((log, "-o", tmp_path / "x.xyz"), UsageError, "--out"),
    ]:
        _, error, _ = invoke(*arguments)
        assert isinstance(error, kind)
        assert complaint in str(error) and "\n" not in str(error)
    assert not (tmp_path / "x.png").exists()
