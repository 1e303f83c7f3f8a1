"""What the label map does not tell: time of day, season and materials."""

import dataclasses

import numpy as np

from oasis_tf.data.toy_scenes.composition import choose


@dataclasses.dataclass(frozen=True)
class TimeOfDay:
    """Colours, (r, g, b) in [0, 1], that the light gives a whole scene."""

    zenith: tuple
    horizon: tuple  # Also the colour of haze.
    disc: tuple  # Sun or moon.
    cloud: tuple
    cloud_shade: tuple
    light: tuple  # Multiplies the colour of what is lit.
    haze: float  # Share of haze in the colour of the farthest things.
    is_dark: bool = False  # Stars are out and windows are lit.


@dataclasses.dataclass(frozen=True)
class Season:
    """Colours, (r, g, b) in [0, 1], of what grows."""

    grass: tuple
    dry_grass: tuple
    foliage: tuple  # Colours of broad-leaved trees, one for each species.
    conifer: tuple
    flowers: float  # Share of the grass in flower.
    snow: float  # Share of rock, roofs and branches under snow.


TIMES = {
    "morning": TimeOfDay(
        zenith=(0.58, 0.66, 0.86),
        horizon=(1.00, 0.84, 0.79),
        disc=(1.00, 0.97, 0.72),
        cloud=(1.00, 0.94, 0.92),
        cloud_shade=(0.80, 0.70, 0.80),
        light=(0.98, 0.90, 0.88),
        haze=0.65,
    ),
    "noon": TimeOfDay(
        zenith=(0.16, 0.44, 0.86),
        horizon=(0.66, 0.85, 0.98),
        disc=(1.00, 0.96, 0.55),
        cloud=(1.00, 1.00, 1.00),
        cloud_shade=(0.76, 0.82, 0.90),
        light=(1.06, 1.05, 1.00),
        haze=0.40,
    ),
    "sunset": TimeOfDay(
        zenith=(0.34, 0.20, 0.46),
        horizon=(1.00, 0.54, 0.20),
        disc=(1.00, 0.92, 0.50),
        cloud=(1.00, 0.60, 0.48),
        cloud_shade=(0.56, 0.28, 0.44),
        light=(1.02, 0.71, 0.56),
        haze=0.45,
    ),
    "night": TimeOfDay(
        zenith=(0.03, 0.05, 0.17),
        horizon=(0.15, 0.25, 0.48),
        disc=(0.96, 0.96, 0.86),
        cloud=(0.34, 0.38, 0.52),
        cloud_shade=(0.17, 0.20, 0.33),
        light=(0.37, 0.43, 0.62),
        haze=0.40,
        is_dark=True,
    ),
}

SEASONS = {
    "spring": Season(
        grass=(0.45, 0.70, 0.22),
        dry_grass=(0.60, 0.76, 0.30),
        foliage=((0.97, 0.66, 0.78), (0.96, 0.92, 0.90), (0.62, 0.82, 0.26)),
        conifer=(0.15, 0.40, 0.24),
        flowers=0.07,
        snow=0.35,
    ),
    "summer": Season(
        grass=(0.28, 0.52, 0.15),
        dry_grass=(0.46, 0.58, 0.20),
        foliage=((0.14, 0.38, 0.12), (0.26, 0.46, 0.12), (0.34, 0.44, 0.22)),
        conifer=(0.08, 0.28, 0.18),
        flowers=0.0,
        snow=0.0,
    ),
    "autumn": Season(
        grass=(0.60, 0.55, 0.20),
        dry_grass=(0.74, 0.62, 0.28),
        foliage=((0.90, 0.44, 0.08), (0.74, 0.18, 0.10), (0.95, 0.74, 0.16)),
        conifer=(0.14, 0.30, 0.18),
        flowers=0.0,
        snow=0.1,
    ),
    "winter": Season(
        grass=(0.90, 0.93, 0.98),
        dry_grass=(0.80, 0.86, 0.95),
        foliage=((0.56, 0.52, 0.54), (0.66, 0.70, 0.78), (0.48, 0.40, 0.36)),
        conifer=(0.12, 0.27, 0.23),
        flowers=0.0,
        snow=0.8,
    ),
}

SNOW = np.float32([0.93, 0.95, 1.0])
ROCKS = ((0.52, 0.52, 0.55), (0.56, 0.43, 0.35), (0.38, 0.44, 0.54))
WATERS = ((0.08, 0.28, 0.52), (0.10, 0.52, 0.58), (0.14, 0.36, 0.36))
ROADS = {
    "asphalt": (0.30, 0.30, 0.34),
    "dirt": (0.56, 0.37, 0.25),
    "gravel": (0.66, 0.62, 0.60),
}
# Every wall is lighter than every roof, so that the two stay apart.
WALLS = (
    (0.95, 0.92, 0.85),
    (0.90, 0.62, 0.54),
    (0.96, 0.80, 0.44),
    (0.56, 0.72, 0.86),
    (0.80, 0.66, 0.50),
)
ROOFS = (
    (0.70, 0.24, 0.14),
    (0.26, 0.29, 0.38),
    (0.20, 0.38, 0.32),
    (0.42, 0.28, 0.20),
)
MAX_THINGS = 16  # At most as many houses, and as many trees, in a scene.


@dataclasses.dataclass(frozen=True)
class Appearance:
    """How a layout looks.

    The n-th house takes the n-th of `walls` and `roofs`, the n-th tree the
    n-th of `species`.
    """

    time: str  # A key of TIMES.
    season: str  # A key of SEASONS.
    rock: tuple
    water: tuple
    road: str  # A key of ROADS.
    is_coniferous: bool  # The forest.
    walls: np.ndarray  # [MAX_THINGS, 3], in [0, 1].
    roofs: np.ndarray  # [MAX_THINGS, 3], in [0, 1].
    species: np.ndarray  # [MAX_THINGS], index into Season.foliage.


def draw_appearance(rng):
    """Draws an appearance; all choices are uniform and independent."""
    return Appearance(
        time=choose(rng, list(TIMES)),
        season=choose(rng, list(SEASONS)),
        rock=choose(rng, ROCKS),
        water=choose(rng, WATERS),
        road=choose(rng, list(ROADS)),
        is_coniferous=bool(rng.random() < 0.5),
        walls=np.float32(WALLS)[rng.integers(len(WALLS), size=MAX_THINGS)],
        roofs=np.float32(ROOFS)[rng.integers(len(ROOFS), size=MAX_THINGS)],
        species=rng.integers(3, size=MAX_THINGS),
    )
