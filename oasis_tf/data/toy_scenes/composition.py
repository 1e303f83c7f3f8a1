"""Draws where things are in a scene."""

import numpy as np

from oasis_tf.data.toy_scenes.layout import Cloud
from oasis_tf.data.toy_scenes.layout import Disc
from oasis_tf.data.toy_scenes.layout import Forest
from oasis_tf.data.toy_scenes.layout import House
from oasis_tf.data.toy_scenes.layout import Lake
from oasis_tf.data.toy_scenes.layout import Layout
from oasis_tf.data.toy_scenes.layout import Mountains
from oasis_tf.data.toy_scenes.layout import River
from oasis_tf.data.toy_scenes.layout import Road
from oasis_tf.data.toy_scenes.layout import Sea
from oasis_tf.data.toy_scenes.layout import Tree


def choose(rng, options):
    """One of the options, each as likely as the others."""
    return options[rng.integers(len(options))]


def draw_layout(rng):
    """Draws a landscape; each kind of thing is in half of them or more."""
    horizon = rng.uniform(0.42, 0.54)
    sun_u = rng.uniform(0.12, 0.88)
    has_sun = rng.random() < 0.6
    has_mountains = rng.random() < 0.65
    has_forest = rng.random() < 0.55
    sun_y = rng.uniform(0.12, 0.24)
    sun = Disc(sun_u, sun_y, rng.uniform(0.065, 0.095)) if has_sun else None
    num_clouds = choose(rng, [0, 1, 2, 3, 4, 5])
    clouds = [_draw_cloud(rng, horizon) for _ in range(num_clouds)]
    clouds = [cloud for cloud in clouds if not _covers(cloud, sun)]
    mountains = _draw_mountains(rng, horizon) if has_mountains else None
    forest = _draw_forest(rng) if has_forest else None
    water, road = _draw_water_and_road(rng)
    grounds = [ground for ground in (water, road) if ground is not None]
    houses = _draw_houses(rng, horizon, grounds)
    trees = _draw_trees(rng, horizon, grounds, houses)
    return Layout(
        horizon=horizon,
        light_side=1 if sun_u > 0.5 else -1,
        sun=sun,
        clouds=clouds,
        mountains=mountains,
        forest=forest,
        water=water,
        road=road,
        houses=houses,
        trees=trees,
        hill_phase=rng.uniform(0, 2 * np.pi),
    )


def _draw_cloud(rng, horizon):
    """A row of overlapping discs, the largest in the middle."""
    size = rng.uniform(0.10, 0.17)
    num_puffs = rng.integers(4, 6)
    x = np.linspace(-0.75, 0.75, num_puffs) + rng.uniform(-0.1, 0.1, num_puffs)
    radius = (1 - 0.5 * np.abs(x)) * rng.uniform(0.5, 0.65, num_puffs)
    y = -0.5 * radius
    return Cloud(
        u=rng.uniform(0.05, 0.95),
        y=rng.uniform(0.14, horizon - 0.12),
        puffs=np.float32(np.stack([x, y, radius], axis=1) * size),
    )


def _covers(cloud, sun):
    """Whether a cloud hides about half of the sun or more."""
    if sun is None:
        return False
    is_in_front = -0.04 < cloud.y - sun.y < 0.18
    return is_in_front and abs(cloud.u - sun.u) < 0.16


def _draw_mountains(rng, horizon):
    num_peaks = rng.integers(2, 5)
    peak_u = np.arange(num_peaks) + rng.uniform(0.2, 0.8, num_peaks)
    places = np.linspace(0, 1, 65)
    roughness = sum(
        np.interp(
            places,
            np.linspace(0, 1, num_bends),
            rng.uniform(-0.2, 0.2, num_bends) / num_bends,
        )
        for num_bends in (9, 17, 33, 65)
    )
    return Mountains(
        peak_u=np.float32(peak_u / num_peaks),
        peak_y=np.float32(horizon - rng.uniform(0.14, 0.32, num_peaks)),
        slopes=np.float32(rng.uniform(0.5, 1.1, num_peaks)),
        roughness=roughness,
    )


