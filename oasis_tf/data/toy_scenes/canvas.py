"""A canvas that is painted from far to near, and the shapes painted on it.

A shape is its distance: negative inside, zero on the edge, in image heights.
"""

import math

import numpy as np

from oasis_tf.data.toy_scenes.blending import mix
from oasis_tf.data.toy_scenes.blending import saturate


class Canvas:
    """An image and its label map, or a rectangular part of them.

    Attributes:
        image: `[3, H, W]`, float32 in [0, 1].
        label_map: `[H, W]`, uint8.
        x: `[1, W]`, float32. Pixel centres from the left edge, in image
            heights.
        y: `[H, 1]`, float32. Pixel centres from the top edge, in image heights.
        u: `[1, W]`, float32. `x` as a fraction of the image width.
        aspect: width of the whole image, in image heights.
        pixel: size of a pixel, in image heights.
    """

    def __init__(self, image, label_map, x, y, aspect, pixel):
        self.image = image
        self.label_map = label_map
        self.x = x
        self.y = y
        self.u = x / aspect
        self.aspect = aspect
        self.pixel = pixel

    @classmethod
    def blank(cls, height, width):
        pixel = 1 / height
        return cls(
            image=np.zeros([3, height, width], np.float32),
            label_map=np.zeros([height, width], np.uint8),
            x=(np.arange(width, dtype=np.float32)[np.newaxis] + 0.5) * pixel,
            y=(np.arange(height, dtype=np.float32)[:, np.newaxis] + 0.5)
            * pixel,
            aspect=width / height,
            pixel=pixel,
        )

    def window(self, left, top, right, bottom):
        """The part between these edges, in image heights; shares the pixels."""
        height, width = self.label_map.shape
        left, right = (
            min(max(int(edge / self.pixel), 0), width)
            for edge in (left - self.pixel, right + 2 * self.pixel)
        )
        top, bottom = (
            min(max(int(edge / self.pixel), 0), height)
            for edge in (top - self.pixel, bottom + 2 * self.pixel)
        )
        return Canvas(
            self.image[:, top:bottom, left:right],
            self.label_map[top:bottom, left:right],
            self.x[:, left:right],
            self.y[top:bottom],
            self.aspect,
            self.pixel,
        )

    def fill(self, distance, color, class_id):
        """Paints a shape with smooth edges, and labels it with crisp ones.

        Args:
            distance: `[H, W]`.
            color: `[3]` or `[3, H, W]`, in [0, 1].
            class_id: label of the pixels whose centre is inside.
        """
        self.blend(distance, color)
        self.label_map[distance < 0] = class_id

    def blend(self, distance, color, opacity=1.0, softness=0.0):
        """Paints a shape on the image alone; `softness` widens its edge."""
        edge = self.pixel + softness
        coverage = saturate(0.5 - distance * (1 / edge)) * opacity
        self.image[...] = mix(self.image, color, coverage)


def ellipse(x, y, radius_x, radius_y):
    """Distance to an ellipse round the origin; exact for circles."""
    smaller = min(radius_x, radius_y)
    square = (x / radius_x) ** 2 + (y / radius_y) ** 2
    return (np.sqrt(square) - 1) * smaller


def puffs(x, y, discs, light_x, light_y):
    """Distance to the union of some discs, and how each faces the light.

    Args:
        x: `[1, w]`.
        y: `[h, 1]`.
        discs: `[n, 3]`: x and y of the centre, and radius.
        light_x: the light comes from this side, -1 or 1, and from
        light_y: this one.

    Returns:
        distance: `[h, w]`.
        facing: `[h, w]`, about -1 to 1 inside: brightness of the nearest disc.
    """
    distance = np.float32(np.inf)
    facing = np.float32(0)
    for disc_x, disc_y, radius in discs:
        across = (x - disc_x) / radius
        along = (y - disc_y) / radius
        disc = (np.sqrt(across**2 + along**2) - 1) * radius
        lit = 0.4 * light_x * across + 0.6 * light_y * along
        facing = np.where(disc < distance, lit, facing)
        distance = np.minimum(disc, distance)
    return distance, facing


def box(x, y, left, bottom, right, top):
    """Distance to a rectangle; `y` points up."""
    return np.maximum(
        np.maximum(left - x, x - right), np.maximum(bottom - y, y - top)
    )


def convex_polygon(x, y, vertices):
    """Distance to a convex polygon; `y` points up, vertices go clockwise."""
    distance = -np.inf
    for (x0, y0), (x1, y1) in zip(vertices, vertices[1:] + vertices[:1]):
        length = math.hypot(x1 - x0, y1 - y0)
        across, up = (y0 - y1) / length, (x1 - x0) / length
        # One side of the sum is a row, the other a column.
        edge = (x - x0) * across + (y - y0) * up
        distance = np.maximum(distance, edge)
    return distance
