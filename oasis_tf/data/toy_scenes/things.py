"""Paints what stands on the ground: houses and trees."""

import numpy as np

from oasis_tf.data.toy_scenes import classes
from oasis_tf.data.toy_scenes.appearance import SNOW
from oasis_tf.data.toy_scenes.blending import mix
from oasis_tf.data.toy_scenes.blending import planes
from oasis_tf.data.toy_scenes.blending import saturate
from oasis_tf.data.toy_scenes.canvas import box
from oasis_tf.data.toy_scenes.canvas import convex_polygon
from oasis_tf.data.toy_scenes.canvas import ellipse
from oasis_tf.data.toy_scenes.canvas import puffs
from oasis_tf.data.toy_scenes.textures import noise
from oasis_tf.data.toy_scenes.textures import stripes

LAMP_LIGHT = np.float32([1.0, 0.80, 0.36])
GLASS = (0.24, 0.30, 0.38)
SHADOW = (0.10, 0.12, 0.15)
BARK = (0.32, 0.23, 0.17)


def paint_house(scene, house, wall_color, roof_color):
    """Paints a house; in its own coordinates it is 1 wide and stands at 0."""
    center = house.u * scene.canvas.aspect
    canvas = scene.canvas.window(
        center - 0.75 * house.size,
        house.y - 1.1 * house.size,
        center + 0.75 * house.size,
        house.y + 0.1 * house.size,
    )
    x = (canvas.x - center) * house.facing / house.size
    y = (house.y - canvas.y) / house.size
    near = _nearness(scene, house)
    _paint_shadow(scene, canvas, ellipse(x, y, 0.62, 0.06) * house.size, near)

    pixel = canvas.pixel / house.size
    eaves = house.wall
    grain = noise(scene.rng, (16, 24), y, x + 0.5)
    boards = 0.07 * stripes(y, 0.09, pixel)
    tiles = 0.08 * stripes(y, 0.08, pixel) + 0.04 * stripes(x, 0.1, pixel)
    wall = planes(wall_color) * (1 + boards + 0.05 * grain)
    roof = planes(roof_color) * (1 + tiles + 0.12 * grain)
    snow = np.clip(scene.season.snow * 2.2 - 0.9 + 0.25 * grain, 0, 0.85)
    roof = mix(roof, SNOW, snow * (y > eaves + 0.05))

    def fill(distance, color, class_id):
        canvas.fill(distance * house.size, scene.lit(color, near), class_id)

    if house.shows_gable:
        is_gable_lit = house.facing != scene.layout.light_side
        gable_light, side_light = (1.0, 0.72) if is_gable_lit else (0.78, 1.0)
        gable = _gable(x, y, eaves)
        slope = _slope(x, y, (-0.31, 0.36), (-0.06, 0.56), eaves)
        fill(box(x, y, -0.08, 0, 0.5, eaves), wall * side_light, classes.HOUSE)
        fill(gable, wall * gable_light, classes.HOUSE)
        fill(slope, roof * (0.75 + 0.3 * side_light), classes.ROOF)
        windows_x, door_x = (-0.38, 0.1, 0.36), -0.2
    else:
        slope = _slope(x, y, (-0.38, 0.38), (-0.57, 0.57), eaves)
        fill(box(x, y, -0.5, 0, 0.5, eaves), wall, classes.HOUSE)
        fill(slope, roof, classes.ROOF)
        windows_x, door_x = (-0.32, 0.32), 0.0
    glass = LAMP_LIGHT if scene.time.is_dark else scene.lit(GLASS, near)
    for window_x in windows_x:
        pane = box(x, y, window_x - 0.065, 0.19, window_x + 0.065, 0.32)
        canvas.blend(pane * house.size, glass)
    door = box(x, y, door_x - 0.07, 0, door_x + 0.07, 0.28)
    canvas.blend(door * house.size, scene.lit(roof_color * 0.6, near))


def paint_tree(scene, tree, species):
    """Paints a tree; in its own coordinates it is 1 high and stands at 0."""
    center = tree.u * scene.canvas.aspect
    canvas = scene.canvas.window(
        center - 0.45 * tree.size,
        tree.y - 1.05 * tree.size,
        center + 0.45 * tree.size,
        tree.y + 0.05 * tree.size,
    )
    x = (canvas.x - center) / tree.size
    y = (tree.y - canvas.y) / tree.size
    near = _nearness(scene, tree)
    _paint_shadow(scene, canvas, ellipse(x, y, 0.28, 0.045) * tree.size, near)
    trunk = box(x, y, -0.045, 0.0, 0.045, 0.4) * tree.size
    canvas.fill(trunk, scene.lit(BARK, near), classes.TREE)

    leaves = noise(scene.rng, (24, 24), y, x + 0.5)
    side = scene.layout.light_side
    if tree.shape == "conifer":
        crown, facing = _conifer(x, y)
        facing = facing + 1.2 * side * x
        color = scene.season.conifer
    elif tree.shape == "poplar":
        crown = ellipse(x, y - 0.57, 0.15, 0.42)
        facing = 2.5 * side * x + 0.8 * (y - 0.6)
        color = scene.season.foliage[species]
    else:
        crown, facing = puffs(x, y, tree.puffs, side, 1)
        facing = 0.7 * facing + 1.2 * (y - 0.6)
        color = scene.season.foliage[species]
    color = planes(color) * (0.95 + 0.4 * facing + 0.22 * leaves)
    snow = scene.season.snow * saturate(0.1 + 1.3 * facing + 0.3 * leaves)
    color = mix(color, SNOW, snow * (scene.season.snow > 0.5))
    canvas.fill(crown * tree.size, scene.lit(color, near), classes.TREE)


def _nearness(scene, thing):
    """Nearness for the haze, of which things on the ground get little."""
    return 0.3 + 0.7 * scene.layout.near(thing.y)


def _paint_shadow(scene, canvas, distance, near):
    canvas.blend(distance, scene.lit(SHADOW, near), opacity=0.4, softness=0.03)


def _gable(x, y, eaves):
    """Distance to a wall that ends in a point."""
    left, middle, right = -0.5, -0.29, -0.08
    return convex_polygon(
        x,
        y,
        [
            (left, 0),
            (left, eaves),
            (middle, eaves + 0.34),
            (right, eaves),
            (right, 0),
        ],
    )


def _slope(x, y, top, bottom, eaves):
    """Distance to a roof with these left and right ends."""
    return convex_polygon(
        x,
        y,
        [
            (top[0], eaves + 0.37),
            (top[1], eaves + 0.37),
            (bottom[1], eaves - 0.04),
            (bottom[0], eaves - 0.04),
        ],
    )


def _conifer(x, y):
    """Three stacked triangles: their distance, and light from -0.6 to 0.4."""
    distance = np.float32(np.inf)
    light = np.float32(0)
    for apex, foot, half_width in (
        (0.66, 0.12, 0.29),
        (0.84, 0.38, 0.23),
        (1.00, 0.62, 0.17),
    ):
        tier = convex_polygon(
            x, y, [(-half_width, foot), (0, apex), (half_width, foot)]
        )
        light = np.where(tier < 0, (y - foot) / (apex - foot) - 0.6, light)
        distance = np.minimum(distance, tier)
    return distance, light