def _draw_forest(rng):
    """A forest edge with round or pointed tree tops."""
    num_tops = 24
    mass = np.interp(
        np.linspace(0, 1, num_tops * 4 + 1),
        np.linspace(0, 1, 5),
        rng.uniform(0.05, 0.12, 5),
    )
    phase = np.linspace(0, num_tops * np.pi, num_tops * 4 + 1)
    phase = phase + rng.uniform(-0.7, 0.7, phase.size)
    return Forest(heights=mass + 0.035 * np.abs(np.sin(phase)))


def _draw_water_and_road(rng):
    """Water, if any, and a road, if any, that keeps off lakes and rivers."""
    side = choose(rng, [-1, 1])  # Of the road; a lake is on the other.
    kind = choose(rng, ["sea", "lake", "lake", "river", "none"])
    road = None
    if kind != "river" and rng.random() < 0.7:
        road = Road(
            far_u=0.5 + side * rng.uniform(0.02, 0.3),
            near_u=0.5 + side * rng.uniform(0.0, 0.3),
            bend=side * rng.uniform(-0.05, 0.25),
            half_width=rng.uniform(0.13, 0.24),
        )
    if kind == "none":
        return None, road
    phase = rng.uniform(0, 2 * np.pi)
    if kind == "sea":
        shore, tilt = rng.uniform(0.3, 0.6), rng.uniform(-0.3, 0.3)
        return Sea(shore=shore, tilt=tilt, phase=phase), road
    if kind == "river":
        return River(
            u=rng.uniform(0.3, 0.7),
            swing=rng.uniform(0.08, 0.18),
            half_width=rng.uniform(0.13, 0.25),
            phase=phase,
        ), road
    half_width = rng.uniform(0.28, 0.45)
    return Lake(
        u=0.5 - side * (half_width + rng.uniform(-0.14, 0.02)),
        near=rng.uniform(0.35, 0.65),
        half_width=half_width,
        half_depth=rng.uniform(0.2, 0.32),
        phase=phase,
    ), road


def _draw_houses(rng, horizon, grounds):
    num_houses = choose(rng, [0, 1, 1, 2, 3])
    houses = []
    for u, near in _free_spots(rng, grounds, margin=0.12):
        is_apart = all(abs(u - house.u) > 0.24 for house in houses)
        if is_apart and len(houses) < num_houses:
            house = House(
                u=u,
                y=horizon + near * (1 - horizon),
                size=(0.17 + 0.17 * near) * rng.uniform(0.9, 1.2),
                wall=rng.uniform(0.4, 0.6),
                shows_gable=bool(rng.random() < 0.6),
                facing=choose(rng, [-1, 1]),
            )
            houses.append(house)
    return houses


def _draw_trees(rng, horizon, grounds, houses):
    num_trees = rng.integers(1, 9)
    trees = []
    for u, near in _free_spots(rng, grounds, margin=0.04):
        y = horizon + near * (1 - horizon)
        hides_house = any(
            abs(u - house.u) < 0.6 * house.size and y > house.y
            for house in houses
        )
        if not hides_house and len(trees) < num_trees:
            trees.append(_draw_tree(rng, u, y, near))
    return trees


def _free_spots(rng, grounds, margin):
    """Random `(u, near)` on the meadow, `margin` away from water and road.

    `margin` is for the bottom edge; far away less is enough.
    """
    u = rng.uniform(0.03, 0.97, 64)
    near = rng.uniform(0.08, 0.95, 64) ** 1.3
    is_free = np.ones(u.shape, bool)
    for ground in grounds:
        is_free &= ground.distance(u, near) > margin * (0.3 + 0.7 * near)
    return zip(u[is_free].tolist(), near[is_free].tolist())


def _draw_tree(rng, u, y, near):
    puffs = np.array(
        [
            [0.0, 0.62, 0.25],
            [-0.17, 0.55, 0.19],
            [0.17, 0.57, 0.19],
            [0.04, 0.80, 0.17],
        ]
    ) + rng.uniform(-0.03, 0.03, [4, 3])
    return Tree(
        u=u,
        y=y,
        size=(0.2 + 0.32 * near) * rng.uniform(0.8, 1.2),
        shape=choose(rng, ["conifer", "round", "round", "poplar"]),
        puffs=np.float32(puffs),
    )
