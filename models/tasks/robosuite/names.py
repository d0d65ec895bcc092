"""The package's tasks that are here by name, known without it."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "robosuite/"
RATE_HZ = 20


@dataclass(frozen=True)
class Scene:
    """An environment of the package, and the one object of it that is to be moved.

    ``home_m``: where the hand starts, but for the package's noise on the joints, x y z.
    """

    environment: str
    item: str
    max_steps: int
    home_m: tuple[float, float, float]


SCENES = {
    "Lift": Scene("Lift", "cube", 200, (-0.103, 0.0, 1.011)),
    "Can": Scene("PickPlaceCan", "Can", 400, (-0.043, -0.1, 1.011)),
    "Square": Scene("NutAssemblySquare", "SquareNut", 400, (-0.103, 0.0, 1.011)),
}
"""Names as the robomimic study (arXiv 2108.03298) has them, longest episodes in steps too."""


def scene_of(task: str) -> Scene:
    """The scene of a task's whole name; raises ValueError, naming the known ones, for another."""
    scene = SCENES.get(task.removeprefix(PREFIX))
    if scene is None or not task.startswith(PREFIX):
        raise ValueError(f"unknown task {task!r}; {PREFIX} has {', '.join(SCENES)}")
    return scene
