"""3D noise: the generator's `[B, H, W, Z]` source of variation."""

import numpy as np
import tensorflow as tf

# One algorithm for every device, so that a seed means the same noise anywhere.
_ALGORITHM = "philox"


def fold(seed, *numbers):
    """Returns the seed that follows from a seed and a path of numbers.

    Args:
        seed: `[2]`, int32 or int64.
        numbers: ints or integer scalars: a use, a step, a sample.

    Returns:
        `[2]`, of the last number's dtype; int32 for an int.
    """
    for number in numbers:
        seed = tf.random.experimental.stateless_fold_in(
            seed, number, alg=_ALGORITHM
        )
    return seed


def sample_z(seed, sample_numbers, noise_channels):
    """Draws a latent vector for each sample.

    Args:
        seed: `[2]`, int32 or int64.
        sample_numbers: `[B]`, int64. A sample's vector depends on the seed and
            its own number alone, not on the batch it is in.
        noise_channels: Z.

    Returns:
        z `[B, Z]`, float32, standard normal.
    """
    return _sample(seed, sample_numbers, [noise_channels])


def sample_pixel_noise(seed, sample_numbers, size, noise_channels):
    """Draws a latent vector for each pixel of each sample.

    Args:
        seed, sample_numbers, noise_channels: as in `sample_z`.
        size: (height, width) in pixels.

    Returns:
        3D noise `[B, H, W, Z]`, float32, standard normal.
    """
    return _sample(seed, sample_numbers, [*size, noise_channels])


def _sample(seed, sample_numbers, shape):
    # In an exported graph the size is a tensor.
    static = [n if isinstance(n, int) else None for n in shape]
    return tf.map_fn(
        lambda number: _standard_normal(shape, fold(seed, number)),
        sample_numbers,
        fn_output_signature=tf.TensorSpec(static, tf.float32),
    )


def _standard_normal(shape, seed):
    """Draws float32 numbers by Box and Muller's transform of random bits.

    The bits are the same on every device and under XLA, which TensorFlow's
    own normal numbers are not.
    """
    bits = tf.random.stateless_uniform(
        [2, *shape],
        seed,
        minval=None,
        maxval=None,
        dtype=tf.int32,
        alg=_ALGORITHM,
    )
    bits = tf.bitwise.bitwise_and(bits, 2**23 - 1)
    radius, angle = tf.unstack((tf.cast(bits, tf.float32) + 0.5) / 2**23)
    return tf.sqrt(-2 * tf.math.log(radius)) * tf.cos(2 * np.pi * angle)


def global_noise(z, size):
    """Repeats one latent vector over all pixels.

    Args:
        z: `[B, Z]`.
        size: (height, width) in pixels.

    Returns:
        3D noise `[B, H, W, Z]`.

    Source: OASIS (arXiv:2012.04781), Section 3.3.
    """
    height, width = size
    return tf.tile(z[:, None, None, :], [1, height, width, 1])
