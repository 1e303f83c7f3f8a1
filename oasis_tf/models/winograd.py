"""Convolution of 3 x 3 by Winograd's minimal filtering: with fewer products.

A filter of three weights takes 3 m products for m results. A product of
polynomials of 3 and m coefficients takes m + 2, for as many of its values
determine it; and the filter is the transpose of such a product. Along both axes
a tile of m x m pixels takes (m + 2)^2 products for every pair of channels
instead of 9 m^2: 16 instead of 36 for m = 2, 36 instead of 144 for m = 4. The
sums before and after them are those of a few passes over the pixels. Nothing is
approximated, but sums are rounded in another order.

Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks
    (arXiv:1509.09308), Section 4. There Y = A^T [(G g G^T) * (B^T d B)] A for
    a tile d of the image and a kernel g.
"""

import math

import numpy as np
import tensorflow as tf
from numpy.polynomial.polynomial import polyfromroots

# Polynomials are evaluated at 0, at both roots of each of these, at infinity.
# Of those tried these round least. In float32 the error is twice a direct
# convolution's for m = 2 and six times for m = 4.
_SQUARED_POINTS = {2: (1.0,), 4: (0.5, 2.0)}

_SMALL_MATRIX = 128 * 128
"""Entries, below which the sums take more time than the products save.

So measured with the generator's convolutions on two cores with AVX2.
"""

_LARGE_MATRIX = 1024 * 1024
"""Entries, from which on m is 2 instead of 4.

A kernel becomes (m + 2)^2 / 9 times as large, and those of so many channels are
for few pixels: reading them takes the time, and they are most of a network.
"""


def tile_size(kernel_shape):
    """Returns the m with which a convolution is fast, or 0 if none is.

    Args:
        kernel_shape: `(k, k, C, D)`.
    """
    size, _, channels, filters = kernel_shape
    if size != 3 or channels * filters < _SMALL_MATRIX:
        return 0
    return 2 if channels * filters >= _LARGE_MATRIX else 4


def transform_kernel(kernel, tile):
    """Returns a kernel's values at the points, for `conv2d`.

    Args:
        kernel: `[3, 3, C, D]`.
        tile: m, 2 or 4.

    Returns:
        `[(m + 2)^2, C, D]`, of the kernel's type. G g G^T.
    """
    values = tf.cast(kernel, tf.float64)
    for axis in (0, 1):
        weights = tf.unstack(values, axis=axis)
        values = tf.stack(
            _kernel_values(weights, _SQUARED_POINTS[tile]), axis=axis
        )
    values = tf.transpose(values, [1, 0, 2, 3])  # As they are gone through.
    values = tf.reshape(values, [-1, *kernel.shape[2:]])
    return tf.cast(values, kernel.dtype)


def tile_of(kernel):
    """Returns the m of a kernel that `transform_kernel` returned."""
    return math.isqrt(kernel.shape[0]) - 2


def conv2d(x, kernel):
    """Returns the convolution of 3 x 3 with zeros beyond the image.

    Args:
        x: `[B, H, W, C]`.
        kernel: `[(m + 2)^2, C, D]`, of x's type, by `transform_kernel`.

    Returns:
        `[B, H, W, D]`.
    """
    tile = tile_of(kernel)
    num_points = tile + 2
    squares = _SQUARED_POINTS[tile]
    channels, filters = kernel.shape[1:]
    batch, height, width = tf.unstack(tf.shape(x)[:3])
    rows, columns = -(-height // tile), -(-width // tile)  # Of tiles.
    below = (rows + 1) * tile - height - 1
    right = (columns + 1) * tile - width - 1
    padded = tf.pad(x, [[0, 0], [1, below], [1, right], [0, 0]])

    # Points down are stacked: so operations are few, and a graph soon loaded.
    lines = tf.reshape(padded, [batch, rows + 1, tile, -1])
    down = tf.stack(_image_values(_neighbours(lines), squares))
    down = tf.reshape(
        down, [num_points * batch * rows, columns + 1, tile, channels]
    )
    kernel = tf.reshape(kernel, [num_points, num_points, channels, filters])
    products = [
        _products(tf.reshape(values, [num_points, -1, channels]), matrices)
        for values, matrices in zip(
            _image_values(_neighbours(down), squares),
            tf.unstack(kernel),
            strict=True,
        )
    ]
    across = tf.concat(_results(products, squares), axis=-1)
    across = tf.reshape(across, [num_points, batch * rows, -1])
    y = tf.concat(_results(tf.unstack(across), squares), axis=-1)
    y = tf.reshape(y, [batch, rows * tile, columns * tile, filters])
    return tf.ensure_shape(y[:, :height, :width], [*x.shape[:3], filters])


def _neighbours(tiles):
    """Returns the m + 2 neighbours that each tile takes, along one axis.

    Args:
        tiles: `[B, n + 1, m, ...]`. Of the last one the first two are used.

    Returns:
        list of m + 2 `[B, n, ...]`.
    """
    own = [tiles[:, :-1, i] for i in range(tiles.shape[2])]
    return own + [tiles[:, 1:, i] for i in range(2)]


def _products(values, matrices):
    """Returns the products of `[n, N, C]` and `[n, C, D]`.

    One by one: on a CPU two threads share a product of large matrices better
    than several products.
    """
    pairs = zip(tf.unstack(values), tf.unstack(matrices), strict=True)
    return tf.stack([tf.matmul(a, b) for a, b in pairs])


def _kernel_values(weights, squares):
    """Returns G g: the polynomial of three weights at each point.

    Those at finite points come divided by what the image's are too large by.
    """
    first, second, third = weights
    roots = [sign * square**0.5 for square in squares for sign in (1, -1)]
    points = [0.0, *roots]
    values = []
    for point in points:
        scale = math.prod(point - other for other in points if other != point)
        value = first + point * second + point**2 * third
        values.append(value / scale)
    return [*values, third]


def _image_values(neighbours, squares):
    """Returns B^T d, in the order of `_kernel_values`.

    A point's row of B^T has the coefficients of the polynomial that is zero at
    all other finite points. Of a point and its negative, the even powers are
    the same and the odd ones differ in sign.
    """
    all_zero = polyfromroots(squares)  # Of the square: every other power.
    values = [_combine(all_zero, neighbours[0::2])]
    for i, square in enumerate(squares):
        others_zero = polyfromroots(np.delete(squares, i))
        even = _combine(others_zero, neighbours[2::2])
        odd = _combine(square**0.5 * others_zero, neighbours[1:-1:2])
        values += [even + odd, even - odd]
    return [*values, _combine(all_zero, neighbours[1::2])]


def _results(products, squares):
    """Returns A^T times the products: each power of the points, summed up."""
    at_zero, *finite, at_infinity = products
    sums = [a + b for a, b in zip(finite[0::2], finite[1::2])]
    differences = [a - b for a, b in zip(finite[0::2], finite[1::2])]
    results = [
        _combine(np.power(squares, i / 2), differences if i % 2 else sums)
        for i in range(2 * len(squares))
    ]
    results[0] += at_zero
    results[-1] += at_infinity
    return results


def _combine(coefficients, tensors):
    """Returns a weighted sum."""
    terms = [
        tensor if coefficient == 1 else float(coefficient) * tensor
        for coefficient, tensor in zip(coefficients, tensors, strict=True)
    ]
    return sum(terms[1:], start=terms[0])
