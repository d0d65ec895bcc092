"""The plant with something to put the cube into or onto."""

from pathlib import Path

import numpy as np

from models.tasks.viperx.lift import sample_cube_pose
from models.tasks.viperx.placing import (
    Placement,
    rest_in_tray_m,
    rest_on_cube_m,
    sample_lower_cube_pose,
    sample_tray_m,
)
from models.tasks.viperx.plant import ViperXPlant


class PickPlacePlant(ViperXPlant):
    """The arm, a cube, and a tray that stands fast."""

    SCENE = Path(__file__).with_name("pick_place.xml")

    @property
    def environment_state(self) -> np.ndarray:
        """The cube's pose and the tray's centre x, y in m, (9,) float64."""
        return np.concatenate([self.cube_pose, self.data.mocap_pos[0, :2]])

    @property
    def placement(self) -> Placement:
        """The cube against its rest on the tray's floor."""
        offset_m = self.cube_pose[:3] - rest_in_tray_m(self.environment_state)
        return Placement(offset_m, _speed_m_s(self, "cube"), _is_touched(self, "cube"))

    def place_cube(self, rng: np.random.Generator) -> None:
        """Lay the cube at rest and the tray beside it, both at random; the arm is untouched."""
        pose = sample_cube_pose(rng)
        self.data.mocap_pos[0, :2] = sample_tray_m(rng, pose)
        self.set_cube_pose(pose)


class StackPlant(ViperXPlant):
    """The arm and two cubes."""

    SCENE = Path(__file__).with_name("stack.xml")

    @property
    def environment_state(self) -> np.ndarray:
        """The poses of the cube to grasp and of the one to put it on, (14,) float64."""
        lower = self._free_body_pose(int(self.model.joint("lower_cube").qposadr[0]))
        return np.concatenate([self.cube_pose, lower])

    @property
    def placement(self) -> Placement:
        """The cube against its rest on top of the other, wherever that one is."""
        offset_m = self.cube_pose[:3] - rest_on_cube_m(self.environment_state)
        cubes = ("cube", "lower_cube")
        speed_m_s = max(_speed_m_s(self, cube) for cube in cubes)
        return Placement(offset_m, speed_m_s, any(_is_touched(self, cube) for cube in cubes))

    def place_cube(self, rng: np.random.Generator) -> None:
        """Lay both cubes at rest, apart, at random; the arm is untouched."""
        pose = sample_cube_pose(rng)
        lower = self.model.joint("lower_cube")
        lower_pose = sample_lower_cube_pose(rng, pose)
        self._set_free_body(int(lower.qposadr[0]), int(lower.dofadr[0]), lower_pose)
        self.set_cube_pose(pose)


def _speed_m_s(plant: ViperXPlant, cube: str) -> float:
    """Speed of a cube's centre."""
    first_v = int(plant.model.joint(cube).dofadr[0])
    return float(np.linalg.norm(plant.data.qvel[first_v : first_v + 3]))


def _is_touched(plant: ViperXPlant, cube: str) -> bool:
    """Whether any part of the arm is in contact with a cube."""
    geom, root = plant.model.geom(cube).id, plant.model.body("base_link").id
    roots = plant.model.body_rootid[plant.model.geom_bodyid]
    pairs = plant.data.contact.geom
    others = np.concatenate([pairs[pairs[:, 0] == geom, 1], pairs[pairs[:, 1] == geom, 0]])
    return bool((roots[others] == root).any())
