"""Images as they are stored, uint8, and as the networks take them, float32."""

import tensorflow as tf


def to_float(image):
    """Returns images as the networks take them.

    Args:
        image: `[B, H, W, 3]`, uint8; or float32, which stays as it is.

    Returns:
        `[B, H, W, 3]`, float32, in [-1, 1].
    """
    if image.dtype == tf.uint8:
        return tf.cast(image, tf.float32) / 127.5 - 1
    return image


def to_uint8(image):
    """Returns images as they are stored and shown.

    Args:
        image: `[..., 3]`, float, in [-1, 1].

    Returns:
        `[..., 3]`, uint8.
    """
    return tf.cast(
        tf.clip_by_value(tf.round((image + 1) * 127.5), 0, 255), tf.uint8
    )
