"""The package's tasks by name, known without it."""

import numpy as np

PREFIX = "metaworld/"

NAMES = (
    "assembly",
    "basketball",
    "bin-picking",
    "box-close",
    "button-press",
    "button-press-topdown",
    "button-press-topdown-wall",
    "button-press-wall",
    "coffee-button",
    "coffee-pull",
    "coffee-push",
    "dial-turn",
    "disassemble",
    "door-close",
    "door-lock",
    "door-open",
    "door-unlock",
    "drawer-close",
    "drawer-open",
    "faucet-close",
    "faucet-open",
    "hammer",
    "hand-insert",
    "handle-press",
    "handle-press-side",
    "handle-pull",
    "handle-pull-side",
    "lever-pull",
    "peg-insert-side",
    "peg-unplug-side",
    "pick-out-of-hole",
    "pick-place",
    "pick-place-wall",
    "plate-slide",
    "plate-slide-back",
    "plate-slide-back-side",
    "plate-slide-side",
    "push",
    "push-back",
    "push-wall",
    "reach",
    "reach-wall",
    "shelf-place",
    "soccer",
    "stick-pull",
    "stick-push",
    "sweep",
    "sweep-into",
    "window-close",
    "window-open",
)

TEN_NAME = "metaworld-10"
TEN = (
    "assembly",
    "button-press-topdown",
    "door-open",
    "drawer-close",
    "drawer-open",
    "peg-insert-side",
    "pick-place",
    "push",
    "reach",
    "window-open",
)
"""Those of one policy for ten tasks."""

TASK_KEY = "observation.task"


def one_of_ten(name: str) -> np.ndarray:
    """Which of the ten a task without its prefix is, (10,) float32; zeros for any other."""
    return np.array([name == one for one in TEN], dtype=np.float32)
