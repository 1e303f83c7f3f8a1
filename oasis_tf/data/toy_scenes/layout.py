"""Where things are in a scene: all that its label map tells.

Horizontal positions `u` are fractions of the image width, vertical ones `y`
fractions of its height, both from the top left. Sizes are in image heights.

A `distance` to something on the ground is negative inside and only about
proportional to the true one elsewhere; it takes `u` and `Layout.near(y)`.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Disc:
    """Sun or moon."""

    u: float
    y: float
    radius: float


@dataclasses.dataclass(frozen=True)
class Cloud:
    u: float  # Of its middle.
    y: float  # Of its flat bottom.
    puffs: np.ndarray  # [n, 3]: x and y from (u, y), and radius.


@dataclasses.dataclass(frozen=True)
class Mountains:
    peak_u: np.ndarray  # [n], from left to right; n is 2 or more.
    peak_y: np.ndarray  # [n]
    slopes: np.ndarray  # [n]: fall, in image heights, over an image width.
    roughness: np.ndarray  # Added to y; at equal distances along the range.

    def flanks(self, u):
        """Edge of each peak's flanks, `[n, W]`; `u` is `[1, W]`."""
        run = np.abs(u - self.peak_u[:, np.newaxis])
        flanks = self.peak_y[:, np.newaxis] + self.slopes[:, np.newaxis] * run
        places = np.linspace(0, 1, self.roughness.size)
        return flanks + np.float32(np.interp(u, places, self.roughness))


@dataclasses.dataclass(frozen=True)
class Forest:
    heights: np.ndarray  # Above the horizon, at equal distances along it.

    def top(self, u):
        """Height above the horizon at each u."""
        places = np.linspace(0, 1, self.heights.size)
        return np.float32(np.interp(u, places, self.heights))


@dataclasses.dataclass(frozen=True)
class Road:
    far_u: float  # At the horizon.
    near_u: float  # At the bottom edge.
    bend: float
    half_width: float  # At the bottom edge.

    def center(self, near):
        straight = self.far_u + (self.near_u - self.far_u) * near
        return straight + self.bend * np.sin(np.pi * near) * (1 - near)

    def width(self, near):
        return 0.015 + (self.half_width - 0.015) * np.maximum(near, 0)

    def distance(self, u, near):
        aside = np.abs(u - self.center(near)) - self.width(near)
        return np.maximum(aside, 0.03 - near)


@dataclasses.dataclass(frozen=True)
class Sea:
    """Water from the horizon to a wavy shore."""

    shore: float  # Nearness of the shore.
    tilt: float  # Of the shore, from the left edge to the right.
    phase: float  # Of the waves in the shore, in radians.

    def distance(self, u, near):
        wave = 0.04 * np.sin(7 * u + self.phase) + self.tilt * (u - 0.5)
        return np.maximum(-near, near - self.shore - wave) * 0.5


@dataclasses.dataclass(frozen=True)
class Lake:
    u: float  # Of the middle.
    near: float  # Nearness of the middle.
    half_width: float
    half_depth: float  # In units of nearness.
    phase: float  # Of the waves in the shore, in radians.

    def distance(self, u, near):
        across = (u - self.u) / self.half_width
        along = (near - self.near) / self.half_depth
        wave = 0.12 * np.sin(5 * across + self.phase)
        reach = np.hypot(across, along + wave) - 1
        return reach * 0.5 * self.half_depth


@dataclasses.dataclass(frozen=True)
class River:
    u: float  # About which the river winds.
    swing: float
    half_width: float  # At the bottom edge.
    phase: float  # Of the bends, in radians.

    def distance(self, u, near):
        on_ground = np.maximum(near, 0)
        bends = np.sin(3.2 / (on_ground + 0.35) + self.phase)
        aside = np.abs(u - self.u - self.swing * bends)
        width = 0.035 + (self.half_width - 0.035) * on_ground
        return np.maximum(aside - width, 0.05 - near)


@dataclasses.dataclass(frozen=True)
class House:
    u: float  # Of its middle.
    y: float  # Of its foot.
    size: float  # Width.
    wall: float  # Height of the walls, in widths.
    shows_gable: bool
    facing: int  # -1 or 1; -1 is the mirror image.


@dataclasses.dataclass(frozen=True)
class Tree:
    u: float  # Of its trunk.
    y: float  # Of its foot.
    size: float  # Height.
    shape: str  # "conifer", "round" or "poplar".
    puffs: np.ndarray  # [n, 3]: a round crown's discs, in tree heights.


@dataclasses.dataclass(frozen=True)
class Layout:
    horizon: float
    light_side: int  # -1 if the light comes from the left, else 1.
    sun: Disc | None
    clouds: list  # Of `Cloud`.
    mountains: Mountains | None
    forest: Forest | None
    water: Sea | Lake | River | None
    road: Road | None
    houses: list  # Of `House`.
    trees: list  # Of `Tree`.
    hill_phase: float  # Of the waves in the meadow's far edge, in radians.

    def hills(self, u):
        """How far below the horizon the meadow begins."""
        return 0.012 + 0.012 * np.sin(6 * u + self.hill_phase)

    def near(self, y):
        """How near the ground at `y` is: 0 at the horizon, 1 at the bottom."""
        return (y - self.horizon) / (1 - self.horizon)
