"""From a layout and an appearance to an image and its label map."""

import numpy as np

from oasis_tf.data.toy_scenes import landscape
from oasis_tf.data.toy_scenes import things
from oasis_tf.data.toy_scenes.appearance import SEASONS
from oasis_tf.data.toy_scenes.appearance import TIMES
from oasis_tf.data.toy_scenes.blending import mix
from oasis_tf.data.toy_scenes.blending import planes
from oasis_tf.data.toy_scenes.blending import saturate
from oasis_tf.data.toy_scenes.canvas import Canvas
from oasis_tf.data.toy_scenes.layout import House


class Scene:
    """What every brush needs: the canvas, what is on it, and its light.

    Attributes:
        canvas: `Canvas` of the whole scene.
        layout: `Layout`.
        appearance: `Appearance`.
        time: `TimeOfDay` of the appearance.
        season: `Season` of the appearance.
        rng: `np.random.Generator`, for the textures.
        near: `[H, 1]`, nearness of the ground: 0 at the horizon, 1 at the
            bottom edge, negative in the sky.
    """

    def __init__(self, canvas, layout, appearance, rng):
        self.canvas = canvas
        self.layout = layout
        self.appearance = appearance
        self.time = TIMES[appearance.time]
        self.season = SEASONS[appearance.season]
        self.rng = rng
        self.near = layout.near(canvas.y)

    def lit(self, color, near):
        """The colour of a thing in this light and haze.

        Args:
            color: `[3]` or `[3, h, w]`, in [0, 1].
            near: nearness, broadcast over the pixels of `color`.
        """
        far = saturate(1 - near)
        lit = planes(color) * planes(self.time.light)
        return mix(lit, self.time.horizon, self.time.haze * far * far)


def paint(layout, appearance, rng, height, width):
    """Paints a scene from far to near.

    Args:
        layout: `Layout`.
        appearance: `Appearance`.
        rng: `np.random.Generator`, for the textures.
        height: of the image in pixels.
        width: of the image in pixels.

    Returns:
        image: `[H, W, 3]`, uint8.
        label_map: `[H, W]`, uint8. Depends on `layout` and the size alone.
    """
    scene = Scene(Canvas.blank(height, width), layout, appearance, rng)
    landscape.paint_sky(scene)
    if layout.sun is not None:
        landscape.paint_sun(scene, layout.sun)
    for cloud in layout.clouds:
        landscape.paint_cloud(scene, cloud)
    if layout.mountains is not None:
        landscape.paint_mountains(scene, layout.mountains)
    if layout.forest is not None:
        landscape.paint_forest(scene, layout.forest)
    landscape.paint_grass(scene)
    if layout.road is not None:
        landscape.paint_road(scene, layout.road)
    if layout.water is not None:
        landscape.paint_water(scene, layout.water)

    houses = zip(layout.houses, zip(appearance.walls, appearance.roofs))
    trees = zip(layout.trees, appearance.species)
    for thing, material in sorted(
        [*houses, *trees], key=lambda pair: pair[0].y
    ):
        if isinstance(thing, House):
            things.paint_house(scene, thing, *material)
        else:
            things.paint_tree(scene, thing, material)
    image = saturate(scene.canvas.image).transpose(1, 2, 0)
    return np.uint8(image * 255 + 0.5), scene.canvas.label_map
