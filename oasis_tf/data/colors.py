"""Colours for classes that have no colours of their own."""

import functools

import numpy as np
from skimage import color

_LEVELS = np.linspace(0, 255, 18).round()  # Of each channel.
_LIGHTNESS = (35, 90)  # CIELAB's L*, 0..100.
_CHROMA = (15, 85)  # CIELAB's distance from grey, 0..130.


@functools.cache
def distinct_colors(num_colors):
    """Returns colours that are easy to tell apart.

    Of a grid of colours that are neither very dark or light nor grey or
    glaring, each next one is the farthest (in CIELAB) from all before it. So
    the first colours do not depend on how many there are, and none is near
    black, which the caller may keep for don't-care.

    Args:
        num_colors: int.

    Returns:
        `num_colors` different triples `(red, green, blue)`, 0..255.

    Raises:
        ValueError: if the grid has fewer colours.
    """
    rgb = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS), -1).reshape(-1, 3)
    lab = color.rgb2lab(rgb / 255)
    lightness, chroma = lab[:, 0], np.linalg.norm(lab[:, 1:], axis=1)
    is_fit = (
        (lightness >= _LIGHTNESS[0])
        & (lightness <= _LIGHTNESS[1])
        & (chroma >= _CHROMA[0])
        & (chroma <= _CHROMA[1])
    )
    rgb, lab = rgb[is_fit].astype(int), lab[is_fit]
    if num_colors > len(rgb):
        raise ValueError(
            f"`num_colors` must be at most {len(rgb)}. Received: {num_colors}."
        )
    colors = []
    distance = lightness[is_fit]  # To black at first.
    for _ in range(num_colors):
        farthest = int(np.argmax(distance))
        colors.append(tuple(rgb[farthest].tolist()))
        distance = np.minimum(
            distance, np.linalg.norm(lab - lab[farthest], axis=1)
        )
    return tuple(colors)
