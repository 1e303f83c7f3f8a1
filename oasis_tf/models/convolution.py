"""A convolution whose gradients are convolutions."""

import tensorflow as tf


@tf.custom_gradient
def conv2d(x, kernel):
    """Does as `tf.nn.conv2d`, with gradients that suit a CPU.

    TensorFlow's own copy every pixel's neighbourhood first, one image after
    the other; these take two thirds of the time, or less, and no copy.

    Args:
        x: `[B, H, W, C]`.
        kernel: `[k, k, C, D]`, of x's type; k is odd.

    Returns:
        `[B, H, W, D]`.
    """

    def gradients(dy):
        flipped = tf.transpose(kernel[::-1, ::-1], [0, 1, 3, 2])
        dx = tf.nn.conv2d(dy, flipped, strides=1, padding="SAME")
        # Channels take the place of images, and images that of channels.
        reach = kernel.shape[0] // 2
        around = [[0, 0], [reach, reach], [reach, reach], [0, 0]]
        images = tf.pad(tf.transpose(x, [3, 1, 2, 0]), around)
        weights = tf.transpose(dy, [1, 2, 0, 3])
        dkernel = tf.nn.conv2d(images, weights, strides=1, padding="VALID")
        return dx, tf.transpose(dkernel, [1, 2, 0, 3])

    return tf.nn.conv2d(x, kernel, strides=1, padding="SAME"), gradients
