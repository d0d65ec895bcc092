"""RoboCasa (arXiv 2406.02523): its kitchens on robosuite, a PandaOmron, starts from a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.tasks.missing import MissingError
from models.tasks.outside.world import RobosuiteWorld, make_quietly

ROBOT = "PandaOmron"
MAX_STEPS, RATE_HZ = 500, 20
ASSETS = ("fixtures", "objects/objaverse", "textures")
"""Folders below robocasa/models/assets that its downloader fills."""


def make_world(task: str) -> RobosuiteWorld:
    """The environment of a task. Raises MissingError that says what to fetch and where to."""
    robosuite, robocasa = _packages(task)
    assets = Path(next(iter(robocasa.__path__))) / "models" / "assets"
    for name in ASSETS:
        if not (assets / name).is_dir():
            raise MissingError(
                f"task 'robocasa/{task}' needs kitchens: {assets / name} is missing; run "
                "'python -m robocasa.scripts.download_kitchen_assets' (10 GB, it puts them there)"
            )
    controller = robosuite.load_composite_controller_config(robot=ROBOT)
    try:
        made = make_quietly(
            robosuite.make, env_name=task, robots=ROBOT, controller_configs=controller, seed=0
        )
    except Exception as error:  # robosuite raises a bare Exception for a name that it lacks
        raise ValueError(f"task 'robocasa/{task}': {str(error).splitlines()[0]}") from error
    return RobosuiteWorld(made)


def _packages(task: str) -> tuple[Any, Any]:
    try:
        import robosuite  # noqa: I001
        import robocasa
    except ImportError as error:
        raise MissingError(
            f"task 'robocasa/{task}' needs robocasa 1.0 and robosuite's master branch "
            f"({error.name} is missing): git clone https://github.com/ARISE-Initiative/robosuite "
            "and https://github.com/robocasa/robocasa, 'pip install -e' each into Python 3.11, "
            "then 'python -m robocasa.scripts.setup_macros' and "
            "'python -m robocasa.scripts.download_kitchen_assets'"
        ) from error
    return robosuite, robocasa
