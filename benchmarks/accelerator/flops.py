"""Counts the arithmetic of a program's convolutions and matrix products."""

import math
import re

import numpy as np

_TYPES = r" : \(tensor<(.*?)>, tensor<(.*?)>\) -> tensor<(.*?)>"
_CONVOLUTION = re.compile(
    r"stablehlo\.convolution\(.*? dim_numbers = "
    r"\[(.*?)\]x\[(.*?)\]->\[.*?\], window = \{(.*?)\}.*?" + _TYPES
)
_DOT = re.compile(
    r"stablehlo\.dot(?:_general)? (?:.*?contracting_dims = \[(.*?)\])?.*?"
    + _TYPES
)


def count(text):
    """Returns how many multiplications and additions a program takes.

    Those of convolutions and matrix products, which are nearly all; a product
    with the zeros around an image is none. What a loop does is counted once.

    Args:
        text: StableHLO.

    Returns:
        int.
    """
    return sum(_of_line(line) for line in text.splitlines())


def _of_line(line):
    if match := _CONVOLUTION.search(line):
        return _of_convolution(*match.groups())
    if match := _DOT.search(line):
        contracted, left, _, result = match.groups()
        left = _shape(left)
        # The plain one sums over the first's last dimension.
        dims = [-1] if contracted is None else _integers(contracted)
        depth = math.prod(left[dim] for dim in dims)
        return 2 * depth * math.prod(_shape(result))
    return 0


def _of_convolution(image_dims, kernel_dims, window, image, kernel, result):
    image = dict(zip(image_dims.split(", "), _shape(image)))
    kernel = dict(zip(kernel_dims.split(", "), _shape(kernel)))
    # Images and channels of the result are whatever is not a place in it.
    products = image["b"] * kernel["i"] * kernel["o"]
    strides, image_steps, kernel_steps = (
        _setting(window, name)
        for name in ("stride", "lhs_dilate", "rhs_dilate")
    )
    pads = re.search(r"pad = \[\[(.*)\]\]", window)
    before_and_after = (
        [_integers(pair) for pair in pads[1].split("], [")]
        if pads
        else [[0, 0]] * len(strides)
    )
    for i, (before, after) in enumerate(before_and_after):
        size, width = image[str(i)], kernel[str(i)]
        last = (size - 1) * image_steps[i]  # Of the places that hold a pixel.
        reach = (width - 1) * kernel_steps[i]
        starts = np.arange(-before, last + after - reach + 1, strides[i])
        places = starts[:, None] + np.arange(width) * kernel_steps[i]
        is_pixel = (0 <= places) & (places <= last)
        products *= int(np.sum(is_pixel & (places % image_steps[i] == 0)))
    return 2 * products


def _setting(window, name):
    """Returns a setting of a window's two dimensions; 1 unless said."""
    match = re.search(rf"{name} = \[(.*?)\]", window)
    return _integers(match[1]) if match else [1, 1]


def _shape(text):
    return [int(n) for n in text.split("x")[:-1]]


def _integers(text):
    return [int(n) for n in text.split(", ") if n]
