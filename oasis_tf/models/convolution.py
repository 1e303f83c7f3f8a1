"""The networks' convolution, and other operations that give the same.

On processors without AVX-512 oneDNN copies the neighbourhood of each pixel of
a large image before it multiplies, and again for the kernel's gradient, at a
quarter of the speed. Its transposed convolution needs no copy; with the kernel
flipped it is the convolution. Elsewhere TensorFlow's own operation is faster.
"""

import contextlib

import tensorflow as tf

from oasis_tf.models.lengths import lengths

_MANY_PIXELS = 64 * 64
"""Of an image, from which on a convolution is faster transposed."""

_LARGE_MATRIX = 64 * 64
"""Entries, from which on products of matrices make the kernel's gradient."""

# Not of a thread: replicas have threads of their own.
_is_without_copies = False


@contextlib.contextmanager
def without_copies():
    """Context in which `conv2d` is computed without copies where it can be."""
    global _is_without_copies
    before = _is_without_copies
    _is_without_copies = True
    try:
        yield
    finally:
        _is_without_copies = before


def conv2d(x, kernel, strides=1):
    """Returns the convolution with zeros beyond the image.

    Args:
        x: `[B, H, W, C]`.
        kernel: `[k, k, C, D]`, of x's type.
        strides: pixels from one window to the next.

    Returns:
        `[B, H / strides, W / strides, D]`, rounded up.
    """
    if (
        _is_without_copies
        and x.dtype == "float32"
        and strides == 1
        and kernel.shape[0] > 1
        and kernel.shape[0] % 2
        and None not in x.shape[1:3]
    ):
        return _conv2d_without_copies(x, kernel)
    return tf.nn.conv2d(x, kernel, strides, padding="SAME")


def add_bias(x, bias):
    """Returns x, `[..., C]`, with `bias`, `[C]`, added to each of its pixels.

    In bfloat16, processors' gradient of `tf.nn.bias_add` adds pixel by pixel
    in bfloat16, where a sum soon stops to grow: that of 16,384 pixels was a
    third off. The gradient of a plain addition adds in float32. In float16 it
    is the other way round.
    """
    if x.dtype == "bfloat16":
        return tf.add(x, bias)
    return tf.nn.bias_add(x, bias)


@tf.custom_gradient
def _conv2d_without_copies(x, kernel):
    # Within a branch of `tf.cond` gradients may use the branch's tensors only.
    x, kernel = tf.identity(x), tf.identity(kernel)

    def gradients(dy):
        return _transposed(dy, kernel), _kernel_gradient(x, dy, kernel.shape)

    has_many_pixels = x.shape[1] * x.shape[2] >= _MANY_PIXELS
    # An image's three channels are too few for it.
    if has_many_pixels and x.shape[3] > 3:
        flipped = tf.transpose(tf.reverse(kernel, axis=[0, 1]), [0, 1, 3, 2])
        return _transposed(x, flipped), gradients
    return tf.nn.conv2d(x, kernel, strides=1, padding="SAME"), gradients


def _transposed(dy, kernel):
    """Returns the gradient of a convolution's input, `[B, H, W, C]`."""
    shape = [*lengths(dy)[:3], kernel.shape[2]]
    return tf.nn.conv2d_transpose(dy, kernel, shape, strides=1)


def _kernel_gradient(x, dy, shape):
    size, _, channels, filters = shape
    if channels * filters < _LARGE_MATRIX:
        return tf.raw_ops.Conv2DBackpropFilter(
            input=x,
            filter_sizes=shape,
            out_backprop=dy,
            strides=[1, 1, 1, 1],
            padding="SAME",
        )
    # A product for each place in the kernel. Padded alike, image and gradient
    # are matrices of pixels, and a shift between them is one of rows.
    batch, height, width, _ = lengths(x)
    border = size - 1
    reach = border // 2
    x = _pixels(tf.pad(x, [[0, 0], [reach, reach], [reach, reach], [0, 0]]))
    dy = _pixels(tf.pad(dy, [[0, 0], [0, border], [0, border], [0, 0]]))
    row = width + border
    # Of the last image what is below and right of it is not needed.
    num_pixels = batch * (height + border) * row - border * (row + 1)
    dy = tf.slice(dy, [0, 0], [num_pixels, -1])
    products = []
    for i in range(size):
        for j in range(size):
            # One after the other, should the shifted pixels be copied.
            with tf.control_dependencies(products[-1:]):
                seen = tf.slice(x, [i * row + j, 0], [num_pixels, -1])
            products.append(tf.matmul(seen, dy, transpose_a=True))
    return tf.reshape(tf.stack(products), shape)


def _pixels(x):
    return tf.reshape(x, [-1, x.shape[-1]])
