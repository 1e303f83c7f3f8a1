"""3D noise: the generator's `[B, H, W, Z]` source of variation."""

import numpy as np
import tensorflow as tf
from scipy import ndimage
from skimage import measure

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


def placed_noise(z, place_map):
    """Gives every pixel the latent vector of its place.

    Args:
        z: `[B, P, Z]`. A vector for each place: each class, each region.
        place_map: `[B, H, W]`, integer. The pixel's place, 0..P-1: a label map
            for noise per class, `connected_regions` for noise per region.

    Returns:
        3D noise `[B, H, W, Z]`.
    """
    return tf.gather(z, place_map, batch_dims=1)


def connected_regions(label_map):
    """Numbers the connected regions of one label.

    Pixels that touch by a side are connected, by a corner alone are not.

    Args:
        label_map: `[H, W]`, integer array.

    Returns:
        `[H, W]`, int64 array: 0, 1, ... in the order of each region's first
        pixel, row by row.
    """
    regions = measure.label(label_map, background=-1, connectivity=1)
    return np.asarray(regions, np.int64) - 1


def resample_mask(noise, other, mask):
    """Takes other noise inside a mask; the rest stays as it is, bit by bit.

    Args:
        noise, other: `[B, H, W, Z]`.
        mask: `[B, H, W]`, bool; or `[H, W]`, for all of the batch.

    Returns:
        3D noise `[B, H, W, Z]`.

    Source: OASIS (arXiv:2012.04781), Section 3.3: local re-sampling.
    """
    return tf.where(tf.cast(mask, tf.bool)[..., None], other, noise)


def feather(mask, num_pixels):
    """Lets a mask rise from 0 at its border to 1 further inside.

    A generator trained with one vector in an image has not seen two meet, and
    may draw a line where they do.

    Args:
        mask: `[H, W]`, bool array.
        num_pixels: width of the rise inside the mask, 0 or more. The image's
            edges are no border.

    Returns:
        `[H, W]`, float32 array: 0 outside, above 0 and up to 1 inside.

    Raises:
        ValueError: if the width is negative.
    """
    if num_pixels < 0:
        raise ValueError(
            f"`feather` must be 0 or more. Received: {num_pixels}."
        )
    if mask.all():
        return np.ones(mask.shape, np.float32)
    distance = ndimage.distance_transform_edt(mask)
    return np.float32(np.minimum(distance / (num_pixels + 1), 1))


def resample_channels(noise, other, channels):
    """Takes other noise in some channels; the rest stays as it is.

    Args:
        noise, other: `[..., Z]`.
        channels: list of ints, 0..Z-1.

    Returns:
        `[..., Z]`.

    Raises:
        ValueError: if a channel is not one of the noise's.
    """
    num_channels = noise.shape[-1]
    wrong = [c for c in channels if not 0 <= c < num_channels]
    if wrong:
        raise ValueError(
            f"`channels` must be among 0..{num_channels - 1}. Received: "
            f"{wrong}."
        )
    is_other = np.zeros([num_channels], bool)
    is_other[list(channels)] = True
    return tf.where(is_other, other, noise)


def interpolate(noise, other, share):
    """Goes straight from one noise to another.

        (1 - t) a + t b

    Half way between two independent draws its variance is 1/2, which a
    generator has hardly seen; `interpolate_spherically` keeps it.

    Args:
        noise, other: `[..., Z]`: a at t = 0, b at t = 1.
        share: t, float.

    Returns:
        `[..., Z]`.
    """
    return (1 - share) * noise + share * other


def interpolate_spherically(noise, other, share):
    """Goes along the arc between two latent vectors, in every pixel.

        (sin((1 - t) w) a + sin(t w) b) / sin(w),  cos(w) = <a, b> / (|a| |b|)

    Where the vectors point (almost) the same or the opposite way, where there
    is no one arc, it goes straight.

    Args:
        noise, other: `[..., Z]`: a at t = 0, b at t = 1.
        share: t, float; or `[..., 1]`, for each vector its own.

    Returns:
        `[..., Z]`.

    Source: Shoemake, Animating Rotation with Quaternion Curves (SIGGRAPH 1985).
    """
    lengths = tf.norm(noise, axis=-1, keepdims=True) * tf.norm(
        other, axis=-1, keepdims=True
    )
    product = tf.reduce_sum(noise * other, axis=-1, keepdims=True)
    cosine = tf.clip_by_value(tf.math.divide_no_nan(product, lengths), -1, 1)
    angle = tf.acos(cosine)
    sine = tf.sin(angle)
    has_arc = (sine > 1e-4) & (lengths > 0)
    safe = tf.where(has_arc, sine, 1)
    arc = (
        tf.sin((1 - share) * angle) / safe * noise
        + tf.sin(share * angle) / safe * other
    )
    return tf.where(has_arc, arc, interpolate(noise, other, share))
