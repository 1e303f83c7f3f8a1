"""A landscape and its label map from two numbers, in a few milliseconds."""

import numpy as np

from oasis_tf.data.toy_scenes import classes
from oasis_tf.data.toy_scenes.appearance import draw_appearance
from oasis_tf.data.toy_scenes.composition import draw_layout
from oasis_tf.data.toy_scenes.painting import paint

CLASS_NAMES = classes.CLASS_NAMES
COLORS = classes.COLORS


def draw_scene(seed, index, height, width):
    """Draws a scene: where things are, how they look, and the picture.

    The same `seed` and `index` give the same scene at any size. Layout,
    appearance and texture come from random streams of their own, so the label
    map says nothing about time of day, season or materials.

    Args:
        seed: non-negative int. Of the data set.
        index: non-negative int. Of the scene in the data set.
        height: of the image in pixels, 16 or more.
        width: of the image in pixels, 16 or more.

    Returns:
        image: `[H, W, 3]`, uint8.
        label_map: `[H, W]`, uint8. Index into `CLASS_NAMES`.

    Raises:
        ValueError: if `seed` or `index` is negative, or the image too small.
    """
    for name, value, least in (
        ("seed", seed, 0),
        ("index", index, 0),
        ("height", height, 16),
        ("width", width, 16),
    ):
        if value < least:
            raise ValueError(
                f"`{name}` must be at least {least}. Received: {name}={value}."
            )
    layout_rng, appearance_rng, texture_rng = np.random.default_rng(
        [seed, index]
    ).spawn(3)
    layout = draw_layout(layout_rng)
    appearance = draw_appearance(appearance_rng)
    return paint(layout, appearance, texture_rng, height, width)
