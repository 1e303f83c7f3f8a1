"""Twice the height and width, and half of them."""

import tensorflow as tf

from oasis_tf.models.lengths import lengths


def upsample(x):
    """Doubles height and width by repeating each pixel.

    Args:
        x: `[B, h, w, C]`.

    Returns:
        `[B, 2h, 2w, C]`.
    """
    batch, height, width, channels = lengths(x)
    # Copies of whole rows, several times faster on a CPU than `tf.repeat`.
    x = tf.concat([x, x], axis=3)
    x = tf.reshape(x, [batch, height, 2 * width, channels])
    x = tf.concat([x, x], axis=2)
    return tf.reshape(x, [batch, 2 * height, 2 * width, channels])


def downsample(x):
    """Halves height and width by the mean of each 2 x 2 pixels.

    Args:
        x: `[B, 2h, 2w, C]`.

    Returns:
        `[B, h, w, C]`.
    """
    return tf.nn.avg_pool2d(x, ksize=2, strides=2, padding="VALID")


def upsample_conv2d(x, kernel):
    """Does as a 3 x 3 convolution of the upsampled image, for 4/9 of the work.

    Of three neighbours among repeated pixels two are the same pixel, and their
    weights are summed up beforehand: every second pixel of a row sees its own
    one with two of the weights and one neighbour with the third.

    Args:
        x: `[B, h, w, C]`.
        kernel: `[3, 3, C, D]`, float32.

    Returns:
        `[B, 2h, 2w, D]`, of `x`'s type.
    """
    batch, height, width, _ = lengths(x)
    kernel = _summed(_summed(kernel, axis=0), axis=1)  # [4, 4, C, D]
    return tf.nn.conv2d_transpose(
        x,
        tf.cast(tf.transpose(kernel, [0, 1, 3, 2]), x.dtype),
        output_shape=[batch, 2 * height, 2 * width, kernel.shape[-1]],
        strides=2,
    )


def _summed(kernel, axis):
    """Returns the four weights, along an axis, of a transposed convolution."""
    first, second, third = tf.unstack(kernel, axis=axis)
    return tf.stack([third, second + third, first + second, first], axis=axis)
